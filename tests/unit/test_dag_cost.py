"""What benchmarks/dag_cost.py times is what it says."""

from __future__ import annotations

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
        dag_cost.idle_seconds(dag_cost.SNAKEMAKE, tmp_path)
    monkeypatch.setattr(dag_cost, "run", lambda command, folder: "Running stage 'train-a'\n")
    with pytest.raises(SystemExit, match="something to do"):
        dag_cost.idle_seconds(dag_cost.DVC, tmp_path)
