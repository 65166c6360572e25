#!/usr/bin/env bash
# Ends what scripts/slurm/start.sh FOLDER started, its running jobs first; FOLDER stays, with its logs. Does nothing when nothing runs.
set -euo pipefail

FOLDER=$(cd "${1:?usage: scripts/slurm/stop.sh FOLDER}" && pwd -P)
export SLURM_CONF=$FOLDER/slurm.conf

is_alive() { [[ -f $1 ]] && kill -0 "$(<"$1")" 2>/dev/null; }

if is_alive "$FOLDER/slurmctld.pid" && is_alive "$FOLDER/slurmd.pid"; then
    timeout 10 scancel --user="$(id -un)" 2>/dev/null || true
    for _ in $(seq 50); do
        [[ -z $(timeout 5 squeue --noheader --states=RUNNING,COMPLETING 2>/dev/null) ]] && break
        sleep 0.2
    done
fi
for pid_file in "$FOLDER"/slurmd.pid "$FOLDER"/slurmctld.pid "$FOLDER"/munge/pid; do
    is_alive "$pid_file" || continue
    pid=$(<"$pid_file")
    kill "$pid"
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$pid_file"
done
