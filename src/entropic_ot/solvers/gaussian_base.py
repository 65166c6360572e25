"""The entropic plan between Gaussian fits of two sets of images: where ENOT and EgNOT may start.

A network has to learn from nothing that an end point is an image and not noise, which at epsilon =
1 takes longer than anything else. Between Gaussians with the means and covariances of the data the
plan is known (Janati et al., NeurIPS 2020; Bunne et al., AISTATS 2023), so the networks of drift
and potential can be corrections of its drift and potential (docs/decisions/0011), and EgNOT's
chains can be run where its plan is white (docs/decisions/0016).
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
        check_size(x[0].numel(), "drift_form", "gaussian_endpoint", instead="bounded_endpoint")
        basis = cosine_basis(tuple(x.shape[1:]))
        mean0, mean1, plan = _fitted_plan(x, y, basis, epsilon=epsilon, config=config)
        slopes = [_slope(plan, t) for t in times]
        powers = np.einsum("ki,ij,kj->k", basis, plan.target_covariance, basis)
        spread = np.minimum(np.sqrt(powers), config.max_std)
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


class GaussianConditional:
    """Y given X = x in the entropic plan between two Gaussian fits, for points of D values.

    It is N(m_1 + K (x - m_0) / epsilon, K), with K the same for all x, and belongs to the potential
    g(y) = 1/2 (y - m_1)^T (I - epsilon K^-1) (y - m_1) + (m_1 - m_0) . (y - m_1). EgNOT runs its
    Langevin chains in z = K^-1/2 (y - E[Y | x]), where this is N(0, I): a step then goes as far in
    directions of small variance as in those of large.
    """

    def __init__(
        self,
        source_mean: torch.Tensor,
        target_mean: torch.Tensor,
        root: torch.Tensor,
        *,
        epsilon: float,
    ) -> None:
        """Means of both sides [D] and the symmetric K^1/2 [D, D], as `state` gives them."""
        self.source_mean, self.target_mean, self.root = source_mean, target_mean, root
        exact = root.double()
        inverse = torch.linalg.inv(exact)
        self.inverse_root = inverse.to(root.dtype)
        self.regression = (exact @ exact / epsilon).to(root.dtype)
        identity = torch.eye(len(root), dtype=exact.dtype, device=root.device)
        self.curvature = (identity - epsilon * inverse @ inverse).to(root.dtype)

    @classmethod
    def fit(
        cls, x: Points, y: Points, *, epsilon: float, config: GaussianBaseConfig
    ) -> GaussianConditional:
        """Of source points x and target points y [n, *shape], in float64; epsilon > 0.

        Raises ConfigError for points of too many values.
        """
        check_size(x[0].numel(), "base_potential", "gaussian", instead="none")
        basis = cosine_basis(tuple(x.shape[1:]))
        mean0, mean1, plan = _fitted_plan(x, y, basis, epsilon=epsilon, config=config)
        # K = epsilon * regression, where B - C^T A^-1 C would cancel at small epsilon.
        covariance = epsilon * _symmetric(plan.regression)
        values, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(np.maximum(values, 1e-12 * values[-1]))) @ vectors.T
        tensors = (torch.from_numpy(array).float().to(x.device) for array in (mean0, mean1, root))
        return cls(*tensors, epsilon=epsilon)

    def mean(self, x: Points) -> Points:
        """E[Y | X = x], [batch, *shape]."""
        shift = (x.flatten(1) - self.source_mean) @ self.regression
        return (self.target_mean + shift).view_as(x)

    def colour(self, z: Points) -> Points:
        """K^1/2 z, [batch, *shape]."""
        return (z.flatten(1) @ self.root).view_as(z)

    def whiten(self, shift: Points) -> Points:
        """K^-1/2 (y - E[Y | x]) for the shift y - E[Y | x], [batch, *shape]."""
        return (shift.flatten(1) @ self.inverse_root).view_as(shift)

    def potential(self, y: Points) -> PerPoint:
        """g without its constant, [batch]."""
        centred = y.flatten(1) - self.target_mean
        pull = self.target_mean - self.source_mean
        return (centred @ self.curvature * centred).sum(1) / 2 + centred @ pull

    def state(self) -> dict[str, torch.Tensor]:
        means = {"source_mean": self.source_mean, "target_mean": self.target_mean}
        return {**means, "root": self.root}


def check_size(dim: int, key: str, value: str, *, instead: str) -> None:
    """ConfigError where a Gaussian fit to points of `dim` values would be too large."""
    if dim > GAUSSIAN_BASE_MAX_DIM:
        raise ConfigError(
            f"{key}: found {value} for points of {dim} values, expected "
            f"{GAUSSIAN_BASE_MAX_DIM} at most: their covariances would not fit. Set {instead}."
        )


def cosine_basis(shape: tuple[int, ...]) -> np.ndarray:
    """Orthonormal cosine transform (DCT-II) of images [channels, h, w], each row one wave.

    Of vectors [D] the identity: their coordinates have no order.
    """
    if len(shape) == 1:
        return np.eye(*shape)
    channels, height, width = shape
    planes = np.kron(_cosines(height), _cosines(width))
    return np.kron(np.eye(channels), planes)


def _cosines(n: int) -> np.ndarray:
    waves = np.cos(math.pi * np.outer(np.arange(n), np.arange(n) + 0.5) / n) * math.sqrt(2 / n)
    waves[0] /= math.sqrt(2)
    return waves


def _fitted_plan(
    x: Points, y: Points, basis: np.ndarray, *, epsilon: float, config: GaussianBaseConfig
) -> tuple[np.ndarray, np.ndarray, GaussianPlan]:
    """The means of both sides [D] and the plan between the centred Gaussian fits."""
    (mean0, a), (mean1, b) = _moments(x, basis, config), _moments(y, basis, config)
    return mean0, mean1, GaussianPlan(a, b, epsilon)


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
