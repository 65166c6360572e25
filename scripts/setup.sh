#!/usr/bin/env bash
# Builds .venv from requirements.lock, installs the project into it, and does nothing when that is done already.
# Called by make; `make help` tells the variables (PYTHON, TORCH_INDEX, PIP_ARGS).
#
# .venv/entropic-ot.stamp is written last and says what the environment was built from: with other contents it is out
# of date; without it, and with entropic-ot.building, which is written first, it is half built. Without both it is
# somebody's own, and stays.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
STAMP=$VENV/entropic-ot.stamp
BUILDING=$VENV/entropic-ot.building
LOG=$VENV/pip.log
PLUGIN=workflow/plugins/snakemake_logger_plugin_resourcefix
NEEDED_KB=$((3 * 1024 * 1024))       # a CPU build of PyTorch
NEEDED_CUDA_KB=$((10 * 1024 * 1024)) # the public wheel with its CUDA packages, and pip's unpacked copies

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    printf '\nsetup: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}
checksum() { cat "$@" | cksum | tr ' ' '-'; }

# The environment holds absolute paths, so it belongs to this folder.
LOCK_STATE="lock $(checksum requirements.lock scripts/setup.sh) $(pwd -P)"
PROJECT_STATE="project $(checksum pyproject.toml "$PLUGIN/pyproject.toml" "$PLUGIN"/*/*.py)"

is_usable_python() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' >/dev/null 2>&1
}

# The interpreter behind an environment: the one that is active may be .venv itself, which is deleted first.
base_python() { "$1" -c 'import sys; print(sys._base_executable)'; }

find_python() {
    local candidate
    if [[ -n "${PYTHON:-}" ]]; then
        is_usable_python "$PYTHON" && { base_python "$PYTHON" && return; }
        die "PYTHON=$PYTHON is not Python 3.11 or 3.12 ($("$PYTHON" --version 2>&1 || true))."
    fi
    for candidate in python3.12 python3.11 python3 python; do
        is_usable_python "$candidate" && { base_python "$candidate" && return; }
    done
    die "Python 3.11 or 3.12 is needed and none was found (python3 is: $(python3 --version 2>&1 || true))." \
        "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv), or name one:" \
        "    make all PYTHON=path/to/python3.12"
}

check_space() {
    local free_kb
    free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
    if ((free_kb < NEEDED_KB)); then
        die "Too little space: $((free_kb / 1024)) MB free in $(pwd), at least $((NEEDED_KB / 1024)) MB needed." \
            "Free some, or clone the project to another disk."
    elif [[ -z "${TORCH_INDEX:-}" ]] && ((free_kb < NEEDED_CUDA_KB)); then
        say "only $((free_kb / 1024)) MB free: enough for a CPU build of PyTorch, not for the public wheel with CUDA;"
        say "if the installation fails, choose a CPU build with TORCH_INDEX (make help)"
    fi
}

# Runs pip quietly, showing every ten seconds how far it is; on failure shows the end of its log.
pip_install() {
    local what=$1 pid count elapsed started=$SECONDS shown=0 status=0
    shift
    # shellcheck disable=SC2086  # PIP_ARGS is several words on purpose
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off ${PIP_ARGS:-} "$@" \
        >>"$LOG" 2>&1 &
    pid=$!
    trap 'kill $pid 2>/dev/null; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        elapsed=$((SECONDS - started))
        ((elapsed >= shown + 10)) || continue
        shown=$elapsed
        count=$(grep -cE '^(Collecting|Processing|Requirement already satisfied|Looking in|Obtaining) ?' "$LOG" || true)
        if grep -q '^Installing collected packages' "$LOG"; then
            say "  $what: unpacking, $elapsed s"
        else
            say "  $what: $count packages found, $elapsed s"
        fi
    done
    wait "$pid" || status=$?
    trap - INT TERM
    if ((status != 0)); then
        grep -vE '^(WARNING|DEPRECATION)' "$LOG" | tail -n 15 >&2 || true
        die "pip could not install $what (all of its output: $LOG)." \
            "Offline or behind a proxy? PIP_ARGS=\"--index-url ...\" or pip's own PIP_INDEX_URL choose a package index." \
            "Then the same command again: the half-built .venv is found and rebuilt."
    fi
}

build_environment() {
    local python
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$python has no venv module (Debian and Ubuntu pack it apart)." \
            "Install it (apt install $(basename "$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')")-venv), then the same command again."
    check_space
    if command -v flock >/dev/null && [[ -e .snakemake/presence.lock ]] && ! flock -n .snakemake/presence.lock true; then
        die "A Snakemake is at work in this folder, and .venv has to be rebuilt below it (requirements.lock is another one)." \
            "Wait until it has ended, or stop it (Ctrl-C; it can go on later), then the same command again."
    fi
    say "building .venv with $("$python" --version) from requirements.lock, once: some minutes, mostly downloads"
    rm -rf "$VENV"
    mkdir "$VENV" && touch "$BUILDING"
    "$python" -m venv "$VENV" || die "$python -m venv $VENV failed (see above)."
    : >"$LOG"
    if [[ -n "${TORCH_INDEX:-}" ]]; then
        # Without its dependencies: those come from the lock file, and its pins are met by any build of these versions.
        pip_install "PyTorch from TORCH_INDEX" --no-deps --index-url "$TORCH_INDEX" \
            $(grep -E '^(torch|torchvision)==' requirements.lock)
    fi
    pip_install "the lock file ($(grep -cE '^[A-Za-z]' requirements.lock) packages)" -r requirements.lock
}

install_project() {
    say "installing entropic-ot and the Snakemake plugin"
    # Nothing is downloaded here: dependencies and setuptools are those of the lock file.
    pip_install "entropic-ot" --no-deps --no-build-isolation --editable .
    # Not editable, or Snakemake's search for plugins does not see it. From a copy: setuptools builds in place.
    rm -rf "$VENV/plugin"
    cp -R "$PLUGIN" "$VENV/plugin"
    pip_install "the Snakemake plugin" --no-deps --no-build-isolation --force-reinstall "./$VENV/plugin"
}

if command -v flock >/dev/null; then # a second make waits for the first, and then finds .venv built
    exec 9>.venv.lock
    flock -n 9 || { say "another make is building .venv: waiting for it" && flock 9; }
fi
if [[ -f $STAMP ]] && "$VENV/bin/python" -c '' 2>/dev/null && [[ "$(sed -n 1p "$STAMP")" == "$LOCK_STATE" ]]; then
    [[ "$(sed -n 2p "$STAMP")" == "$PROJECT_STATE" ]] && exit 0
    mv "$STAMP" "$BUILDING" # never without either of them
else
    if [[ -d $VENV ]]; then
        if [[ -f $STAMP ]]; then
            say ".venv is out of date: rebuilding it"
        elif [[ -f $BUILDING ]]; then
            say ".venv is half built: rebuilding it"
        else
            die ".venv was not built by make, which would delete it." \
                "Use it without make (. .venv/bin/activate; README, Without make), or move it away, or delete it: make clean-env."
        fi
    fi
    build_environment
fi
install_project
printf '%s\n%s\n' "$LOCK_STATE" "$PROJECT_STATE" >"$STAMP.new"
mv "$STAMP.new" "$STAMP"
rm -f "$BUILDING"
say "done in $SECONDS s"
