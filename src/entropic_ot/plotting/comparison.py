"""Comparison tables to Axes: means with intervals, floors and published numbers. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from entropic_ot import plotting
from entropic_ot.experiments.comparison import Comparison, Line
from entropic_ot.experiments.comparison.build import INDEPENDENT, MEAN_OF_SETTINGS
from entropic_ot.experiments.comparison.text import heading
from entropic_ot.plotting import FLOOR_COLOUR, FLOOR_DASHES, METHODS, MethodStyle

INDEPENDENT_STYLE = MethodStyle("independent coupling", FLOOR_COLOUR, "x")
PANELS_IN_A_ROW, PANEL_INCHES = 2, (4.8, 2.1)
GROUP_WIDTH = 0.76
"""Share of the space between two ticks in which the methods of one line stand."""


def judged(tables: Iterable[Comparison]) -> list[Comparison]:
    """Tables that a picture can compare: something was run, and one direction is better."""
    return [t for t in tables if t.definition.lower_is_better is not None and t.methods]


def comparison_figure(tables: Sequence[Comparison]) -> Figure:
    """One panel per table of a metric with a better direction, and a legend below all."""
    shown = judged(tables)
    num_rows = max(1, math.ceil(len(shown) / PANELS_IN_A_ROW))
    width, height = PANEL_INCHES
    figure = plotting.new_figure(width * PANELS_IN_A_ROW, height * num_rows + 0.5)
    axes = figure.subplots(num_rows, PANELS_IN_A_ROW, squeeze=False).ravel()
    for ax, table in zip(axes, shown, strict=False):
        comparison_panel(ax, table)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    if shown:
        _legend(figure, shown)
    else:
        plotting.message(figure.axes[0], "metrics.csv has nothing to compare")
    return figure


def comparison_panel(ax: Axes, table: Comparison) -> None:
    """A marker per line and method, dashes for the floor, a bar in the colour for the paper's.

    The bar is dotted where the paper's number is of another draw of the problem.
    Lines that nothing was run for, peers that are not run here and values that are not finite are
    left out. The axis is logarithmic where everything on it is positive.
    """
    lines = [line for line in table.lines if line.measured]
    methods = _shown_methods(table)
    values: list[float] = []
    for at, line in enumerate(lines):
        for number, method in enumerate(methods):
            shift = GROUP_WIDTH * ((number + 0.5) / len(methods) - 0.5)
            values += _draw_entry(ax, at + shift, 0.38 * GROUP_WIDTH / len(methods), line, method)
        if line.floor is not None:
            ax.hlines(
                line.floor, at - 0.42, at + 0.42, colors=FLOOR_COLOUR, linestyles=FLOOR_DASHES,
                lw=1, zorder=1, label="floor",
            )  # fmt: skip
            values.append(line.floor)
            if line.floor_std is not None:
                plotting.floor_band(ax, at, line.floor, line.floor_std)
    if values and min(values) > 0:
        plotting.log_axis(ax, values)
    else:
        ax.axhline(0, color="#BBBBBB", lw=0.5, zorder=0)
    ax.set_xticks(range(len(lines)), _tick_labels(lines))
    ax.set(xlim=(-0.6, len(lines) - 0.4), title=heading(table))
    ax.annotate(
        r"$\varepsilon$", (0, 0), xytext=(-4, -4), xycoords="axes fraction",
        textcoords="offset points", ha="right", va="top", annotation_clip=False,
    )  # fmt: skip
    ax.spines[["top", "right"]].set_visible(False)


def _draw_entry(ax: Axes, at: float, half: float, line: Line, method: str) -> list[float]:
    """One method at one place; the values that the axis has to hold."""
    entry, style = line.entries.get(method), _style(method)
    drawn = []
    if entry is not None and entry.measured is not None and math.isfinite(entry.measured.mean):
        half_width = entry.measured.half_width or 0.0
        edge = style.colour if style.marker == "x" else "white"  # a cross is nothing but its edge
        has_interval = math.isfinite(half_width) and half_width > 0
        ax.errorbar(
            at, entry.measured.mean, yerr=half_width if has_interval else None, ls="", ms=4.5,
            color=style.colour, marker=style.marker, capsize=2, lw=0.9, zorder=3, label=style.label,
            mec=edge, mew=0.4 if edge == "white" else 1.0,
        )  # fmt: skip
        drawn.append(entry.measured.mean)
        drawn += [entry.measured.mean + half_width] if has_interval else []
    if entry is not None and entry.paper is not None:
        value = entry.paper.value
        ax.hlines(
            value, at - half, at + half, colors=style.colour, lw=1.8, zorder=2, label="paper",
            linestyles="-" if entry.paper.same_problem else ":",
        )  # fmt: skip
        drawn.append(value)
    return drawn


def _shown_methods(table: Comparison) -> list[str]:
    """What was run, and methods of this project with a published number only."""
    published = [
        method
        for line in table.lines
        if line.measured
        for method, entry in line.entries.items()
        if entry.paper is not None and method in METHODS
    ]
    order = [INDEPENDENT, *METHODS]
    found = dict.fromkeys([*table.methods, *published])
    return sorted(found, key=lambda m: order.index(m) if m in order else len(order))


def _style(method: str) -> MethodStyle:
    return INDEPENDENT_STYLE if method == INDEPENDENT else plotting.method_style(method)


def _tick_labels(lines: Sequence[Line]) -> list[str]:
    """Epsilon at each line, and below it the case where another one begins."""
    labels, before = [], None
    for line in lines:
        case = (line.variant, line.dim)
        name = line.variant or f"D = {line.dim}"
        if line.variant == MEAN_OF_SETTINGS:
            name = f"mean, D = {line.dim}"
        labels.append(f"{line.epsilon:g}" + (f"\n{name}" if case != before else ""))
        before = case
    return labels


def _legend(figure: Figure, tables: Sequence[Comparison]) -> None:
    shown = {method for table in tables for method in _shown_methods(table)}
    styles = [_style(method) for method in [INDEPENDENT, *METHODS] if method in shown]
    handles = [
        Line2D([], [], ls="", marker=s.marker, ms=5, c=s.colour, label=s.label) for s in styles
    ]
    lines = [line for table in tables for line in table.lines if line.measured]
    if any(line.floor is not None for line in lines):
        handles.append(Line2D([], [], c=FLOOR_COLOUR, lw=1, ls=FLOOR_DASHES, label="floor"))
    papers = [e for line in lines for m, e in line.entries.items() if e.paper and m in METHODS]
    if papers:
        mark = " (m)" if all(entry.paper and entry.paper.remembered for entry in papers) else ""
        label = f"paper, in its method's colour{mark}"
        handles.append(Line2D([], [], c=FLOOR_COLOUR, lw=1.8, label=label))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.4,
        columnspacing=1.6, fontsize=9.5,
    )  # fmt: skip
