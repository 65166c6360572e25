"""Kernel distance of features (KID: Binkowski et al. 2018): an unbiased squared MMD."""

from __future__ import annotations

import numpy as np

NUM_SUBSETS = 100
SUBSET_SIZE = 1000


def kernel_distance(
    x: np.ndarray,
    y: np.ndarray,
    *,
    rng: np.random.Generator,
    num_subsets: int = NUM_SUBSETS,
    subset_size: int = SUBSET_SIZE,
) -> float:
    """Mean over subsets of the unbiased MMD^2 of features [n, d] and [m, d].

    The kernel is (<x, y> / d + 1)^3. Each subset is `subset_size` points of both sides (all points
    of the smaller side, if it has fewer), drawn without replacement. Being unbiased, the value may
    be negative.
    """
    size = min(subset_size, len(x), len(y))
    if size < 2:
        raise ValueError(f"two points of each side at least, found {len(x)} and {len(y)}")
    values = []
    for _ in range(num_subsets):
        a = x[rng.choice(len(x), size, replace=False)]
        b = y[rng.choice(len(y), size, replace=False)]
        values.append(squared_mmd(a, b))
        if size == len(x) == len(y):
            break  # every further subset is all points again
    return float(np.mean(values))


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased MMD^2 of x [n, d] and y [m, d] in float64: pairs of a point with itself left out."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    cross = float(_kernel(x, y).mean())
    return _mean_of_pairs(x) + _mean_of_pairs(y) - 2 * cross


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    gram: np.ndarray = (x @ y.T / x.shape[1] + 1) ** 3
    return gram


def _mean_of_pairs(x: np.ndarray) -> float:
    gram = _kernel(x, x)
    return float((gram.sum() - np.trace(gram)) / (len(x) * (len(x) - 1)))
