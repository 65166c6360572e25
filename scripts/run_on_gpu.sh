#!/usr/bin/env bash
# Times the benchmarks on a machine with a GPU, and trains and judges there the most valuable paper-scale runs that are still missing, without
# Snakemake, DVC or a network.
#
#   scripts/run_on_gpu.sh OUT [SECONDS]
#
# SECONDS (default 540) bounds the whole command: benchmarks, data, the digit classifier, trainings, samplings and evaluations. What was cut off or failed
# is made by the same command again; a training goes on from its checkpoint, the rest is begun anew. A step that fails is told at the end, and the next run is begun.
# Exit status: 0 all is made, 1 something failed, 3 nothing failed but the time ran out.
#
# OUT gets few and small files: bench-gpu.csv and one CASE-RUN.tar.gz for each run: provenance, log, metrics, and the checkpoint where it has at most
# MAX_CHECKPOINT_MB (those of images have some 100 MB and stay in results/). Everything is kept in results/$SCALE, logs in results/$SCALE/logs/run_on_gpu.
# What was made of other settings or sources than now is made again.
#
# At home: unpack them in a new folder F, and `python scripts/keep_results.py paper F/results/paper/metrics` takes their rows into docs/tables. For Snakemake
# to go on from them: `snakemake -n --config scale=paper`, then `tar -xmzf` each at the repository's root (-m: with the time of now, after their settings).
#
# What the machine needs: Python with torch, numpy, scipy, pillow, safetensors, pyyaml, tqdm, jaxtyping; and for the runs on digits the raw files of MNIST, in
# data/raw/mnist or, as they are or as NAME.gz (11 MB in all), in a folder that EOT_MIRROR names. Prepared digits and classifier are made from them where missing.
# On a machine that has them:   mkdir -p data/mirror; for f in data/raw/mnist/*-ubyte; do gzip -c "$f" > "data/mirror/${f##*/}.gz"; done
#
# SCALE, RUNS (of gaussian, mixture, toy_* and cmnist_2to3) and CASES (of benchmarks/settings.yaml), names separated by blanks, change what is made. To try it on a CPU, in some three minutes:
#   SCALE=smoke RUNS="gaussian-d16/enot-eps1-seed0 cmnist_2to3-16px/egnot-eps0.1-seed0" CASES=replay_buffer scripts/run_on_gpu.sh out
set -euo pipefail
case ${1:-} in
-h | --help)
    sed -n '/^#!/d; /^#/!q; s/^# \{0,1\}//p' "$0"
    exit
    ;;
'' | -*)
    echo "usage: scripts/run_on_gpu.sh OUT [SECONDS]" >&2
    exit 2
    ;;
esac
OUT=$(realpath -m -- "$1")
cd "$(dirname "$0")/.."
END=$((SECONDS + ${2:-540}))
PYTHON=${PYTHON:-python3}
SCALE=${SCALE:-paper}
MAX_CHECKPOINT_MB=${MAX_CHECKPOINT_MB:-10}
# Vectors first: minutes, and a check of the GPU against the same runs on a CPU. Then images, which are out of reach of a CPU at this scale.
RUNS=${RUNS-"gaussian-d128/enot-eps1-seed0 gaussian-d128/egnot-eps1-seed0
    cmnist_2to3-32px/enot-eps1-seed0 cmnist_2to3-32px/enot-eps0-seed0 cmnist_2to3-32px/enot-eps10-seed0 cmnist_2to3-32px/egnot-eps0.1-seed0"}
CASES=${CASES-"enot_image egnot_image_langevin enot_gaussian_d16 egnot_gaussian_d16 enot_gaussian_d128 egnot_gaussian_d128
    egnot_sampling enot_sampling latent_gradient_512 replay_buffer"}
MAX_CASE_SECONDS=150
GRACE=10 # seconds for ending well, before a process is killed
ROOT=results/$SCALE
BENCH=$ROOT/bench-gpu.csv
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"

failures=()
time_is_up=
child=
trap '[[ -z $child ]] || { kill "$child" && wait "$child"; } || true; exit 130' INT TERM

# step NAME MAX_SECONDS COMMAND...: runs it within what is left of the time. Not 0 when it did not end well, which is noted.
step() {
    local name=$1 seconds=$2 status=0 log="$ROOT/logs/run_on_gpu/${1//[ \/]/-}.log"
    local left=$((END - SECONDS - GRACE))
    shift 2
    if ((left < 1)); then
        time_is_up=yes
        return 1
    fi
    mkdir -p "${log%/*}"
    : >"$log"
    timeout --kill-after="$GRACE" "$((left < seconds ? left : seconds))" "$@" >"$log" 2>&1 &
    child=$!
    tail -s 0.1 -n +1 -f --pid="$child" "$log" &
    wait "$child" || status=$?
    child=
    wait $! || true
    ((status == 0)) && return
    if ((END - SECONDS - GRACE < 1)); then
        echo "$name: cut off, as the time is up"
        time_is_up=yes
    elif ((status == 124 || status == 137)); then
        failures+=("$name: stopped after $seconds s")
    else
        local reason
        reason=$(grep -i error "$log" | tail -n 1 || tail -n 1 "$log")
        failures+=("$name: ended with $status: ${reason:-without a message}")
    fi
    return 1
}

entropic_ot() { # NAME COMMAND ...
    local name=$1
    shift
    step "$name" 1000000 "$PYTHON" -m entropic_ot "$@"
}

# What the runs on coloured digits read: prepared digits, and the classifier that judges them.
make_digits() {
    local data=coloured_mnist-${1#cmnist_}-seed0
    [[ -f data/raw/mnist_source.json ]] || entropic_ot "fetch mnist" fetch mnist --out data/raw/mnist_source.json || return
    [[ -f data/prepared/$data/meta.json ]] ||
        entropic_ot "prepare $data" prepare --config "$ROOT/config/data/$data.json" --out "data/prepared/$data" || return
    [[ -f $ROOT/classifier/model.safetensors ]] ||
        entropic_ot classifier classifier --config "$ROOT/config/classifier.json" --out "$ROOT/classifier"
}

# One hash of these files and of the package.
made_of() { find src "$@" -type f ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum; }

# is_made MARK RESULT FILE...: whether RESULT was made of what these files and the package are now; MARK says of what it was made.
is_made() {
    local mark=$1 result=$2
    shift 2
    [[ -f $result && -f $mark && $(<"$mark") == "$(made_of "$@")" ]]
}

note_made() { # MARK FILE...
    local mark=$1
    shift
    mkdir -p "${mark%/*}"
    made_of "$@" >"$mark"
}

make_run() {
    local run=$1 case_=${1%%/*}
    local name=${run#*/}
    local epsilon=${name#*-eps}
    local plan=eps${epsilon%-seed*}
    local config=$ROOT/config/$run.json evaluation=$ROOT/config/$case_/evaluation.json
    local out=$ROOT/runs/$run samples=$ROOT/samples/$run.npz metrics=$ROOT/metrics/$run.json
    if [[ ! -f $config ]]; then
        failures+=("$run: params.yaml has no such run at scale $SCALE")
        return
    fi
    case $case_ in
    gaussian-* | mixture-* | toy_* | cmnist_2to3-*) ;;
    *)
        failures+=("$run: its data is not made here, expected a run of gaussian, mixture, toy_* or cmnist_2to3")
        return
        ;;
    esac
    local sampling=$ROOT/config/$case_/sampling.json plan_config=$ROOT/config/$case_/reference-$plan.json
    local mark=$ROOT/logs/run_on_gpu/made/$run reference=""
    local settings=("$config" "$evaluation" "$sampling")
    if [[ -f $plan_config ]]; then
        reference=$ROOT/reference/$case_/$plan.npz
        settings+=("$plan_config")
    fi
    if is_made "$mark" "$metrics" "${settings[@]}"; then
        echo "$run: done"
    else
        if [[ -n $reference ]] && ! is_made "$mark-reference" "$reference" "$plan_config"; then
            entropic_ot "reference $case_ $plan" reference --config "$plan_config" --out "$reference" || return
            note_made "$mark-reference" "$plan_config"
        fi
        if [[ $case_ == cmnist_2to3-* ]]; then make_digits "$case_" || return; fi
        entropic_ot "train $run" train --config "$config" --out "$out" --work "$ROOT/checkpoints/$run" || return
        entropic_ot "sample $run" sample --config "$config" --sampling "$sampling" --run "$out" --out "$samples" || return
        entropic_ot "evaluate $run" evaluate --config "$config" --evaluation "$evaluation" --run "$out" --samples "$samples" \
            ${reference:+--reference "$reference"} --out "$metrics" || return
        note_made "$mark" "${settings[@]}"
    fi
    local files=("$out/provenance.json" "$out/log.jsonl" "$metrics") checkpoint=$out/checkpoint.safetensors
    (($(stat -c %s "$checkpoint") > MAX_CHECKPOINT_MB * 1000000)) || files+=("$checkpoint")
    tar -czf "$OUT/${run//\//-}.tar.gz" "${files[@]}" || failures+=("$run: could not be packed into $OUT")
}

mkdir -p "$OUT" "$ROOT"
entropic_ot configure configure --scale "$SCALE" || true
for case_ in $CASES; do
    mark=$ROOT/logs/run_on_gpu/made/benchmark-$case_
    if ! grep -qs "^$case_," "$BENCH" || ! is_made "$mark" "$BENCH" benchmarks; then
        step "benchmark $case_" $MAX_CASE_SECONDS "$PYTHON" benchmarks/run.py --only "$case_" --out "$BENCH" && note_made "$mark" benchmarks || true
    fi
    [[ -z $time_is_up ]] || break
done
[[ ! -f $BENCH ]] || cp "$BENCH" "$OUT/bench-gpu.csv"
for run in $RUNS; do
    [[ -z $time_is_up ]] || break
    make_run "$run" || true
done

for failure in ${failures[@]+"${failures[@]}"}; do
    echo "failed: $failure"
done
[[ -z $time_is_up ]] || echo "the time is up; run the same command again to go on"
((${#failures[@]} == 0)) || exit 1
[[ -z $time_is_up ]] || exit 3
