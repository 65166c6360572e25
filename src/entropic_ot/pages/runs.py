"""Every metric of every run, to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entropic_ot.experiments.statistics import floor_text
from entropic_ot.experiments.tables import MetricRow, points_text
from entropic_ot.metrics.registry import METRICS


@dataclass(frozen=True)
class Case:
    """The runs of one case."""

    name: str
    dim: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


_LEFT = ("method", "ε", "seed")
_RIGHT = ("train s", "device", "commit")


def cases(rows: Sequence[MetricRow]) -> list[Case]:
    """One table per case: a row per run, a column per metric, floors in parentheses."""
    found = []
    for name in dict.fromkeys(row.case for row in rows):
        inside = [row for row in rows if row.case == name]
        metrics = list(dict.fromkeys(row.metric for row in inside))
        runs = dict.fromkeys((row.method, row.epsilon, row.seed) for row in inside)
        by_run = {
            run: {r.metric: r for r in inside if (r.method, r.epsilon, r.seed) == run}
            for run in runs
        }
        headings = [_heading(m, [r.n for r in inside if r.metric == m]) for m in metrics]
        found.append(
            Case(
                name=name,
                dim=inside[0].dim,
                columns=(*_LEFT, *headings, *_RIGHT),
                rows=tuple(_row(own, metrics) for own in by_run.values()),
            )
        )
    return found


def _heading(metric: str, counts: Sequence[int]) -> str:
    definition = METRICS[metric]
    parts = [definition.unit] if definition.unit else []
    parts += [points_text(counts)] if definition.depends_on_n else []
    return f"{metric} [{', '.join(parts)}]" if parts else metric


def _row(own: dict[str, MetricRow], metrics: Sequence[str]) -> tuple[str, ...]:
    one = next(iter(own.values()))
    commit = (one.commit or "unknown")[:8] + ("+" if one.dirty else "")
    return (
        *(one.method, f"{one.epsilon:g}", str(one.seed)),
        *(_cell(own.get(metric)) for metric in metrics),
        *(f"{one.train_seconds:.1f}", one.device, commit),
    )


def _cell(row: MetricRow | None) -> str:
    if row is None:
        return ""
    floor = "" if row.floor is None else f" ({floor_text(row.floor, row.floor_std)})"
    return f"{row.value:.4g}{floor}"
