"""Learned plans in rows of panels, one for each epsilon, from the arrays of samples files.

The arrays are those of entropic_ot.experiments.sample: x, y, target, conditional_x, ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from entropic_ot.plotting.curves import Point, metric_by_epsilon
from entropic_ot.plotting.figures import missing_run, new_panels_with_side, row_label
from entropic_ot.plotting.planar import (
    Limits,
    conditional_clouds,
    fitted_samples,
    source_and_target,
    trajectories,
)
from entropic_ot.plotting.style import Array, epsilon_label, method_style

Samples = Mapping[str, Array]


def new_plan_panels(
    num_cases: int, num_rows: int, num_epsilons: int, *, size: float = 1.8
) -> tuple[Figure, NDArray[np.object_], NDArray[np.object_]]:
    """A figure with panels [case, row] at the left and [case, row, ε] beside; at least one each."""
    cases, rows, epsilons = max(1, num_cases), max(1, num_rows), max(1, num_epsilons)
    figure, side, axes = new_panels_with_side(cases * rows, epsilons, size=size)
    return figure, side.reshape(cases, rows), axes.reshape(cases, rows, epsilons)


def epsilon_titles(line: Sequence[Axes], epsilons: Sequence[float]) -> None:
    """The headings of the columns, above the first row; none without any ε."""
    for ax, epsilon in zip(line, epsilons, strict=False):
        ax.set_title(epsilon_label(epsilon))


def data_column(
    column: Sequence[Axes],
    data: Samples,
    curves: Mapping[str, Mapping[str, Sequence[Point]]],
    limits: Limits,
    heading: str,
) -> None:
    """Source and target, and below them a metric in each panel: {label: {method: points}}."""
    source_and_target(column[0], data["x"], data["target"], limits)
    column[0].set_title(heading)
    for ax, (label, points) in zip(column[1:], curves.items(), strict=True):
        metric_by_epsilon(ax, points, label)


def plan_row(
    line: Sequence[Axes],
    method: str,
    content: str,
    plans: Mapping[float, Samples],
    epsilons: Sequence[float],
    limits: Limits,
    *,
    label: str | None = None,
) -> None:
    """A method's plans {ε: samples}, drawn by `plan`; where there is no run the panel says so."""
    style = method_style(method)
    row_label(line[0], f"{style.label}\n{label}" if label else style.label, style.colour)
    for ax, epsilon in zip(line, epsilons, strict=True):
        if epsilon in plans:
            plan(ax, content, plans[epsilon], limits, colour=style.colour)
        else:
            missing_run(ax, method, epsilon)


def plan(ax: Axes, content: str, samples: Samples, limits: Limits, *, colour: str) -> None:
    """A plan in the plane as `fitted samples`, `trajectories` or `conditional plans`."""
    y, target = samples["y"], samples["target"]
    if content == "fitted samples":
        fitted_samples(ax, y, target, limits, colour=colour, x=samples["x"])
    elif content == "trajectories":
        trajectories(ax, samples["path"], target, limits, colour=colour)
    elif content == "conditional plans":
        fitted_samples(ax, y, target, limits, colour=colour, faint=True)
        conditional_clouds(ax, samples["conditional_x"], samples["conditional_y"])
    else:
        raise ValueError(
            f"content: found {content!r}, "
            "expected fitted samples, trajectories or conditional plans"
        )
