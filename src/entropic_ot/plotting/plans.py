"""Learned plans in rows of panels, one for each epsilon, from the arrays of samples files.

The arrays are those of entropic_ot.experiments.sample: x, y, target, conditional_x, ...
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from entropic_ot.plotting.curves import Point, metric_by_epsilon
from entropic_ot.plotting.figures import missing_run, new_panels_with_side, row_label
from entropic_ot.plotting.images import image_samples, source_and_target_images
from entropic_ot.plotting.planar import (
    Limits,
    conditional_clouds,
    fitted_samples,
    source_and_target,
    trajectories,
)
from entropic_ot.plotting.style import Array, epsilon_label, method_style

Samples = Mapping[str, Array]
CONTENTS = ("fitted samples", "trajectories", "conditional plans", "images")


def new_plan_panels(
    num_cases: int,
    num_rows: int,
    num_epsilons: int,
    *,
    size: float = 1.8,
    num_side: int | None = None,
) -> tuple[Figure, NDArray[np.object_], NDArray[np.object_]]:
    """A figure with panels [case, side] at the left and [case, row, ε] beside; at least one each.

    num_side: panels at the left for each case; None: as many as there are rows.
    """
    cases, rows, epsilons = max(1, num_cases), max(1, num_rows), max(1, num_epsilons)
    beside = num_side or rows
    figure, side, axes = new_panels_with_side(
        cases * rows, epsilons, size=size, num_side=cases * beside
    )
    return figure, side.reshape(cases, beside), axes.reshape(cases, rows, epsilons)


def epsilon_titles(line: Sequence[Axes], epsilons: Sequence[float]) -> None:
    """The headings of the columns, above the first row; none without any ε."""
    for ax, epsilon in zip(line, epsilons, strict=False):
        ax.set_title(epsilon_label(epsilon))


def data_column(
    column: Sequence[Axes],
    data: Samples,
    curves: Mapping[str, Mapping[str, Sequence[Point]]],
    limits: Limits | None,
    heading: str,
    *,
    axis_labels: tuple[str, str] = ("", ""),
    log: Collection[str] = (),
) -> None:
    """Source and target, and below them a metric in each panel: {label: {method: points}}.

    Without `limits` the data are images. The metrics whose labels are in `log` have logarithmic
    axes.
    """
    if limits is None:
        source_and_target_images(column[0], data["x"], data["target"])
    else:
        source_and_target(column[0], data["x"], data["target"], limits)
        column[0].set(xlabel=axis_labels[0], ylabel=axis_labels[1])
    column[0].set_title(heading)
    for ax, (label, points) in zip(column[1:], curves.items(), strict=True):
        metric_by_epsilon(ax, points, label, log=label in log)


def plan_row(
    line: Sequence[Axes],
    method: str,
    content: str,
    plans: Mapping[float, Samples],
    epsilons: Sequence[float],
    limits: Limits | None,
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


def plan(ax: Axes, content: str, samples: Samples, limits: Limits | None, *, colour: str) -> None:
    """A plan as one of CONTENTS; all but images are in the plane and need `limits`."""
    if content not in CONTENTS:
        raise ValueError(f"content: found {content!r}, expected one of {', '.join(CONTENTS)}")
    if content == "images":
        image_samples(ax, samples, num_inputs=4, num_samples=4)
        ax.set_xlim(*_wider(*ax.get_xlim()))  # panels that stand side by side stay apart
        return
    if limits is None:
        raise ValueError(f"limits: found None, expected those of the panel for {content}")
    y, target = samples["y"], samples["target"]
    if content == "trajectories":
        trajectories(ax, samples["path"], target, limits, colour=colour)
    elif content == "fitted samples":
        fitted_samples(ax, y, target, limits, colour=colour, x=samples["x"])
    else:
        fitted_samples(ax, y, target, limits, colour=colour, faint=True)
        conditional_clouds(ax, samples["conditional_x"], samples["conditional_y"])


def _wider(left: float, right: float, margin: float = 0.05) -> tuple[float, float]:
    room = margin * (right - left)
    return left - room, right + room
