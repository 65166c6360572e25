"""Points in the plane: clouds, trajectories, conditional samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from entropic_ot.plotting.style import CLOUD_COLOURS, SOURCE_COLOUR, TARGET_COLOUR, Array

Limits = tuple[tuple[float, float], tuple[float, float]]

NUM_DOTS, NUM_TRAJECTORIES, NUM_CLOUDS, DOTS_PER_CLOUD = 1500, 48, 4, 150


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
