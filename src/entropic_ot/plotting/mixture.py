"""Drawing for the mixture benchmark: principal axes, modes of the exact plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from entropic_ot.plotting import (
    TEXT_COLOUR,
    Array,
    conditional_clouds,
    spread_rows,
)

NUM_POINTS_SHOWN = 3
MODE_SIZE = 80.0
"""Area of the cross of a mode with all the weight, in square points."""
SMALLEST_WEIGHT = 0.01
"""Modes with less have no cross: no sample of a panel would be there."""


@dataclass(frozen=True)
class PrincipalPlane:
    """The first two principal axes of a cloud, through its mean."""

    origin: Array
    """[D]."""
    axes: Array
    """[2, D], orthonormal; the largest coordinate of each is positive, so that signs are fixed."""
    share: float
    """Part of the cloud's variance in this plane."""

    def __call__(self, points: Array) -> Array:
        """[..., D] -> [..., 2]."""
        return (np.asarray(points, dtype=np.float64) - self.origin) @ self.axes.T


def principal_plane(points: Array) -> PrincipalPlane:
    """The plane of points [n, D]; in two dimensions the coordinates themselves."""
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] < 2 or len(points) < 2:
        raise ValueError(
            f"points: found an array of shape {list(points.shape)}, expected [n, D], n and D >= 2"
        )
    if points.shape[1] == 2:
        return PrincipalPlane(np.zeros(2), np.eye(2), 1.0)
    origin = points.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(points - origin, rowvar=False))
    axes = vectors[:, [-1, -2]].T
    largest = axes[np.arange(2), np.abs(axes).argmax(axis=1)]
    return PrincipalPlane(
        origin, axes * np.sign(largest)[:, None], float(values[-2:].sum() / values.sum())
    )


def conditional_modes(
    ax: Axes, x: Array, samples: Array, means: Array, weights: Array,
    *, count: int = NUM_POINTS_SHOWN,
) -> None:  # fmt: skip
    """Clouds of samples [m, k, 2] for up to `count` points x [m, 2], the exact modes as crosses.

    means [m, K, 2] and weights [m, K] are those of the exact plan given each x; the area of a
    cross is its weight.
    """
    if means.shape[:2] != weights.shape or len(means) != len(x) or means.shape[2] != 2:
        raise ValueError(
            f"means, weights: found arrays of shapes {list(means.shape)} and "
            f"{list(weights.shape)}, expected [{len(x)}, K, 2] and [{len(x)}, K]"
        )
    rows = spread_rows(x, count)
    conditional_clouds(ax, x[rows], samples[rows], count=len(rows))
    places, sizes = means[rows].reshape(-1, 2), weights[rows].reshape(-1)
    seen = sizes >= SMALLEST_WEIGHT
    for width, colour in ((2.4, "white"), (1.1, TEXT_COLOUR)):
        ax.scatter(
            places[seen, 0], places[seen, 1], s=MODE_SIZE * sizes[seen], marker="x", c=colour,
            linewidths=width, zorder=8,
        )  # fmt: skip
