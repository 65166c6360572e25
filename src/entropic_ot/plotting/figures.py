"""Figures, their panels, and what stands around them: headings, legends, messages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from entropic_ot.data.leftovers import remove_leftovers
from entropic_ot.files import atomic_path
from entropic_ot.plotting.style import (
    DPI,
    FLOOR_COLOUR,
    FLOOR_DASHES,
    SOURCE_COLOUR,
    TARGET_COLOUR,
    TEXT_COLOUR,
    method_style,
)

LEGEND_ENTRY_INCHES = 1.2


def new_figure(width: float, height: float, *, wspace: float = 0.02) -> Figure:
    """An empty figure of that many inches that arranges its panels by itself."""
    engine = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04, wspace=wspace, hspace=0.02)
    return Figure(figsize=(width, height), layout=engine, dpi=DPI)


def new_panels(
    num_rows: int,
    num_columns: int,
    *,
    size: float = 1.9,
    last_column: float = 1.0,
    num_last: int = 1,
) -> tuple[Figure, NDArray[np.object_]]:
    """A figure and its [rows, columns] panels of `size` inches; the last ones may be wider."""
    if num_rows < 1 or num_columns < 1:
        raise ValueError(f"panels: found {num_rows} x {num_columns}, expected at least 1 x 1")
    ratios = [1.0] * (num_columns - num_last) + [last_column] * num_last
    figure = new_figure(size * sum(ratios) + 0.4, size * num_rows + 0.6)
    return figure, figure.subplots(num_rows, num_columns, squeeze=False, width_ratios=ratios)


def new_panels_with_side(
    num_rows: int, num_columns: int, *, size: float = 1.8, num_side: int | None = None
) -> tuple[Figure, NDArray[np.object_], NDArray[np.object_]]:
    """A figure, a column of `num_side` panels at its left and [rows, columns] square ones.

    None: as many as there are rows.
    """
    if num_rows < 1 or num_columns < 1:
        raise ValueError(f"panels: found {num_rows} x {num_columns}, expected at least 1 x 1")
    widths = [1.3 * size, size * num_columns + 0.45]
    figure = new_figure(sum(widths), size * num_rows + 0.6)
    grid = figure.add_gridspec(1, 2, width_ratios=widths)
    side, main = (figure.add_subfigure(cell) for cell in (grid[0], grid[1]))
    return (
        figure,
        side.subplots(num_side or num_rows, 1, squeeze=False)[:, 0],
        main.subplots(num_rows, num_columns, squeeze=False),
    )


def new_panels_with_table(
    num_lines: Sequence[int], num_metrics: int, num_below: int
) -> tuple[Figure, NDArray[np.object_], NDArray[np.object_]]:
    """A figure with two rows of panels for each table of so many lines (at least one table).

    The panels [table, num_metrics + 1] are those of metrics and, at the right, the table; the
    panels [table, num_below] stand under them (at least one).
    """
    lines, below = list(num_lines) or [9], max(1, num_below)
    heights = [inches for n in lines for inches in (0.22 * max(12, n), 2.1)]
    figure = new_figure(11.2, sum(heights) + 0.5)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    rows = [figure.add_subfigure(grid[row]) for row in range(len(heights))]
    ratios = [1.0] * num_metrics + [1.8]
    tops = [row.subplots(1, len(ratios), squeeze=False, width_ratios=ratios) for row in rows[::2]]
    others = [row.subplots(1, below, squeeze=False) for row in rows[1::2]]
    return figure, np.concatenate(tops), np.concatenate(others)


def save(figure: Figure, prefix: str | Path) -> Path:
    """Write <prefix>.png and <prefix>.pdf, the same bytes each time; returns the PNG's path."""
    png, pdf = (Path(f"{prefix}.{ending}") for ending in ("png", "pdf"))
    for path in (png, pdf):
        remove_leftovers(path.parent, f".{path.name}.", ".part")
    with atomic_path(png) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    with atomic_path(pdf) as temporary:
        figure.savefig(temporary, format="pdf", dpi=DPI)
    return png


def message(ax: Axes, text: str) -> None:
    """A panel that has nothing to show says why."""
    ax.set_axis_off()
    ax.text(
        0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color="#999999",
        style="italic", fontsize=9,
    )  # fmt: skip


def missing_run(ax: Axes, method: str, epsilon: float | None = None) -> None:
    """The message in the place of a run that does not exist."""
    label = method_style(method).label
    never = method in ("egnot", "lightsb") and epsilon == 0
    ax.set_box_aspect(1)
    message(ax, rf"{label} needs $\varepsilon > 0$" if never else f"{label}:\nnot run")


def row_label(ax: Axes, text: str, colour: str = TEXT_COLOUR, *, pad: float = 8) -> None:
    """A heading left of a row's first panel, read from below; also beside a message."""
    ax.annotate(
        text, (0, 0.5), xytext=(-pad, 0), xycoords="axes fraction", textcoords="offset points",
        rotation=90, ha="right", va="center", color=colour, fontsize=10.5,
        multialignment="center", annotation_clip=False,
    )  # fmt: skip


def legend_below(
    figure: Figure, methods: Iterable[str], *, data: bool = True, floor: str | None = None
) -> None:
    """What the colours mean, under all panels; `floor` is the dashes' name."""
    marks = [("source", SOURCE_COLOUR, "o"), ("target", TARGET_COLOUR, "o")] if data else []
    marks += [(s.label, s.colour, s.marker) for s in map(method_style, methods)]
    handles = [Line2D([], [], ls="", marker=m, ms=5, c=c, label=label) for label, c, m in marks]
    if floor:
        handles.append(Line2D([], [], c=FLOOR_COLOUR, lw=1, ls=FLOOR_DASHES, label=floor))
    if handles:
        fitting = max(1, int(figure.get_figwidth() / LEGEND_ENTRY_INCHES))
        rows = math.ceil(len(handles) / fitting)
        figure.legend(
            handles=handles, loc="outside lower center", handletextpad=0.4,
            ncols=math.ceil(len(handles) / rows),
            columnspacing=1.6, fontsize=9.5,
        )  # fmt: skip


def finish(
    figure: Figure,
    prefix: str | Path,
    methods: Sequence[str],
    *,
    legend: bool = True,
    data: bool = True,
    floor: str | None = None,
    footnote: str = "",
) -> Path:
    """Add the legend of legend_below or a footnote, and save; without any method panels say so."""
    if not methods:
        for ax in figure.axes:
            message(ax, "no samples were given")
    elif legend:
        legend_below(figure, methods, data=data, floor=floor)
    if methods and footnote:
        figure.supxlabel(footnote, fontsize=9)
    return save(figure, prefix)
