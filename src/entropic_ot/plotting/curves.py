"""Metrics as curves over epsilon and as bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

from entropic_ot.plotting.figures import message
from entropic_ot.plotting.style import FLOOR_COLOUR, FLOOR_DASHES, TEXT_COLOUR, method_style


@dataclass(frozen=True)
class Point:
    """A metric's value at one epsilon."""

    epsilon: float
    value: float
    half_width: float = 0.0
    """Half of the 95 % interval over seeds; 0 for one seed."""
    floor: float | None = None
    """What an exact sampler gets, where it is known."""
    floor_std: float | None = None
    """Its standard deviation over exact samplers, where it is known."""


@dataclass(frozen=True)
class TimePoint:
    """A metric's value at one time t in [0, 1]."""

    t: float
    value: float
    half_width: float = 0.0
    """Half of the 95 % interval over seeds; 0 for one seed."""
    floor: float | None = None
    """What an exact sampler gets, where it is known."""


def metric_by_time(
    ax: Axes, series: Mapping[str, Sequence[TimePoint]], title: str, *, label: str = ""
) -> None:
    """One curve per method over t in [0, 1], the floor dashed; `label` at the vertical axis.

    The floor at each time is that of the first method: all are measured with as many points. The
    axis is logarithmic when everything on it is positive.
    """
    points = [point for own in series.values() for point in own]
    if not points:
        return message(ax, f"no values over t\n{title}")
    for method, own in series.items():
        style, ordered = method_style(method), sorted(own, key=lambda point: point.t)
        ax.errorbar(
            [p.t for p in ordered], [p.value for p in ordered],
            yerr=[p.half_width for p in ordered] if any(p.half_width for p in ordered) else None,
            color=style.colour, marker=style.marker, ms=4.5, lw=0.9, capsize=2, zorder=3,
            label=style.label, mec="white", mew=0.4,
        )  # fmt: skip
    floors = {p.t: p.floor for p in reversed(points) if p.floor is not None}
    if floors:
        times = sorted(floors)
        ax.plot(
            times, [floors[t] for t in times], color=FLOOR_COLOUR, ls=FLOOR_DASHES, lw=1,
            label="exact sampler", zorder=2,
        )  # fmt: skip
    values = [p.value for p in points] + list(floors.values())
    if all(value > 0 for value in values if math.isfinite(value)):
        tops = [point.value + point.half_width for point in points]
        log_axis(ax, [value for value in values + tops if math.isfinite(value)])
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    ax.set(xlim=(0, 1), title=title, ylabel=label)
    ax.set_xlabel("$t$", labelpad=1)
    _open_frame(ax)


def metric_by_epsilon(
    ax: Axes, series: Mapping[str, Sequence[Point]], label: str, *, log: bool = False
) -> None:
    """One marker per method and epsilon (evenly spaced columns), the floors as dashes.

    A grey band around a floor: one standard deviation of exact samplers to either side.
    A logarithmic axis is used only when everything on it is positive.
    """
    points = [point for own in series.values() for point in own]
    if not points:
        return message(ax, f"no values of\n{label}")
    epsilons = sorted({point.epsilon for point in points})
    floors = {p.epsilon: p.floor for p in points if p.floor is not None}
    for number, (method, own) in enumerate(series.items()):
        style, shift = method_style(method), 0.22 * (number - (len(series) - 1) / 2)
        ordered = sorted(own, key=lambda point: point.epsilon)
        ax.errorbar(
            [epsilons.index(p.epsilon) + shift for p in ordered],
            [p.value for p in ordered],
            yerr=[p.half_width for p in ordered] if any(p.half_width for p in ordered) else None,
            color=style.colour, marker=style.marker, ms=4.5, lw=0.7, capsize=2, zorder=3,
            label=style.label, mec="white", mew=0.4,
        )  # fmt: skip
    if floors:
        at = [epsilons.index(epsilon) for epsilon in floors]
        ax.hlines(
            list(floors.values()), np.array(at) - 0.42, np.array(at) + 0.42, colors=FLOOR_COLOUR,
            linestyles=FLOOR_DASHES, lw=1, label="exact sampler", zorder=2,
        )  # fmt: skip
    spreads = {p.epsilon: (p.floor, p.floor_std) for p in points}
    for epsilon, (floor, std) in spreads.items():
        if floor is not None and std is not None:
            floor_band(ax, epsilons.index(epsilon), floor, std)
    values = [p.value for p in points] + list(floors.values())
    if log and all(value > 0 for value in values if math.isfinite(value)):
        tops = [point.value + point.half_width for point in points]
        log_axis(ax, [value for value in values + tops if math.isfinite(value)])
    else:
        ax.axhline(0, color="#BBBBBB", lw=0.5, zorder=0)
    ax.set_xticks(range(len(epsilons)), [f"{epsilon:g}" for epsilon in epsilons])
    ax.set(xlim=(-0.6, len(epsilons) - 0.4), title=label)
    ax.set_xlabel(r"$\varepsilon$", labelpad=1)
    _open_frame(ax)


def floor_band(ax: Axes, at: float, floor: float, std: float) -> None:
    """One standard deviation of exact samplers around their floor, in the column at `at`."""
    ax.fill_between(
        [at - 0.42, at + 0.42], floor - std, floor + std, color=FLOOR_COLOUR, alpha=0.25, lw=0,
        zorder=1,
    )  # fmt: skip


def log_axis(ax: Axes, values: Sequence[float]) -> None:
    """At least two labelled ticks, however narrow the range."""
    ax.set_yscale("log")
    if not values:
        return
    low, high = min(values), max(values)
    ax.set_ylim(low / 1.6, high * 1.6)
    ratio = high / low
    subs = (1,) if ratio >= 30 else (1, 2, 5) if ratio >= 3 else (1, 1.5, 2, 3, 5, 7)
    ax.yaxis.set_major_locator(LogLocator(subs=subs, numticks=10))  # all of up to nine decades
    ax.yaxis.set_major_formatter(
        "{x:g}" if low > 1e-3 and high < 1e4 else LogFormatterSciNotation()
    )
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="y", color="#E6E6E6", lw=0.5, zorder=0)


def _open_frame(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)


def bars(
    ax: Axes,
    values: Mapping[tuple[str, str], tuple[float, float]],
    label: str,
    *,
    reference: float | None = None,
    reference_label: str = "",
) -> None:
    """(method, name below the bar) -> (value, half-width of its interval), and a line to beat."""
    if not values:
        return message(ax, f"no values of\n{label}")
    heights = [value for value, _ in values.values() if math.isfinite(value)]
    top = max([*heights, reference or 0.0, 1e-9])
    for at, ((method, _), (value, half_width)) in enumerate(values.items()):
        ax.bar(
            at, value, yerr=half_width or None, color=method_style(method).colour, width=0.62,
            capsize=3, error_kw={"lw": 0.8}, zorder=2,
        )  # fmt: skip
        # At the foot of the bar, away from the line; above bars that are too short for it.
        inside = math.isfinite(value) and value > 0.15 * top
        height = 0.03 * top if inside or not value > 0 else value + half_width + 0.02 * top
        ax.text(
            at, height, f"{value:.3g}", ha="center", va="bottom", zorder=4,
            color="white" if inside else TEXT_COLOUR,
        )  # fmt: skip
    if reference is not None:
        text = f"{reference_label}: {reference:.3g}"
        ax.axhline(reference, color=TEXT_COLOUR, lw=0.9, ls=FLOOR_DASHES, zorder=3, label=text)
        ax.legend(loc="upper right", borderaxespad=0)
    ax.set_xticks(range(len(values)), [name for _, name in values])
    ax.set(xlim=(-0.55, len(values) - 0.45), ylim=(1.1 * min(0, *heights), 1.35 * top), title=label)
    _open_frame(ax)
