"""Frechet distance of two Gaussians that are fitted to features (FID: Heusel et al. 2017)."""

from __future__ import annotations

import numpy as np
import torch

from entropic_ot.metrics.bures import squared_bw


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """|mu - mu'|^2 + tr S + tr S' - 2 tr (S^1/2 S' S^1/2)^1/2 of features [n, d] and [m, d].

    Means and (unbiased) covariances in float64. It is twice the BW2^2 of the conventions, and its
    bias, which falls as 1/n + 1/m, is not removed: compare values of equal n and m only.
    """
    pair = (*_moments(x), *_moments(y))
    return 2 * float(squared_bw(*(torch.from_numpy(array)[None] for array in pair))[0])


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features [n >= 2, d] are needed, found shape {features.shape}")
    points = features.astype(np.float64)
    return points.mean(0), np.atleast_2d(np.cov(points, rowvar=False))
