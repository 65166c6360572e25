#!/usr/bin/env bash
# Trains the most valuable paper-scale runs that are still missing and times the benchmarks, on a machine with a GPU and without Snakemake,
# DVC or a network.
#
#   scripts/run_on_gpu.sh OUT [SECONDS]
#
# OUT gets small files: one folder per run with checkpoint, log, provenance and metrics, and bench-gpu.csv. SECONDS (default 540) bounds the whole command; a
# training that is cut off goes on from its checkpoint when the command runs again. Before it, once, on a machine with Snakemake:
#   entropic-ot configure --scale paper      (writes results/paper/config, which is all that the runs read besides data)
# The image runs need data/prepared/coloured_mnist-2to3-32px-seed0 beside it (38 MB; `snakemake data/prepared/.../meta.json` makes it).
# Needs Python with torch, numpy, safetensors, pyyaml, tqdm, jaxtyping.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${1:?usage: scripts/run_on_gpu.sh OUT [SECONDS]}
SECONDS_LEFT=${2:-540}
END=$((SECONDS + SECONDS_LEFT))
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
PYTHON=${PYTHON:-python3}

# In the order of their value: images first, since they are out of reach of a CPU at this scale.
RUNS=(
    cmnist_2to3-32px/enot-eps1-seed0
    cmnist_2to3-32px/enot-eps0-seed0
    cmnist_2to3-32px/enot-eps10-seed0
    cmnist_2to3-32px/egnot-eps0.1-seed0
    gaussian-d128/enot-eps1-seed0
    gaussian-d128/egnot-eps1-seed0
)
# Timed first, since that takes a minute or two; cases that OUT/bench-gpu.csv has are passed over.
CASES=(enot_image egnot_image_langevin enot_gaussian_d16 egnot_gaussian_d16 enot_gaussian_d128 egnot_gaussian_d128 egnot_sampling enot_sampling replay_buffer)

mkdir -p "$OUT"
for case_ in "${CASES[@]}"; do
    grep -qs "^$case_," "$OUT/bench-gpu.csv" && continue
    left=$((END - SECONDS))
    ((left > 60)) || break
    timeout --signal=INT --kill-after=15 "$((left < 120 ? left : 120))" "$PYTHON" benchmarks/run.py --quick --only "$case_" --out "$OUT/bench-gpu.csv" ||
        echo "$case_: not timed"
done

ROOT=results/paper
"$PYTHON" -m entropic_ot configure --scale paper
for run in "${RUNS[@]}"; do
    case_=${run%%/*}
    name=${run##*/}
    config=$ROOT/config/$run.json
    out=$ROOT/runs/$run
    [[ -f $config ]] || { echo "$run: not in params.yaml at scale paper; passed over"; continue; }
    [[ -f $OUT/$case_-$name/metrics.json ]] && { echo "$run: done"; continue; }
    left=$((END - SECONDS))
    ((left > 20)) || { echo "no time left; run the same command again to go on"; break; }
    if ! timeout --signal=INT --kill-after=15 "$left" "$PYTHON" -m entropic_ot train --config "$config" --out "$out" --work "$ROOT/checkpoints/$run"; then
        echo "$run: not finished; run the same command again to go on"
        continue
    fi
    "$PYTHON" -m entropic_ot sample --config "$config" --evaluation "$ROOT/config/$case_/evaluation.json" --run "$out" --out "$ROOT/samples/$run.npz"
    "$PYTHON" -m entropic_ot evaluate --config "$config" --evaluation "$ROOT/config/$case_/evaluation.json" --run "$out" \
        --samples "$ROOT/samples/$run.npz" --out "$ROOT/metrics/$run.json"
    mkdir -p "$OUT/$case_-$name"
    cp "$out/checkpoint.safetensors" "$out/log.jsonl" "$out/provenance.json" "$OUT/$case_-$name/"
    cp "$ROOT/metrics/$run.json" "$OUT/$case_-$name/metrics.json"
done
