"""Bures-Wasserstein distance of covariances, and the UVP percentages made from it."""

from __future__ import annotations

import numpy as np


def bw_uvp(
    mean: np.ndarray, covariance: np.ndarray, true_mean: np.ndarray, true_covariance: np.ndarray
) -> float:
    """BW2^2-UVP in percent (ENOT paper, section 5.2): 100 BW2^2 / (1/2 tr Sigma), with
    BW2^2 = 1/2|mu - mu'|^2 + 1/2 tr S + 1/2 tr S' - tr (S^1/2 S' S^1/2)^1/2.

    mean [D], covariance [D, D] are the estimate's; the true ones are the reference.
    """
    values, vectors = np.linalg.eigh(true_covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ covariance @ root), 0, None)).sum()
    half_traces = (np.trace(covariance) + np.trace(true_covariance)) / 2
    distance = ((mean - true_mean) ** 2).sum() / 2 + half_traces - cross
    return float(100 * distance / (np.trace(true_covariance) / 2))


def bw_uvp_of_samples(
    points: np.ndarray, true_mean: np.ndarray, true_covariance: np.ndarray
) -> float:
    """`bw_uvp` of the empirical mean and covariance of points [n, D], in float64."""
    points = points.astype(np.float64)
    covariance = np.atleast_2d(np.cov(points, rowvar=False))
    return bw_uvp(points.mean(0), covariance, true_mean, true_covariance)
