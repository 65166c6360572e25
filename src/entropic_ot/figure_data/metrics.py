"""The tidy table of metrics, as means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from entropic_ot.experiments.over_time import TimeRow
from entropic_ot.experiments.statistics import (
    MeanOverSeeds,
    clearly_best,
    floor_text,
    mean_over_seeds,
    with_half_width,
)
from entropic_ot.experiments.tables import MetricRow, read_csv
from entropic_ot.figure_data.samples import FigureRun, epsilons_of, methods_of, runs_of
from entropic_ot.metrics.registry import METRICS
from entropic_ot.plotting import Cell, Point, TimePoint, method_style


def read_metrics(path: str | Path) -> list[MetricRow]:
    """The lines of metrics.csv; DataError when it is missing or has other columns."""
    return read_csv(path)


@dataclass(frozen=True)
class Estimate:
    """A metric over the seeds of a run."""

    over_seeds: MeanOverSeeds
    """Its mean and the 95 % interval of the mean."""
    floor: float | None
    """Mean of the floors."""
    floor_std: float | None
    """Mean of their standard deviations over exact samplers; None: not known."""
    train_seconds: float
    """Mean seconds of training."""

    @property
    def value(self) -> float:
        """The mean."""
        return self.over_seeds.mean

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the mean (Student's t); 0 for one seed."""
        return self.over_seeds.half_width or 0.0

    def __str__(self) -> str:
        if self.over_seeds.half_width is None:
            return f"{self.value:.3g}"
        return with_half_width(self.value, self.half_width)


def estimate(
    rows: Sequence[MetricRow], metric: str, *, case: str, method: str, epsilon: float
) -> Estimate | None:
    """The metric's mean over seeds with its interval; None when the table does not have it."""
    own = [
        row
        for row in rows
        if (row.metric, row.case, row.method, row.epsilon) == (metric, case, method, epsilon)
    ]
    if not own:
        return None
    floors = [row.floor for row in own if row.floor is not None]
    spreads = [row.floor_std for row in own if row.floor_std is not None]
    return Estimate(
        over_seeds=mean_over_seeds([row.value for row in own]),
        floor=float(np.mean(floors)) if floors else None,
        floor_std=float(np.mean(spreads)) if spreads else None,
        train_seconds=float(np.mean([row.train_seconds for row in own])),
    )


def series(
    rows: Sequence[MetricRow], metric: str, runs: Sequence[FigureRun], *, case: str
) -> dict[str, list[Point]]:
    """method -> the metric's points, for the runs of one case that the table has."""
    own = [run for run in runs if run.case == case]
    out: dict[str, list[Point]] = {}
    for method in methods_of(own):
        for epsilon in runs_of(own, method=method):
            found = estimate(rows, metric, case=case, method=method, epsilon=epsilon)
            if found is not None:
                point = Point(epsilon, found.value, found.half_width, found.floor, found.floor_std)
                out.setdefault(method, []).append(point)
    return out


def series_over_time(
    rows: Sequence[TimeRow],
    metric: str,
    *,
    case: str,
    epsilon: float,
    methods: Iterable[str],
) -> dict[str, list[TimePoint]]:
    """method -> the metric at each time, as the mean over seeds, where the table has values."""
    out: dict[str, list[TimePoint]] = {}
    for method in methods:
        key = (metric, case, method, epsilon)
        own = [row for row in rows if (row.metric, row.case, row.method, row.epsilon) == key]
        for t in sorted({row.t for row in own}):
            at_t = [row for row in own if row.t == t]
            mean = mean_over_seeds([row.value for row in at_t])
            floor = float(np.mean([row.floor for row in at_t]))
            point = TimePoint(t, mean.mean, mean.half_width or 0.0, floor)
            out.setdefault(method, []).append(point)
    return out


def comparison_table(
    rows: Sequence[MetricRow], metrics: Sequence[str], runs: Sequence[FigureRun], *, case: str
) -> tuple[list[list[Cell]], list[int]]:
    """Cells [ε, method, (value, floor) per metric, seconds] and the rows at which ε changes.

    Bold: what is clearly the best at that ε (statistics.clearly_best). Runs without any of the
    metrics are left out.
    """
    own = [run for run in runs if run.case == case]
    cells: list[list[Cell]] = []
    starts: list[int] = []
    for epsilon in epsilons_of(own):
        found = {
            method: [estimate(rows, m, case=case, method=method, epsilon=epsilon) for m in metrics]
            for method in methods_of(own)
            if epsilon in runs_of(own, method=method)
        }
        found = {method: values for method, values in found.items() if any(values)}
        best = [
            clearly_best(
                {m: e.over_seeds for m, v in found.items() if (e := v[number]) is not None},
                lower_is_better=METRICS[metric].lower_is_better,
            )
            for number, metric in enumerate(metrics)
        ]
        if found:
            starts.append(len(cells))
        for number, (method, values) in enumerate(found.items()):
            line = [Cell(f"{epsilon:g}" if number == 0 else ""), _method_cell(method)]
            for value, winner in zip(values, best, strict=True):
                line.append(Cell("–" if value is None else str(value), bold=method == winner))
                floor = "–" if value is None else floor_text(value.floor, value.floor_std)
                line.append(Cell(floor, colour="#777777"))
            seconds = next(v.train_seconds for v in values if v is not None)
            cells.append([*line, Cell(seconds_text(seconds))])
    return cells, starts


def _method_cell(method: str) -> Cell:
    style = method_style(method)
    return Cell(style.label, colour=style.colour)


def seconds_text(seconds: float) -> str:
    """Two digits below ten seconds, whole seconds above."""
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"


def as_markdown(header: Sequence[str], cells: Sequence[Sequence[Cell]]) -> str:
    """The same cells for a notebook's page."""
    lines = ["| " + " | ".join(text.replace("\n", " ") for text in header) + " |"]
    lines.append("|" + "---|" * len(header))
    for row in cells:
        lines.append("| " + " | ".join(f"**{c.text}**" if c.bold else c.text for c in row) + " |")
    return "\n".join(lines)
