"""Bures-Wasserstein distance of covariances, and the UVP percentages made from it."""

from __future__ import annotations

import numpy as np
import torch

BATCH = 128
"""Covariances decomposed at once."""


def bw_uvp(
    mean: np.ndarray, covariance: np.ndarray, true_mean: np.ndarray, true_covariance: np.ndarray
) -> float:
    """BW2^2-UVP in percent (ENOT paper, section 5.2): 100 BW2^2 / (1/2 tr Sigma), see `squared_bw`.

    mean [D], covariance [D, D] are the estimate's; the true ones are the reference.
    """
    estimate, truth = (mean[None], covariance[None]), (true_mean[None], true_covariance[None])
    return conditional_bw_uvp(*estimate, *truth, float(np.trace(true_covariance)))


def bw_uvp_of_samples(
    points: np.ndarray, true_mean: np.ndarray, true_covariance: np.ndarray
) -> float:
    """`bw_uvp` of the empirical mean and covariance of points [n, D], in float64."""
    points = points.astype(np.float64)
    covariance = np.atleast_2d(np.cov(points, rowvar=False))
    return bw_uvp(points.mean(0), covariance, true_mean, true_covariance)


def squared_bw(
    mean: torch.Tensor,
    covariance: torch.Tensor,
    true_mean: torch.Tensor,
    true_covariance: torch.Tensor,
) -> torch.Tensor:
    """BW2^2 of each of m pairs of Gaussians, [m, D], [m, D, D] -> [m]:
    1/2|mu - mu'|^2 + 1/2 tr S + 1/2 tr S' - tr (S^1/2 S' S^1/2)^1/2.
    """
    values, vectors = torch.linalg.eigh(true_covariance)
    root = (vectors * values.clamp(min=0).sqrt()[:, None]) @ vectors.mT
    cross = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=0).sqrt().sum(1)
    traces = (covariance + true_covariance).diagonal(dim1=1, dim2=2).sum(1)
    return (mean - true_mean).square().sum(1) / 2 + traces / 2 - cross


def conditional_bw_uvp(
    mean: np.ndarray,
    covariance: np.ndarray,
    true_mean: np.ndarray,
    true_covariance: np.ndarray,
    total_variance: float,
) -> float:
    """cBW2^2-UVP in percent: 100 times the mean of BW2^2 over m points x / (1/2 total_variance).

    mean [m, D] and covariance [m, D, D] are those of the estimated plan given x, the true ones
    those of the exact plan; total_variance is the trace of the covariance of Y (arXiv 2306.10161,
    section 5).
    """
    arrays = (mean, covariance, true_mean, true_covariance)
    parts = zip(*(torch.from_numpy(a).double().split(BATCH) for a in arrays), strict=True)
    distances = torch.cat([squared_bw(*part) for part in parts])
    return float(100 * distances.mean() / (total_variance / 2))
