"""scripts/run_on_gpu.sh with a stand-in for Python, which writes what each command would and wants
what each command wants; tests/workflow/test_gpu_script.py runs the commands themselves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from entropic_ot.experiments.params import load_params

ROOT = Path(__file__).parents[2]
VECTORS = "gaussian-d128/enot-eps1-seed0"
IMAGES = "cmnist_2to3-32px/enot-eps1-seed0"
TOY, TOY_PLAN = "toy_swissroll/enot-eps0.1-seed0", "toy_swissroll/reference-eps0.1"
CELLS = "msci-d50-2to4/enot-eps0.1-seed0"
STAND_IN = f"""#!/usr/bin/env bash
echo "$*" >> "$CALLS"
value() {{ local name=$1; shift; while [[ $1 != "$name" ]]; do shift; done; echo "$2"; }}
need() {{ [[ -f $1 ]] || {{ echo "entropic-ot: error: $1: found no such file" >&2; exit 1; }}; }}
want() {{ [[ -f $root/config/$1.json ]] || write "$root/config/$1.json"; }}
write() {{ mkdir -p "$(dirname "$1")"; echo x > "$1"; }}
[[ -z ${{FAIL:-}} || "$*" != *"$FAIL"* ]] || {{ echo "error: asked to fail" >&2; exit 1; }}
[[ -z ${{HANG:-}} || "$*" != *"$HANG"* ]] || exec sleep 100
root=results/paper
case "$*" in
    *benchmarks/run.py*) echo "$(value --only "$@"),1" >> "$(value --out "$@")" ;;
    *configure*)
        for run in {VECTORS} {IMAGES} {TOY} {CELLS}; do
            for file in $run ${{run%/*}}/evaluation ${{run%/*}}/sampling; do want $file; done
        done
        want {TOY_PLAN}; want classifier; want data/coloured_mnist-2to3-32px-seed0 ;;
    *" fetch "*) write "$(value --out "$@")" ;;
    *" prepare "*)
        need data/raw/mnist_source.json; need "$(value --config "$@")"
        write "$(value --out "$@")/meta.json" ;;
    *" classifier "*)
        need data/raw/mnist_source.json; need "$(value --config "$@")"
        write "$(value --out "$@")/model.safetensors" ;;
    *" train "*)
        [[ $* != *cmnist* ]] || need data/prepared/coloured_mnist-2to3-32px-seed0/meta.json
        for name in log.jsonl provenance.json; do write "$(value --out "$@")/$name"; done
        head -c "${{CHECKPOINT_BYTES:-10}}" /dev/zero > "$(value --out "$@")/checkpoint.safetensors"
        ;;
    *" reference "*) need "$(value --config "$@")"; write "$(value --out "$@")" ;;
    *" sample "*) need "$(value --run "$@")/checkpoint.safetensors"; write "$(value --out "$@")" ;;
    *" evaluate "*)
        need "$(value --samples "$@")"
        [[ $* != *toy* ]] || need "$(value --reference "$@")"
        [[ $* != *cmnist* ]] || need $root/classifier/model.safetensors
        write "$(value --out "$@")" ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/run_on_gpu.sh", tmp_path / "scripts")
    for name in ("src/solver.py", "benchmarks/run.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("1")
    stand_in = tmp_path / "python"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    return tmp_path


def environment(project: Path, **changed: str) -> dict[str, str]:
    known = {"PYTHON": str(project / "python"), "CALLS": str(project / "calls")}
    return os.environ | known | {"RUNS": f"{VECTORS} {IMAGES}", "CASES": "enot_image"} | changed


def run(
    project: Path, *, status: int = 0, seconds: int = 500, **changed: str
) -> tuple[str, list[str]]:
    """(what it printed, the commands of entropic-ot that it gave to Python)."""
    calls = project / "calls"
    calls.unlink(missing_ok=True)
    done = subprocess.run(
        ["scripts/run_on_gpu.sh", "out", str(seconds)],
        cwd=project,
        env=environment(project, **changed),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, ""), done.stdout
    lines = calls.read_text().splitlines() if calls.exists() else []
    return done.stdout, [line.removeprefix("-m entropic_ot ").split()[0] for line in lines]


def packed(project: Path, name: str) -> set[str]:
    with tarfile.open(project / "out" / f"{name.replace('/', '-')}.tar.gz") as archive:
        return set(archive.getnames())


DIGITS = ["fetch", "prepare", "classifier"]
RUN = ["train", "sample", "evaluate"]


def test_everything_is_made_in_order_and_once(project: Path) -> None:
    _, calls = run(project)
    assert calls == ["configure", "benchmarks/run.py", *RUN, *DIGITS, *RUN]
    for name in (VECTORS, IMAGES):
        assert packed(project, name) == {
            f"results/paper/metrics/{name}.json",
            *(
                f"results/paper/runs/{name}/{file}"
                for file in ("checkpoint.safetensors", "log.jsonl", "provenance.json")
            ),
        }
    assert (project / "out/bench-gpu.csv").read_text() == "enot_image,1\n"
    shutil.rmtree(project / "out")  # a GPU machine may empty it between two commands
    printed, calls = run(project)
    assert calls == ["configure"] and f"{IMAGES}: done" in printed
    assert {path.name for path in (project / "out").iterdir()} == {
        "bench-gpu.csv",
        *(f"{name.replace('/', '-')}.tar.gz" for name in (VECTORS, IMAGES)),
    }


@pytest.mark.parametrize(
    ("file", "again"),
    [
        ("src/solver.py", ["benchmarks/run.py", *RUN]),
        (f"results/paper/config/{VECTORS}.json", RUN),
        ("results/paper/config/gaussian-d128/evaluation.json", RUN),
        ("benchmarks/run.py", ["benchmarks/run.py"]),
    ],
)
def test_what_was_made_of_something_else_is_made_again(
    project: Path, file: str, again: list[str]
) -> None:
    run(project, RUNS=VECTORS)
    (project / file).write_text("another")
    _, calls = run(project, RUNS=VECTORS)
    assert calls == ["configure", *again]
    assert run(project, RUNS=VECTORS)[1] == ["configure"]


def test_a_toy_problem_is_compared_with_its_plan(project: Path) -> None:
    _, calls = run(project, RUNS=TOY, CASES="")
    assert calls == ["configure", "reference", *RUN]
    assert run(project, RUNS=TOY, CASES="")[1] == ["configure"]


def test_a_run_whose_data_is_not_made_there_is_refused_before_any_training(project: Path) -> None:
    printed, calls = run(project, status=1, RUNS=CELLS, CASES="")
    assert calls == ["configure"] and f"{CELLS}: its data is not made here" in printed


def test_help_makes_nothing(project: Path) -> None:
    for words, status in ((["--help"], 0), ([], 2), (["--fast"], 2)):
        done = subprocess.run(
            ["scripts/run_on_gpu.sh", *words], cwd=project, env=environment(project),
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == status
        assert "scripts/run_on_gpu.sh OUT [SECONDS]" in done.stdout + done.stderr
    assert not (project / "calls").exists() and not (project / "results").exists()


def test_out_is_where_the_command_was_given(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(
        [project / "scripts/run_on_gpu.sh", "out", "500"],
        cwd=elsewhere, env=environment(project, RUNS=VECTORS), check=True, capture_output=True,
    )  # fmt: skip
    assert (elsewhere / "out/bench-gpu.csv").exists() and not (project / "out").exists()


def test_the_default_is_what_the_benchmarks_and_params_know(project: Path) -> None:
    """The order: benchmarks, then vectors, then images; one data set and one classifier."""
    clean = {k: v for k, v in environment(project).items() if k not in ("RUNS", "CASES")}
    done = subprocess.run(
        ["scripts/run_on_gpu.sh", "out"],
        cwd=project,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1  # the stand-in's params.yaml has two of the runs
    missing = [
        line.split()[1].rstrip(":") for line in done.stdout.splitlines() if "no such" in line
    ]
    known = {
        f"{run.case}/{run.name}" for run in load_params(ROOT / "params.yaml", scale="paper").runs
    }
    assert len(missing) == 4 and known >= {*missing, VECTORS, IMAGES}
    timed = [
        line.split()[2]
        for line in (project / "calls").read_text().splitlines()
        if line.startswith("benchmarks")
    ]
    settings = (ROOT / "benchmarks/settings.yaml").read_text()
    assert len(timed) == 10 and all(f"\n  {case}:" in settings for case in timed)
    assert "--quick" not in (project / "calls").read_text()  # which leaves out peak memory


def test_large_checkpoints_stay(project: Path) -> None:
    run(project, RUNS=VECTORS, CHECKPOINT_BYTES="2000001", MAX_CHECKPOINT_MB="2")
    assert not any("checkpoint" in name for name in packed(project, VECTORS))
    run(project, RUNS=VECTORS, MAX_CHECKPOINT_MB="3")
    assert any("checkpoint" in name for name in packed(project, VECTORS))


@pytest.mark.parametrize("step", ["train", "evaluate"])
def test_after_a_failure_the_next_run_is_made(project: Path, step: str) -> None:
    printed, calls = run(project, status=1, FAIL=f" {step} --config results/paper/config/gaussian")
    assert calls[-6:] == [*DIGITS, *RUN]
    assert f"failed: {step} {VECTORS}: ended with 1: error: asked to fail" in printed
    assert not (project / f"out/{VECTORS.replace('/', '-')}.tar.gz").exists()
    assert packed(project, IMAGES)
    _, calls = run(project)
    assert calls == ["configure", *RUN]


def test_without_digits_the_runs_on_vectors_are_made(project: Path) -> None:
    printed, calls = run(project, status=1, FAIL=" fetch ", RUNS=f"{IMAGES} {VECTORS}")
    assert calls == ["configure", "benchmarks/run.py", "fetch", *RUN]
    assert "failed: fetch mnist: ended with 1" in printed


def test_a_benchmark_that_fails_is_told_and_timed_the_next_time(project: Path) -> None:
    printed, calls = run(project, status=1, FAIL="benchmarks/run.py", RUNS=VECTORS)
    assert calls == ["configure", "benchmarks/run.py", *RUN]
    assert "failed: benchmark enot_image: ended with 1: error: asked to fail" in printed
    _, calls = run(project, RUNS=VECTORS)
    assert calls == ["configure", "benchmarks/run.py"]


def test_a_run_that_params_does_not_have_is_a_failure(project: Path) -> None:
    printed, _ = run(project, status=1, RUNS=f"gaussian-d3/enot-eps1-seed0 {VECTORS}")
    assert "gaussian-d3/enot-eps1-seed0: params.yaml has no such run at scale paper" in printed
    assert packed(project, VECTORS)


@pytest.mark.parametrize(
    ("step", "seconds", "runs"),
    [("benchmarks/run.py", 13, VECTORS), ("classifier", 14, IMAGES), ("evaluate", 14, VECTORS)],
)
def test_no_step_goes_on_when_the_time_is_up(
    project: Path, step: str, seconds: int, runs: str
) -> None:
    """Ten of the seconds are kept for ending well, so what hangs is cut off after three or four."""
    began = time.monotonic()
    cases = "enot_image" if step == "benchmarks/run.py" else ""
    printed, calls = run(project, status=3, seconds=seconds, HANG=step, RUNS=runs, CASES=cases)
    assert time.monotonic() - began < seconds
    assert calls[-1] == step  # and nothing was begun after it
    assert "cut off, as the time is up" in printed
    assert "run the same command again to go on" in printed
    run(project, RUNS=runs, CASES=cases)
    assert packed(project, runs)


def test_without_time_nothing_is_begun(project: Path) -> None:
    printed, calls = run(project, status=3, seconds=10)
    assert calls == [] and "the time is up" in printed


def test_what_is_ended_by_a_signal_leaves_no_process(project: Path) -> None:
    with subprocess.Popen(
        ["scripts/run_on_gpu.sh", "out"],
        cwd=project,
        env=environment(project, HANG=" train "),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        calls = project / "calls"
        while not (calls.exists() and " train " in calls.read_text()):
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 130
        process.communicate(timeout=10)  # ends when nobody holds the other end any more
