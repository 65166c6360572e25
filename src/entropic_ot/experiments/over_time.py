"""Metrics of X_t at each time, tidy: what stands in metrics.csv as the mean over the times."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entropic_ot.errors import DataError
from entropic_ot.experiments.tidy import csv_lines, csv_text

FILE = "over_time.csv"
"""Beside metrics.csv."""
COLUMNS = (
    *("scale", "experiment", "variant", "method", "epsilon", "seed"),
    *("metric", "t", "value", "floor"),
)


@dataclass(frozen=True)
class TimeRow:
    """A line of over_time.csv."""

    case: str
    """Experiment and variant, as in paths: gaussian-d16."""
    method: str
    epsilon: float
    seed: int
    metric: str
    t: float
    value: float
    floor: float
    """What an exact sampler gets with as many points."""


def read_over_time(files: Iterable[Path]) -> list[dict[str, Any]]:
    """The entries `over_time` of metrics files, in their order; a file may be without."""
    rows: list[dict[str, Any]] = []
    for file in files:
        try:
            found = json.loads(file.read_text()).get("over_time", [])
            rows += [{name: row[name] for name in COLUMNS} for row in found]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{file}: cannot be read as metrics over time ({type(error).__name__}: {error}), "
                f"expected a list over_time of mappings of {', '.join(COLUMNS)}; "
                "`entropic-ot evaluate` writes it anew"
            ) from None
    return rows


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Tidy CSV: one line per run, metric and time."""
    return csv_text(COLUMNS, rows)


def read_csv(path: str | Path) -> list[TimeRow]:
    """The lines of over_time.csv; DataError when it is missing or lacks a column."""
    return csv_lines(path, _row)


def _row(line: dict[str, str]) -> TimeRow:
    return TimeRow(
        case=line["experiment"] + (f"-{line['variant']}" if line["variant"] else ""),
        method=line["method"],
        epsilon=float(line["epsilon"]),
        seed=int(line["seed"]),
        metric=line["metric"],
        t=float(line["t"]),
        value=float(line["value"]),
        floor=float(line["floor"]),
    )
