"""Improved precision and recall of generated features (Kynkaanniemi et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

NUM_NEIGHBOURS = 3
CHUNK = 1024


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares in [0, 1]: of generated points in the real manifold, of real points in the other."""

    precision: float
    recall: float


def precision_recall(
    generated: np.ndarray, real: np.ndarray, *, num_neighbours: int = NUM_NEIGHBOURS
) -> PrecisionRecall:
    """Precision and recall of generated features [n, d] for real features [m, d].

    A manifold is the union of the balls around its points; a ball reaches to the point's
    `num_neighbours`-th nearest other point (section 2 of the paper; it takes 3 of them). Both
    shares depend on n and m.
    """
    return PrecisionRecall(
        precision=share_in_manifold(generated, real, num_neighbours=num_neighbours),
        recall=share_in_manifold(real, generated, num_neighbours=num_neighbours),
    )


def share_in_manifold(
    points: np.ndarray, reference: np.ndarray, *, num_neighbours: int = NUM_NEIGHBOURS
) -> float:
    """Share of `points` [n, d] in the manifold of `reference` [m, d], both > num_neighbours."""
    fewest = min(len(points), len(reference))
    if fewest <= num_neighbours:
        raise ValueError(f"more than {num_neighbours} points of each side needed, found {fewest}")
    a, b = torch.from_numpy(points).double(), torch.from_numpy(reference).double()
    return _share_inside(a, b, _radii(b, num_neighbours))


def _distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """|a_i - b_j|, with differences: cancelling squares would blur the borders of the balls."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _radii(points: torch.Tensor, k: int) -> torch.Tensor:
    """Distance of each point [n, d] to its k-th nearest other point: [n]."""
    parts = [
        # the point itself, at distance 0, is the nearest
        _distances(part, points).kthvalue(k + 1, dim=1).values
        for part in points.split(CHUNK)
    ]
    return torch.cat(parts)


def _share_inside(points: torch.Tensor, centres: torch.Tensor, radii: torch.Tensor) -> float:
    """Share of points in at least one closed ball."""
    inside = [(_distances(part, centres) <= radii).any(1) for part in points.split(CHUNK)]
    return float(torch.cat(inside).double().mean())
