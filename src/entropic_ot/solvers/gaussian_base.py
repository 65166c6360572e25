"""The entropic plan between Gaussian fits of two sets of images: where ENOT may start from.

A network has to learn from nothing that an end point is an image and not noise, which at epsilon =
1 takes longer than anything else. Between Gaussians with the means and covariances of the data the
plan is known (Janati et al., NeurIPS 2020; Bunne et al., AISTATS 2023), so the networks of drift
and potential can be corrections of its drift and potential (docs/decisions/0011).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch

from entropic_ot.errors import ConfigError
from entropic_ot.problems.gaussian import GaussianPlan
from entropic_ot.solvers.config import GAUSSIAN_BASE_MAX_DIM, GaussianBaseConfig
from entropic_ot.types import PerPoint, Points


@dataclass(frozen=True)
class GaussianBase:
    """Drift and potential of the plan, for images flattened to D values, at the times of a grid.

    The correction of an end point is first filtered to the target's spectrum: where the cosine
    transform of the data is small, the network's output is made small.
    """

    means: torch.Tensor
    """Mean of X_t at each of the N starts of steps, [N, D]."""
    slopes: torch.Tensor
    """E[X_1 | X_t = x] = target_mean + slope (x - mean), [N, D, D]."""
    target_mean: torch.Tensor
    """[D]."""
    correction: torch.Tensor
    """The filter of corrections, symmetric, [D, D]."""
    curvature: torch.Tensor
    """H of beta(y) = 1/2 (y - m_1)^T H (y - m_1) + pull . (y - m_1), symmetric, [D, D]."""
    pull: torch.Tensor
    """m_1 - m_0, [D]."""

    @classmethod
    def fit(
        cls, x: Points, y: Points, *, times: list[float], epsilon: float, config: GaussianBaseConfig
    ) -> GaussianBase:
        """Of source images x and target images y [n, channels, side, side], in float64.

        times: the starts of the Euler steps. Raises ConfigError for images of too many values.
        """
        dim = x[0].numel()
        if dim > GAUSSIAN_BASE_MAX_DIM:
            raise ConfigError(
                f"drift_form: found gaussian_endpoint for images of {dim} values, expected "
                f"{GAUSSIAN_BASE_MAX_DIM} at most: their covariances would not fit. "
                "Set bounded_endpoint."
            )
        basis = cosine_basis(tuple(x.shape[1:]))
        mean0, a = _moments(x, basis, config)
        mean1, b = _moments(y, basis, config)
        plan = GaussianPlan(a, b, epsilon)
        slopes = [_slope(plan, t) for t in times]
        spread = np.minimum(np.sqrt(np.einsum("ki,ij,kj->k", basis, b, basis)), config.max_std)
        arrays = {
            "means": np.stack([(1 - t) * mean0 + t * mean1 for t in times]),
            "slopes": np.stack(slopes),
            "target_mean": mean1,
            "correction": (basis.T * spread) @ basis,
            "curvature": _symmetric(plan.potential_matrix),
            "pull": mean1 - mean0,
        }
        return cls.from_state(
            {name: torch.from_numpy(array).float() for name, array in arrays.items()},
            device=x.device,
        )

    def end_point(self, step: int, x: Points, correction: Points) -> Points:
        """x_1 for X_t = x at the start of Euler step `step`; all [batch, channels, side, side]."""
        shift = (x.flatten(1) - self.means[step]) @ self.slopes[step].T
        filtered = correction.float().flatten(1) @ self.correction
        return (self.target_mean + shift + filtered).view_as(x)

    def beta(self, y: Points) -> PerPoint:
        """The potential, [batch]."""
        centred = y.flatten(1) - self.target_mean
        return (centred @ self.curvature * centred).sum(1) / 2 + centred @ self.pull

    def state(self) -> dict[str, torch.Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(
        cls, state: dict[str, torch.Tensor], *, device: torch.device | str
    ) -> GaussianBase:
        return cls(**{name: tensor.to(device) for name, tensor in state.items()})


def cosine_basis(shape: tuple[int, ...]) -> np.ndarray:
    """Orthonormal cosine transform (DCT-II) of images [channels, h, w], each row one wave."""
    channels, height, width = shape
    planes = np.kron(_cosines(height), _cosines(width))
    return np.kron(np.eye(channels), planes)


def _cosines(n: int) -> np.ndarray:
    waves = np.cos(math.pi * np.outer(np.arange(n), np.arange(n) + 0.5) / n) * math.sqrt(2 / n)
    waves[0] /= math.sqrt(2)
    return waves


def _moments(
    images: Points, basis: np.ndarray, config: GaussianBaseConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and covariance [D, D], drawn to its diagonal in `basis`.

    Few images leave most directions without any variance; the spectrum knows it there.
    """
    flat = images.flatten(1).double().cpu().numpy()
    mean = flat.mean(0)
    waves = (flat - mean) @ basis.T
    covariance = (1 - config.shrinkage) * waves.T @ waves / (len(flat) - 1)
    diagonal = config.shrinkage * waves.var(0, ddof=1) + config.min_variance
    covariance[np.diag_indices(len(covariance))] += diagonal
    return mean, _symmetric(basis.T @ covariance @ basis)


def _slope(plan: GaussianPlan, t: float) -> np.ndarray:
    """Cov(Y, X_t) Cov(X_t)^-1, [D, D]."""
    joint = (1 - t) * plan.cross.T + t * plan.target_covariance
    return np.linalg.solve(plan.marginal_covariance(t), joint.T).T


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2
