#!/usr/bin/env bash
# Ends what scripts/slurm/start.sh FOLDER started, its running jobs first; FOLDER stays, with its logs. Does nothing when nothing runs.
set -euo pipefail

FOLDER=$(cd "${1:?usage: scripts/slurm/stop.sh FOLDER}" && pwd -P)
export SLURM_CONF=$FOLDER/slurm.conf

# is_alive PID_FILE PROGRAM: after a restart of the machine the number may be that of another program.
is_alive() { [[ -f $1 && $(cat "/proc/$(<"$1")/comm" 2>/dev/null) == "$2" ]]; }

if is_alive "$FOLDER/slurmctld.pid" slurmctld && is_alive "$FOLDER/slurmd.pid" slurmd; then
    timeout 10 scancel --user="$(id -un)" 2>/dev/null || true
    for _ in $(seq 50); do
        [[ -z $(timeout 5 squeue --noheader --states=RUNNING,COMPLETING 2>/dev/null) ]] && break
        sleep 0.2
    done
fi
for program in slurmd slurmctld munged; do
    pid_file=$FOLDER/$program.pid
    [[ $program != munged ]] || pid_file=$FOLDER/munge/pid
    is_alive "$pid_file" "$program" || continue
    pid=$(<"$pid_file")
    kill "$pid"
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$pid_file"
done
