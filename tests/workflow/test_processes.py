"""Trainings of the workflow in several processes: EOT_PROCESSES, of which no result depends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tiny_project import make_project

pytestmark = pytest.mark.extra

RUN = Path("results/smoke/runs/gaussian-d2/enot-eps1-seed0")


def test_the_number_of_processes_makes_nothing_stale(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    checkpoint = str(RUN / "checkpoint.safetensors")
    done = subprocess.run(
        ["snakemake", "--cores", "8", "--", checkpoint],
        cwd=project.folder,
        env=project.environment | {"EOT_PROCESSES": "2"},
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((project / str(RUN / "provenance.json")).read_text())
    assert record["device"].startswith("2 processes, each with ")
    planned = project.planned()
    assert "training gaussian-d2 enot-eps0.1-seed0" in planned
    assert "training gaussian-d2 enot-eps1-seed0" not in planned
