"""Energy distance between two samples (half the usual one), as the MSCI protocol defines it."""

from __future__ import annotations

import numpy as np
import torch

from entropic_ot.errors import DataError

CHUNK = 2048
NUM_SPLITS = 20
"""Independent splits behind a spread, which is then known to one part in six."""


def energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    """E|X - Y| - 1/2 E|X - X'| - 1/2 E|Y - Y'| of x [n, D] and y [m, D], as a U-statistic.

    Pairs of a point with itself are left out, so the value is unbiased and may be negative.
    Raises DataError for a side of one point.
    """
    if min(len(x), len(y)) < 2:
        raise DataError.about(
            "energy_distance", found=f"sides of {len(x)} and {len(y)} points",
            expected="two points on each side at least",
            action="Take more points, or for your own data a larger problem.test_share.",
        )  # fmt: skip
    a, b = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(y))
    cross = _sum_of_distances(a, b) / (len(a) * len(b))
    within_x = _sum_of_distances(a, a) / (len(a) * (len(a) - 1))
    within_y = _sum_of_distances(b, b) / (len(b) * (len(b) - 1))
    return cross - within_x / 2 - within_y / 2


def spread_of_exact_samples(
    points: np.ndarray, n: int, m: int, *, rng: np.random.Generator
) -> float | None:
    """Standard deviation of `energy_distance` between n and m independent draws of one law.

    Its mean is 0, and its kernel is degenerate there, so that the variance is
    tau^2 / 2 (1 / (n(n-1)) + 1 / (m(m-1)) + 2 / (nm)) (Hoeffding 1948). tau is measured by the
    distances between the two parts of up to NUM_SPLITS disjoint splits of draws [N, D] of the law;
    None with fewer than eight of them.
    """
    num_splits = min(NUM_SPLITS, len(points) // 4)
    if num_splits < 2:
        return None
    size = len(points) // (2 * num_splits)
    parts = rng.permutation(points)[: 2 * num_splits * size].reshape(num_splits, 2, size, -1)
    squares = [energy_distance(x, y) ** 2 for x, y in parts]
    return float(np.sqrt(np.mean(squares) * _spread_factor(n, m) / _spread_factor(size, size)))


def _spread_factor(n: int, m: int) -> float:
    return 1 / (n * (n - 1)) + 1 / (m * (m - 1)) + 2 / (n * m)


def energy_distance_to_weighted(
    samples: np.ndarray, support: np.ndarray, weights: np.ndarray
) -> float:
    """Mean over m of `energy_distance` between samples [m, k, D] and weighted points.

    The m-th law puts weights [m, J] on support [J, D]. Its sums are exact (no resampling, and
    pairs of a point with itself count, as two draws may coincide); those over the samples are a
    U-statistic.
    """
    points, p = torch.from_numpy(support).float(), torch.from_numpy(weights).double()
    within_law = torch.zeros(len(p), dtype=torch.float64)
    for start in range(0, len(points), CHUNK):
        distances = _distances(points[start : start + CHUNK], points).double()
        within_law += ((p @ distances.T) * p[:, start : start + CHUNK]).sum(1)
    values = []
    for own, law, own_weights in zip(samples, within_law, p, strict=True):
        y = torch.from_numpy(np.ascontiguousarray(own)).float()
        cross = float((_distances(y, points).double() @ own_weights).mean())
        within = _sum_of_distances(y, y) / (len(y) * (len(y) - 1))
        values.append(cross - within / 2 - float(law) / 2)
    return float(np.mean(values))


def _distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """|a_i - b_j|, with differences (no cancelling squares)."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _sum_of_distances(a: torch.Tensor, b: torch.Tensor) -> float:
    """Sum over all pairs of |a_i - b_j|, in blocks."""
    total = 0.0
    for start in range(0, len(a), CHUNK):
        block = _distances(a[start : start + CHUNK].float(), b.float())
        total += float(block.sum(dtype=torch.float64))
    return total
