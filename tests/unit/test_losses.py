"""losses.csv: what `dvc plots` draws of the trainings."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from entropic_ot.commands.table import table
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.losses import losses_as_csv, read_log, thinned
from entropic_ot.experiments.tables import COLUMNS

ROW: dict[str, Any] = dict.fromkeys(COLUMNS) | {
    **{"experiment": "gaussian", "variant": "d2", "method": "enot", "epsilon": 0.1, "seed": 3},
    **{"metric": "bw_uvp_plan", "value": 1.0, "dim": 2, "n": 10, "train_seconds": 1.0},
}


def write_log(path: Path, steps: int) -> Path:
    records = ({"step": k, "seconds": 0.1, "energy": k / 2, "gap": -k} for k in range(1, steps + 1))
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_line_for_each_step_and_loss(tmp_path: Path) -> None:
    text = losses_as_csv([(ROW, write_log(tmp_path / "log.jsonl", 2))])
    lines = list(csv.DictReader(text.splitlines()))
    assert [(line["step"], line["loss"], line["value"]) for line in lines] == [
        *(("1", "energy", "0.5"), ("1", "gap", "-1")),
        *(("2", "energy", "1.0"), ("2", "gap", "-2")),
    ]
    assert {(line["case"], line["method"], line["epsilon"], line["seed"]) for line in lines} == {
        ("gaussian-d2", "enot", "0.1", "3")
    }


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250, 1000])
def test_long_logs_are_thinned_evenly_to_their_last_line(count: int) -> None:
    records = [{"step": step} for step in range(count)]
    kept = [record["step"] for record in thinned(records, 100)]
    assert len(kept) <= 100
    assert kept[-1:] == [count - 1][: count > 0]
    assert len({b - a for a, b in itertools.pairwise(kept)}) <= 1
    if count <= 100:
        assert kept == list(range(count))


@pytest.mark.parametrize("text", ["{", "3", '{"energy": 1}', "\udcff"])
def test_a_log_that_is_none_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"log\.jsonl"):
        read_log(path)


def test_logs_belong_to_metrics_one_to_one(tmp_path: Path) -> None:
    metrics, log = tmp_path / "run.json", write_log(tmp_path / "log.jsonl", 1)
    metrics.write_text(json.dumps({"rows": [ROW]}))
    with pytest.raises(ConfigError, match="2 logs for 1"):
        table([metrics], tmp_path, logs=[log, log])
    table([metrics], tmp_path, logs=[log])
    assert len((tmp_path / "losses.csv").read_text().splitlines()) == 3
    table([metrics], tmp_path / "without")
    assert not (tmp_path / "without/losses.csv").exists()
