"""Arrays and tables to Axes: what the figure notebooks are made of. Knows no model and no file.

Every function draws into the Axes that it is given. Figures are made without pyplot, so nothing
depends on a backend or on what was drawn before. Points are dots of fixed size that are rasterised
in PDF files, which keeps them small; text and lines stay vectors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter
from numpy.typing import NDArray

Array = NDArray[np.floating]
Limits = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class MethodStyle:
    """How a method looks in every figure."""

    label: str
    colour: str
    marker: str


# Okabe and Ito's colours, which colour-blind readers tell apart; markers for prints in grey.
METHODS: dict[str, MethodStyle] = {
    "enot": MethodStyle("ENOT", "#0072B2", "o"),
    "egnot": MethodStyle("EgNOT", "#D55E00", "s"),
    "sinkhorn": MethodStyle("Sinkhorn", "#009E73", "D"),
    "lightsb": MethodStyle("LightSB", "#CC79A7", "^"),
}
"""In the order in which figures and tables list them."""

SOURCE_COLOUR, TARGET_COLOUR, TEXT_COLOUR, FLOOR_COLOUR = "#4D4D4D", "#C4C4C4", "#222222", "#777777"
CLOUD_COLOURS = ("#882255", "#332288", "#A07400", "#1A1A1A", "#CC6677", "#666633")
"""Of the conditional samples, one for each source point: not the colour of a method."""

NUM_DOTS, NUM_TRAJECTORIES, NUM_CLOUDS, DOTS_PER_CLOUD = 1500, 48, 4, 150
FLOOR_DASHES = (0, (3, 1.5))
LEGEND_ENTRY_INCHES = 1.2
DPI = 200


def method_style(method: str) -> MethodStyle:
    """The style of a method; ValueError for a name that has none."""
    try:
        return METHODS[method]
    except KeyError:
        raise ValueError(
            f"method: found {method!r}, expected one of {', '.join(METHODS)}; "
            "new methods get their colour in entropic_ot.plotting.METHODS"
        ) from None


def epsilon_label(epsilon: float) -> str:
    """The heading of a column: ε = 0.1."""
    return rf"$\varepsilon = {epsilon:g}$"


def use_style() -> None:
    """Set Matplotlib's defaults: fonts that come with it, thin frames, embedded TrueType."""
    matplotlib.rcParams.update(
        {
            "font.family": "STIXGeneral",
            "mathtext.fontset": "stix",
            "font.size": 9.5,
            "axes.titlesize": 10.5,
            "axes.labelsize": 9.5,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "legend.fontsize": 8.5,
            "legend.frameon": False,
            "text.color": TEXT_COLOUR,
            "axes.labelcolor": TEXT_COLOUR,
            "axes.edgecolor": "#666666",
            "axes.linewidth": 0.6,
            "xtick.color": "#444444",
            "ytick.color": "#444444",
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "pdf.fonttype": 42,
            "savefig.facecolor": "white",
        }
    )


def new_figure(width: float, height: float, *, wspace: float = 0.02) -> Figure:
    """An empty figure of that many inches that arranges its panels by itself."""
    engine = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04, wspace=wspace, hspace=0.02)
    return Figure(figsize=(width, height), layout=engine, dpi=DPI)


def new_panels(
    num_rows: int, num_columns: int, *, size: float = 1.9, last_column: float = 1.0
) -> tuple[Figure, NDArray[np.object_]]:
    """A figure and its [rows, columns] panels of `size` inches; the last column may be wider."""
    if num_rows < 1 or num_columns < 1:
        raise ValueError(f"panels: found {num_rows} x {num_columns}, expected at least 1 x 1")
    ratios = [1.0] * (num_columns - 1) + [last_column]
    figure = new_figure(size * sum(ratios) + 0.4, size * num_rows + 0.6)
    return figure, figure.subplots(num_rows, num_columns, squeeze=False, width_ratios=ratios)


def new_panels_with_side(
    num_rows: int, num_columns: int, *, size: float = 1.8
) -> tuple[Figure, NDArray[np.object_], NDArray[np.object_]]:
    """A figure, a column of `num_rows` panels at its left and [rows, columns] square ones."""
    if num_rows < 1 or num_columns < 1:
        raise ValueError(f"panels: found {num_rows} x {num_columns}, expected at least 1 x 1")
    widths = [1.3 * size, size * num_columns + 0.45]
    figure = new_figure(sum(widths), size * num_rows + 0.6)
    grid = figure.add_gridspec(1, 2, width_ratios=widths)
    side, main = (figure.add_subfigure(cell) for cell in (grid[0], grid[1]))
    return (
        figure,
        side.subplots(num_rows, 1, squeeze=False)[:, 0],
        main.subplots(num_rows, num_columns, squeeze=False),
    )


def save(figure: Figure, prefix: str | Path) -> Path:
    """Write <prefix>.png and <prefix>.pdf, the same bytes each time; returns the PNG's path."""
    png, pdf = (Path(f"{prefix}.{ending}") for ending in ("png", "pdf"))
    png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=DPI, metadata={"Software": None})
    figure.savefig(pdf, dpi=DPI)
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


# --- points in the plane -------------------------------------------------------------------------


def points_2d(name: str, points: Array) -> Array:
    """The array as float64; ValueError unless it is [n, 2] with n > 0."""
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0:
        raise ValueError(
            f"{name}: found an array of shape {list(array.shape)}, expected [n, 2] with n > 0"
        )
    return array


def thin(points: Array, limit: int) -> Array:
    """At most `limit` rows, the same random ones each time: files may be in any order."""
    if len(points) <= limit:
        return points
    return points[np.sort(np.random.default_rng(0).permutation(len(points))[:limit])]


def spread_rows(points: Array, count: int) -> NDArray[np.intp]:
    """`count` rows far from each other: each is the farthest from those before it.

    The first is the one nearest to the mean; all rows when there are no more than `count`.
    """
    flat = np.asarray(points, dtype=np.float64).reshape(len(points), -1)
    if len(flat) <= count:
        return np.arange(len(flat))
    chosen = [int(np.argmin(np.linalg.norm(flat - flat.mean(axis=0), axis=1)))]
    distance = np.full(len(flat), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(flat - flat[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(distance)))
    return np.array(chosen)


def limits_around(*point_sets: Array, margin: float = 0.06, beyond: float = 0.001) -> Limits:
    """A square around all points but the share `beyond` that is outermost on each side."""
    together = np.concatenate([points_2d("points", points) for points in point_sets])
    low, high = np.quantile(together, [beyond, 1 - beyond], axis=0)
    middle, half = (low + high) / 2, max((high - low).max() / 2, 1e-6) * (1 + 2 * margin)
    return (
        (float(middle[0] - half), float(middle[0] + half)),
        (float(middle[1] - half), float(middle[1] + half)),
    )


def plane(ax: Axes, limits: Limits) -> None:
    """Equal axes without ticks: only the shape of a cloud matters."""
    ax.set(xlim=limits[0], ylim=limits[1], xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="box")


def dots(
    ax: Axes, points: Array, colour: str, *, size: float = 3.0, alpha: float = 0.6,
    label: str | None = None, zorder: float = 2,
) -> None:  # fmt: skip
    """A cloud of points, thinned to NUM_DOTS."""
    shown = thin(points_2d(label or "points", points), NUM_DOTS)
    ax.scatter(
        shown[:, 0], shown[:, 1], s=size, c=colour, alpha=alpha, linewidths=0, rasterized=True,
        label=label, zorder=zorder,
    )  # fmt: skip


def source_and_target(ax: Axes, x: Array, target: Array, limits: Limits) -> None:
    """The two data sets of a problem, dot by dot in random order: neither hides the other."""
    plane(ax, limits)
    parts = [thin(points_2d(n, p), NUM_DOTS) for n, p in (("x", x), ("target", target))]
    colours = np.repeat([SOURCE_COLOUR, TARGET_COLOUR], [len(part) for part in parts])
    order = np.random.default_rng(0).permutation(len(colours))
    points = np.concatenate(parts)[order]
    ax.scatter(
        points[:, 0], points[:, 1], s=4, c=list(colours[order]), linewidths=0, rasterized=True
    )


def fitted_samples(
    ax: Axes,
    y: Array,
    target: Array,
    limits: Limits,
    *,
    colour: str,
    x: Array | None = None,
    faint: bool = False,
) -> None:
    """Generated points over those of the target, with the inputs where they are given.

    `faint` leaves room for what is drawn above. A line in the corner tells how many generated
    points lie outside the panel, if any are.
    """
    plane(ax, limits)
    dots(ax, target, TARGET_COLOUR, label="target", alpha=0.55, zorder=1)
    if x is not None:
        dots(ax, x, SOURCE_COLOUR, label="source", size=2, alpha=0.35)
    dots(ax, y, colour, label="generated", size=2.5, alpha=0.3 if faint else 0.6, zorder=3)
    if (outside := 100 - 100 * _inside(points_2d("y", y), limits).mean()) >= 1:
        ax.text(
            0.97, 0.03, f"{outside:.0f} % outside", transform=ax.transAxes, ha="right",
            va="bottom", fontsize=7.5, color="#555555", zorder=9,
        )  # fmt: skip


def _inside(points: Array, limits: Limits) -> NDArray[np.bool_]:
    """Which of the points [n, 2] lie within the limits; those that are not numbers do not."""
    low, high = np.array(limits).T
    return ((low <= points) & (points <= high)).all(axis=1)


def trajectories(
    ax: Axes, path: Array, target: Array, limits: Limits, *, colour: str,
    count: int = NUM_TRAJECTORIES,
) -> None:  # fmt: skip
    """Paths [T + 1, p, 2] of up to `count` starting points, from dark dots to coloured ones."""
    path = np.asarray(path, dtype=np.float64)
    if path.ndim != 3 or path.shape[2] != 2 or 0 in path.shape:
        raise ValueError(f"path: found an array of shape {list(path.shape)}, expected [T, p, 2]")
    plane(ax, limits)
    dots(ax, target, TARGET_COLOUR, alpha=0.55, zorder=1)
    shown = path[:, spread_rows(path[0], count)]
    ax.plot(shown[:, :, 0], shown[:, :, 1], color=colour, lw=0.6, alpha=0.75, zorder=3)
    ax.scatter(shown[0, :, 0], shown[0, :, 1], s=6, c=SOURCE_COLOUR, linewidths=0, zorder=4)
    ax.scatter(
        shown[-1, :, 0], shown[-1, :, 1], s=7, c=colour, edgecolors="white", linewidths=0.3,
        zorder=5,
    )  # fmt: skip


def conditional_clouds(ax: Axes, x: Array, samples: Array, *, count: int = NUM_CLOUDS) -> None:
    """For up to `count` of the points x [m, 2]: the point and its samples [m, k, 2], one colour.

    The points are far from each other, and within the panel if any are.
    """
    x, samples = points_2d("conditional_x", x), np.asarray(samples, dtype=np.float64)
    if samples.ndim != 3 or samples.shape[0] != len(x) or samples.shape[2] != 2:
        raise ValueError(
            f"conditional_y: found an array of shape {list(samples.shape)}, "
            f"expected [{len(x)}, k, 2], k samples for each of the {len(x)} points"
        )
    inside = _inside(x, (ax.get_xlim(), ax.get_ylim()))
    visible = np.flatnonzero(inside) if inside.any() else np.arange(len(x))
    chosen = visible[spread_rows(x[visible], count)]
    for row, colour in zip(chosen, _cycle(CLOUD_COLOURS), strict=False):
        cloud = thin(samples[row], DOTS_PER_CLOUD)
        segments = np.stack([np.broadcast_to(x[row], cloud.shape), cloud])
        ax.plot(
            segments[:, :, 0], segments[:, :, 1], color=colour, lw=0.3, zorder=4, rasterized=True,
            alpha=float(np.clip(6 / len(cloud), 0.08, 0.5)),
        )  # fmt: skip
        ax.scatter(
            cloud[:, 0],
            cloud[:, 1],
            s=4,
            c=colour,
            linewidths=0,
            alpha=0.85,
            zorder=5,
            rasterized=True,
        )
        ax.scatter(
            x[row, 0],
            x[row, 1],
            s=34,
            c=colour,
            marker="o",
            edgecolors="white",
            linewidths=0.9,
            zorder=6,
        )


def _cycle(colours: Sequence[str]) -> Iterable[str]:
    while True:
        yield from colours


# --- numbers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """A metric's value at one epsilon."""

    epsilon: float
    value: float
    half_width: float = 0.0
    """Half of the 95 % interval over seeds; 0 for one seed."""
    floor: float | None = None
    """What an exact sampler gets, where it is known."""


def metric_by_epsilon(
    ax: Axes, series: Mapping[str, Sequence[Point]], label: str, *, log: bool = False
) -> None:
    """One marker per method and epsilon (evenly spaced columns), the floors as dashes.

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
    values = [p.value for p in points] + list(floors.values())
    if log and all(value > 0 for value in values if math.isfinite(value)):
        tops = [point.value + point.half_width for point in points]
        _log_axis(ax, [value for value in values + tops if math.isfinite(value)])
    else:
        ax.axhline(0, color="#BBBBBB", lw=0.5, zorder=0)
    ax.set_xticks(range(len(epsilons)), [f"{epsilon:g}" for epsilon in epsilons])
    ax.set(xlim=(-0.6, len(epsilons) - 0.4), title=label)
    ax.set_xlabel(r"$\varepsilon$", labelpad=1)
    _open_frame(ax)


def _log_axis(ax: Axes, values: Sequence[float]) -> None:
    """At least two labelled ticks, however narrow the range."""
    ax.set_yscale("log")
    if not values:
        return
    low, high = min(values), max(values)
    ax.set_ylim(low / 1.6, high * 1.6)
    narrow = high / low < 30
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
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


MAX_ROW_HEIGHT = 0.12
"""Of a table's rows, in heights of its panel: few rows stay together."""


@dataclass(frozen=True)
class Cell:
    """A table's entry."""

    text: str
    bold: bool = False
    colour: str = TEXT_COLOUR


def table(
    ax: Axes, header: Sequence[str], rows: Sequence[Sequence[Cell]], *, rules_before: Sequence[int]
) -> None:
    """A table with horizontal rules only; thin ones before the rows in `rules_before`."""
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(
                f"row {number}: found {len(row)} cells, expected {len(header)}, one per heading"
            )
    ax.set_axis_off()
    text_columns = list(zip(header, *([cell.text for cell in row] for row in rows), strict=True))
    widths = np.array([max(_visible_length(t) for t in texts) + 2.5 for texts in text_columns])
    edges = np.concatenate([[0.0], np.cumsum(widths / widths.sum())])
    centres = (edges[:-1] + edges[1:]) / 2
    head = 2.4 if any("\n" in text for text in header) else 1.4
    height = min(1 / (len(rows) + head), MAX_ROW_HEIGHT)
    top = 1 - head * height
    for centre, text in zip(centres, header, strict=True):
        ax.text(centre, (1 + top) / 2, text, ha="center", va="center", fontsize=9)
    for number, row in enumerate(rows):
        y = top - (number + 0.5) * height
        for centre, cell in zip(centres, row, strict=True):
            ax.text(
                centre, y, cell.text, ha="center", va="center", color=cell.colour, fontsize=9.5,
                weight="bold" if cell.bold else "normal",
            )  # fmt: skip
        if number and number in rules_before:
            ax.axhline(top - number * height, color="#CCCCCC", lw=0.5)
    for y, line_width in ((1.0, 1.1), (top, 0.6), (top - len(rows) * height, 1.1)):
        ax.axhline(y, color=TEXT_COLOUR, lw=line_width, clip_on=False)
    ax.set(xlim=(0, 1), ylim=(0, 1))


def _visible_length(text: str) -> int:
    """Letters of the longest line, a formula's macro counted as about one."""
    plain = text.replace(r"\varepsilon", "e").replace("$", "")
    return max(map(len, plain.split("\n")))


# --- images --------------------------------------------------------------------------------------


def evenly_spaced(length: int, count: int) -> NDArray[np.intp]:
    """Up to `count` of 0 ... length - 1, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.intp))


def beside(first: Array, others: Array) -> Array:
    """[rows, a, *image] and [rows, b, *image] as [rows, a + b, *image]."""
    return np.concatenate([first, others], axis=1)


def image_grid(
    ax: Axes,
    images: Array,
    *,
    split_first_column: bool = False,
    column_labels: Sequence[str] | None = None,
) -> None:
    """Images [rows, columns, 3 or 1, H, W] with values in [-1, 1] as one picture.

    Values beyond [-1, 1] are clipped. With `split_first_column` a wider gap follows the first.
    """
    pixels = np.asarray(images, dtype=np.float64)
    if pixels.ndim != 5 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise ValueError(
            f"images: found an array of shape {list(pixels.shape)}, "
            "expected [rows, columns, channels, H, W] with 1 or 3 channels"
        )
    rows, columns, _, height, width = pixels.shape
    gap, wide = max(1, width // 16), max(2, width // 3) if split_first_column else 0
    left = [c * (width + gap) + (wide if c else 0) for c in range(columns)]
    canvas = np.ones((rows * (height + gap) - gap, left[-1] + width, 3))
    pixels = (np.nan_to_num(pixels, nan=0.0).clip(-1, 1) + 1) / 2
    for r in range(rows):
        for c in range(columns):
            image = np.broadcast_to(pixels[r, c], (3, height, width)).transpose(1, 2, 0)
            canvas[r * (height + gap) :, left[c] :][:height, :width] = image
    # Viewers of PDF smooth the pixels of small pictures: they get larger ones.
    edges = (-0.5, canvas.shape[1] - 0.5, canvas.shape[0] - 0.5, -0.5)
    ax.imshow(canvas.repeat(3, axis=0).repeat(3, axis=1), interpolation="none", extent=edges)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if column_labels is not None:
        if len(column_labels) != columns:
            raise ValueError(
                f"column_labels: found {len(column_labels)}, expected {columns}, one per column"
            )
        ax.set_xticks([start + width / 2 - 0.5 for start in left], column_labels)
        ax.tick_params(length=0, pad=2)
