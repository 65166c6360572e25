"""scripts/run_on_gpu.sh with a stand-in for Python that only writes what each command would."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_IN = """#!/usr/bin/env bash
echo "$*" >> "$CALLS"
value() { local name=$1; shift; while [[ $1 != "$name" ]]; do shift; done; echo "$2"; }
case "$*" in
    *benchmarks/run.py*) echo "$(value --only "$@"),1" >> "$(value --out "$@")" ;;
    *configure*) mkdir -p results/paper/config/gaussian-d128
        touch results/paper/config/gaussian-d128/enot-eps1-seed0.json ;;
    *" train "*) [[ -z ${FAIL:-} ]] || exit 1
        to=$(value --out "$@"); mkdir -p "$to"
        touch "$to"/{checkpoint.safetensors,log.jsonl,provenance.json} ;;
    *" sample "* | *" evaluate "*)
        to=$(value --out "$@"); mkdir -p "$(dirname "$to")"; touch "$to" ;;
esac
"""
RUN = "gaussian-d128-enot-eps1-seed0"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/run_on_gpu.sh", tmp_path / "scripts")
    stand_in = tmp_path / "python"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    return tmp_path


def run(project: Path, *, seconds: int = 500, **environment: str) -> tuple[str, list[str]]:
    """(what it printed, the commands it gave to Python)."""
    calls = project / "calls"
    calls.unlink(missing_ok=True)
    done = subprocess.run(
        ["scripts/run_on_gpu.sh", "out", str(seconds)],
        cwd=project,
        env=os.environ | {"PYTHON": str(project / "python"), "CALLS": str(calls)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, calls.read_text().splitlines()


def test_everything_is_made_once(project: Path) -> None:
    printed, calls = run(project)
    assert sum("benchmarks/run.py" in call for call in calls) == 9
    words = ("train", "sample", "evaluate")
    assert [sum(f" {word} " in call for call in calls) for word in words] == [1, 1, 1]
    assert "cmnist_2to3-32px/enot-eps1-seed0: not in params.yaml at scale paper" in printed
    found = {path.name for path in (project / "out" / RUN).iterdir()}
    assert found == {"checkpoint.safetensors", "log.jsonl", "provenance.json", "metrics.json"}
    printed, calls = run(project)
    assert f"{RUN.replace('d128-', 'd128/')}: done" in printed
    assert len(calls) == 1  # configure


def test_a_training_that_is_cut_off_is_told_and_goes_on_later(project: Path) -> None:
    printed, _ = run(project, FAIL="1")
    assert "not finished; run the same command again to go on" in printed
    assert not (project / "out" / RUN).exists()
    run(project)
    assert (project / "out" / RUN / "metrics.json").exists()


def test_without_time_nothing_is_begun(project: Path) -> None:
    printed, calls = run(project, seconds=10)
    assert "no time left" in printed
    assert len(calls) == 1
