#!/usr/bin/env bash
# Starts a Slurm of one node on this machine, for tests: munged, slurmctld, slurmd, as root, on 127.0.0.1, without systemd or cgroups.
#
#   scripts/slurm/start.sh FOLDER          (scripts/slurm/stop.sh FOLDER ends it; does nothing when it runs already)
#   . FOLDER/environment                   (then sbatch, squeue, snakemake --profile profiles/slurm … use it)
#
# Everything lies below FOLDER; nothing in /etc or /run is touched. Two partitions, `cpu` and `gpu`, of the same node; the node has one
# "GPU", whose device file is /dev/null. Limits of memory and time are counted; time is enforced, memory is not (that takes cgroups).
# Needs, on Debian or Ubuntu: apt-get install --no-install-recommends slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge
# Variables: SLURM_TEST_CPUS (default: all), SLURM_TEST_MEMORY_MB (default 64000: what jobs may ask for, whether or not it is there),
# SLURM_TEST_PORT (default 16817; the one above it is used too).
set -euo pipefail

FOLDER=$(mkdir -p "${1:?usage: scripts/slurm/start.sh FOLDER}" && cd "$1" && pwd -P)
CPUS=${SLURM_TEST_CPUS:-$(nproc)}
MEMORY_MB=${SLURM_TEST_MEMORY_MB:-64000}
PORT=${SLURM_TEST_PORT:-16817}
HOST=$(hostname -s)
export PATH="$PATH:/usr/sbin:/sbin"

die() { printf 'start.sh: %s\n' "$@" >&2; exit 1; }
# is_alive PID_FILE PROGRAM: after a restart of the machine the number may be that of another program.
is_alive() { [[ -f $1 && $(cat "/proc/$(<"$1")/comm" 2>/dev/null) == "$2" ]]; }

for program in munged slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null || die "$program was not found; on Debian or Ubuntu:" \
        "    apt-get install --no-install-recommends slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge"
done
[[ $(id -u) == 0 ]] || die "found user $(id -un), expected root: slurmd starts jobs for other users"
# A socket's path has room for 107 characters.
((${#FOLDER} < 80)) || die "$FOLDER: found a path of ${#FOLDER} characters, expected fewer than 80; choose a shorter one"

mkdir -p "$FOLDER"/{bin,munge,state,spool,log}
chmod 755 "$FOLDER" "$FOLDER/munge"
if [[ ! -s $FOLDER/munge/key ]]; then
    (umask 077 && dd if=/dev/urandom of="$FOLDER/munge/key" bs=128 count=1 status=none)
fi

write_configuration() {
    cat >"$FOLDER/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
SlurmdPort=$((PORT + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge/socket
CredType=cred/munge
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.pid
SlurmctldLogFile=$FOLDER/log/slurmctld.log
SlurmdLogFile=$FOLDER/log/slurmd.log
# The node may claim more memory than the machine has.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
# Without accounting, squeue is what tells how a job ended: finished jobs have to stay in it.
MinJobAge=3600
KillWait=2
ReturnToService=2
GresTypes=gpu
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEMORY_MB Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=$HOST Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=$HOST MaxTime=INFINITE State=UP
CONF
    # A count alone is not enough: a node whose GPU has no device file is taken for broken.
    echo "NodeName=$HOST Name=gpu File=/dev/null" >"$FOLDER/gres.conf"
    # Snakemake's jobs start srun with an environment from which SLURM_CONF was removed.
    printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$FOLDER/slurm.conf" "$(command -v srun)" >"$FOLDER/bin/srun"
    chmod +x "$FOLDER/bin/srun"
    printf 'export SLURM_CONF=%q\nexport PATH=%q:"$PATH"\n' "$FOLDER/slurm.conf" "$FOLDER/bin" >"$FOLDER/environment"
}

if ! is_alive "$FOLDER/slurmctld.pid" slurmctld && ! is_alive "$FOLDER/slurmd.pid" slurmd; then
    [[ -x $FOLDER/bin/srun ]] && PATH=${PATH//"$FOLDER/bin:"/}
    write_configuration
fi
export SLURM_CONF=$FOLDER/slurm.conf

# --force: root instead of the user munge, and a folder below one that all may write to, are fine here.
is_alive "$FOLDER/munge/pid" munged || munged --force --key-file="$FOLDER/munge/key" --socket="$FOLDER/munge/socket" \
    --pid-file="$FOLDER/munge/pid" --log-file="$FOLDER/log/munged.log" --seed-file="$FOLDER/munge/seed" 2>>"$FOLDER/log/munged.err"
is_alive "$FOLDER/slurmctld.pid" slurmctld || slurmctld -c -f "$SLURM_CONF" # -c: jobs of an earlier start are forgotten
is_alive "$FOLDER/slurmd.pid" slurmd || slurmd -c -f "$SLURM_CONF"

for ((end = SECONDS + 20; SECONDS < end; )); do
    if timeout 5 sinfo --noheader --format=%T 2>/dev/null | grep -qE '^(idle|mixed|allocated)'; then
        sinfo --Node --long
        exit 0
    fi
    sleep 0.2
done
tail -n 5 "$FOLDER"/log/*.log >&2 || true
"$(dirname "${BASH_SOURCE[0]}")/stop.sh" "$FOLDER"
die "the node did not come up within 20 s (see above and $FOLDER/log)"
