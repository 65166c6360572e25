"""What benchmarks/dag_cost.py times is what it says."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

import dag_cost
from entropic_ot.experiments.params import load_params

REPOSITORY = Path(__file__).parents[2]


def test_the_large_project_has_so_many_trainings(tmp_path: Path) -> None:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(dag_cost.many_runs(params, 1000), sort_keys=False))
    assert len(load_params(path).runs) == 1000


def test_a_project_that_is_not_idle_is_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dag_cost, "run", lambda command, folder: "Job 3: training a\n")
    with pytest.raises(SystemExit, match="something to do"):
        dag_cost.idle_cost(dag_cost.SNAKEMAKE, tmp_path, "abc")
    monkeypatch.setattr(dag_cost, "run", lambda command, folder: "Running stage 'train-a'\n")
    with pytest.raises(SystemExit, match="something to do"):
        dag_cost.idle_cost(dag_cost.DVC, tmp_path, "abc")


def test_rows_say_seconds_and_of_which_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dag_cost, "run", lambda command, folder: dag_cost.IDLE[dag_cost.DVC])
    cost = dag_cost.idle_cost(dag_cost.DVC, tmp_path, "abc+")
    assert 0 <= cost.seconds < 1
    out = tmp_path / "new" / "dag-cost.csv"
    dag_cost.write([cost.row("idle dvc", "all results")], out)
    (row,) = csv.DictReader(out.read_text().splitlines())
    assert tuple(row) == dag_cost.COLUMNS
    assert row["commit"] == "abc+" and row["repeats"] == "3"
    assert float(row["first_seconds"]) == round(cost.first_seconds, 2)
