"""benchmarks/scale_out.py describes as many runs as it says, and keeps the rows of others."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

import scale_out
from entropic_ot.errors import ConfigError, EntropicOTError
from entropic_ot.experiments.params import load_params


@pytest.mark.parametrize("num_runs", [10, 1660, 5000])
def test_params_of_so_many_runs(num_runs: int, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(scale_out.make_params(num_runs)))
    runs = load_params(path).runs
    assert len({(run.case, run.name) for run in runs}) == len(runs) == num_runs


def test_numbers_that_are_no_grid_are_refused() -> None:
    with pytest.raises(ConfigError, match="found 15, expected a multiple of 10"):
        scale_out.make_params(15)


def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EntropicOTError, match="why it failed"):
        scale_out.cost(tmp_path, "bash", "-c", "echo why it failed; exit 3")


def test_cost_counts_what_the_command_started(tmp_path: Path) -> None:
    loop = "for _ in $(seq 200000); do :; done"
    found = scale_out.cost(tmp_path, "bash", "-c", f"bash -c '{loop}'; true")
    assert found.cpu > 0.05 and found.wall > 0.05 and found.peak_mb > 1


def test_rows_of_other_numbers_stay(tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    for runs, value in ((100, 1.0), (10, 2.0), (100, 3.0)):
        rows = scale_out.Rows(runs, "commit")
        rows.add("plan_cpu", value, "s")
        scale_out.write(rows.rows, out)
    with out.open(newline="") as file:
        found = [(row["runs"], row["jobs"], row["value"]) for row in csv.DictReader(file)]
    assert found == [("10", "34", "2"), ("100", "304", "3")]


def test_bytes_of_real_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no finished run"):
        scale_out.measure_results(tmp_path, "commit")
    for run in ("a", "b"):
        folder = tmp_path / "runs/case" / run
        folder.mkdir(parents=True)
        (folder / "provenance.json").write_bytes(b"0" * 500_000)
    rows = {row["quantity"]: row["value"] for row in scale_out.measure_results(tmp_path, "commit")}
    assert rows["real_runs_a_run"] == "0.5" and rows["real_files_a_run"] == "1"
