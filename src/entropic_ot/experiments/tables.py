"""The tidy table of all metrics, and the same for reading."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entropic_ot.errors import DataError
from entropic_ot.experiments.statistics import floor_text
from entropic_ot.experiments.tidy import csv_lines, csv_text
from entropic_ot.metrics.registry import METRICS

COLUMNS = (
    "scale",
    "experiment",
    "method",
    "epsilon",
    "dim",
    "seed",
    "metric",
    "value",
    "floor",
    "n",
    "train_seconds",
    "device",
    "commit",
    "dirty",
    "variant",
    "precision",
    "config_sha256",
    "floor_std",
    "compile",
)


def read_rows(files: Iterable[Path]) -> list[dict[str, Any]]:
    """The rows of all metrics files, in the order of the files."""
    rows: list[dict[str, Any]] = []
    for file in files:
        try:
            found = json.loads(file.read_text())["rows"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(
                f"{file}: cannot be read as metrics ({type(error).__name__}: {error}), expected "
                "JSON with rows; `entropic-ot evaluate` writes it"
            ) from None
        if not isinstance(found, list) or any(
            not isinstance(row, dict) or set(row) != set(COLUMNS) for row in found
        ):
            raise DataError(
                f"{file}: cannot be read as metrics: found other rows than expected, each a "
                f"mapping of {', '.join(COLUMNS)}; `entropic-ot evaluate` writes it anew"
            )
        rows += found
    return rows


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Tidy CSV: one line per run and metric; an unknown floor is empty."""
    return csv_text(COLUMNS, rows)


@dataclass(frozen=True)
class MetricRow:
    """A line of metrics.csv, as figures and comparisons use it."""

    experiment: str
    variant: str | None
    method: str
    epsilon: float
    dim: int
    seed: int
    metric: str
    value: float
    floor: float | None
    """What an exact sampler gets with as many points; None: not known."""
    floor_std: float | None
    """Its standard deviation over exact samplers; None: not known."""
    n: int
    """Points behind the value."""
    train_seconds: float
    device: str
    commit: str | None
    """None: not trained in a git checkout."""
    dirty: bool
    """Whether tracked files differed from the commit."""

    @property
    def case(self) -> str:
        """Experiment and variant, as in paths: gaussian-d16."""
        return self.experiment if self.variant is None else f"{self.experiment}-{self.variant}"


def read_csv(path: str | Path) -> list[MetricRow]:
    """The lines of metrics.csv; DataError when it is missing or lacks a column that is used here.

    Tables of before, without the column `compile`, are read as well.
    """
    return csv_lines(path, _metric_row)


def _metric_row(line: dict[str, str]) -> MetricRow:
    return MetricRow(
        experiment=line["experiment"],
        variant=line["variant"] or None,
        method=line["method"],
        epsilon=float(line["epsilon"]),
        dim=int(line["dim"]),
        seed=int(line["seed"]),
        metric=line["metric"],
        value=float(line["value"]),
        floor=float(line["floor"]) if line["floor"] else None,
        floor_std=float(line["floor_std"]) if line["floor_std"] else None,
        n=int(line["n"]),
        train_seconds=float(line["train_seconds"]),
        device=line["device"],
        commit=line["commit"] or None,
        dirty=line["dirty"] == "True",
    )


def case_of(row: dict[str, Any]) -> str:
    """Experiment and variant, as in paths."""
    return row["experiment"] + (f"-{row['variant']}" if row["variant"] else "")


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """One table per case: a line per run, a column per metric, floors in parentheses."""
    parts = []
    for case in dict.fromkeys(map(case_of, rows)):
        inside = [row for row in rows if case_of(row) == case]
        metrics = list(dict.fromkeys(row["metric"] for row in inside))
        dim = inside[0]["dim"]
        headings = [_heading(m, [r["n"] for r in inside if r["metric"] == m]) for m in metrics]
        lines = [f"### {case} (dimension {dim})", ""]
        lines.append(f"| method | ε | seed | {' | '.join(headings)} | train s |")
        lines.append("|---|---|---|" + "---|" * (len(metrics) + 1))
        runs = dict.fromkeys((row["method"], row["epsilon"], row["seed"]) for row in inside)
        for run in runs:
            own = {
                row["metric"]: row
                for row in inside
                if (row["method"], row["epsilon"], row["seed"]) == run
            }
            cells = " | ".join(_cell(own.get(metric)) for metric in metrics)
            seconds = next(iter(own.values()))["train_seconds"]
            lines.append(f"| {run[0]} | {run[1]:g} | {run[2]} | {cells} | {seconds:.1f} |")
        parts.append("\n".join(lines))
    note = (
        "In parentheses: what an exact sampler, or as many real training images, gets with as many "
        "points (± the standard deviation over such samplers). n: points behind a value whose bias "
        "depends on their number.\n"
    )
    return "\n\n".join(parts) + "\n\n" + note


def _heading(metric: str, counts: list[int]) -> str:
    definition = METRICS[metric]
    parts = [definition.unit] if definition.unit else []
    parts += [points_text(counts)] if definition.depends_on_n else []
    return f"{metric} [{', '.join(parts)}]" if parts else metric


def points_text(counts: Iterable[int]) -> str:
    """ "n = 1000", or "n = 500 to 1000" where the values are of different numbers of points."""
    found = sorted(set(counts))
    return f"n = {found[0]}" + (f" to {found[-1]}" if len(found) > 1 else "")


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    known = row["floor"] is not None
    floor = f" ({floor_text(row['floor'], row['floor_std'])})" if known else ""
    return f"{row['value']:.4g}{floor}"


def as_nested(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """{case: {run: {metric: value}}}, for `dvc metrics show`."""
    tree: dict[str, Any] = {}
    for row in rows:
        run = f"{row['method']}-eps{row['epsilon']:g}-seed{row['seed']}"
        tree.setdefault(case_of(row), {}).setdefault(run, {})[row["metric"]] = row["value"]
    return tree
