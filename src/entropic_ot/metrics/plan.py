"""Metrics that read a plan off its samples: cost, conditional variance, modes."""

from __future__ import annotations

import numpy as np


def cost_half_l2(x: np.ndarray, y: np.ndarray) -> float:
    """Mean of 1/2 |x - y|^2 over paired rows [n, *dim]."""
    difference = (x.astype(np.float64) - y).reshape(len(x), -1)
    return float((difference**2).sum(1).mean() / 2)


def conditional_variance(y: np.ndarray) -> float:
    """Mean over x of the total variance of y given x; y is [num_x, num_per_x, *dim]."""
    flat = y.astype(np.float64).reshape(*y.shape[:2], -1)
    return float(flat.var(axis=1, ddof=1).sum(-1).mean())


def mode_shares(points: np.ndarray, centres: np.ndarray, *, radius: float) -> np.ndarray:
    """Percent of points [n, D] within `radius` of each of the centres [k, D], [k]."""
    distances = np.sqrt(((points[:, None] - centres[None]) ** 2).sum(-1))
    nearest = distances.argmin(1)[distances.min(1) <= radius]
    return 100 * np.bincount(nearest, minlength=len(centres)) / len(points)
