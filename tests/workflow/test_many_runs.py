"""More runs than names have room in a command: what rules give to commands on all runs at once."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tiny_project import Project, make_project, tiny_params

from entropic_ot.experiments.params import load_params
from entropic_ot.experiments.tables import COLUMNS

pytestmark = pytest.mark.slow
NUM_RUNS = 2500
RUN = re.compile(r"\S+/enot-eps[\d.]+-seed\d+\b")


def test_no_command_names_more_than_one_run(finished: Project) -> None:
    words = ("--dry-run", "--forceall", "--printshellcmds", "--cores", "2", "--", "all")
    output = finished.run("snakemake", *words)
    commands = re.findall(r"^Shell command: (.*)$", output, re.MULTILINE)
    assert sum("entropic-ot table" in command for command in commands) == 1
    assert sum("--samples @" in command for command in commands) == 2
    for command in commands:
        assert len({name.rpartition("/")[2] for name in RUN.findall(command)}) <= 1, command


@pytest.mark.extra
def test_tables_of_thousands_of_runs(tmp_path: Path) -> None:
    """By Snakemake and its shell; the metrics are made up, with one row each."""
    params = tiny_params()
    params["experiments"].pop("my_data")
    params["figures"].pop("my_data")
    params["scales"]["smoke"]["experiments"].pop("my_data")
    params["experiments"]["gaussian"]["seeds"] = list(range(NUM_RUNS // 2))
    project = make_project(tmp_path / "project", params)
    names = [str(path) for path in write_results(project)]
    with pytest.raises(OSError, match="Argument list too long"):  # what lists are for
        subprocess.run(["bash", "-c", " ".join([":", *names])], check=True)
    table = "results/smoke/tables/metrics.csv"
    project.run("snakemake", "--cores", "1", "--allowed-rules", "table", "--", table)
    assert len((project / table).read_text().splitlines()) == 1 + NUM_RUNS
    losses = (project / "results/smoke/tables/losses.csv").read_text().splitlines()
    assert len(losses) == 1 + NUM_RUNS


def write_results(project: Project) -> list[Path]:
    """A metrics file and a log for every run of params.yaml; returns the names of the former."""
    resolved = load_params(project / "params.yaml")
    assert len(resolved.runs) == NUM_RUNS
    files = []
    for run in resolved.runs:
        row: dict[str, Any] = dict.fromkeys(COLUMNS) | {
            **{"scale": "smoke", "experiment": "gaussian", "variant": "d2", "method": "enot"},
            **{"epsilon": run.config.epsilon, "seed": run.config.seed, "dim": 2, "n": 10},
            **{"metric": "bw_uvp_plan", "value": 1.0, "train_seconds": 1.0},
        }
        metrics = resolved.layout.metrics(run.case, run.name)
        log = resolved.layout.log(run.case, run.name)
        for path, record in ((metrics, {"rows": [row]}), (log, {"step": 1, "energy": 0.5})):
            (project / str(path)).parent.mkdir(parents=True, exist_ok=True)
            (project / str(path)).write_text(json.dumps(record) + "\n")
        files.append(metrics)
    return files
