"""Gaussian to Gaussian: the problem whose plan, drift and bridge are known in closed form.

Janati, Muzellec, Peyre, Cuturi (NeurIPS 2020) for the plan; Mallasto, Gerolin, Minh (2021) and
Bunne, Hsieh, Cuturi, Krause (AISTATS 2023) for the bridge. Signs: docs/conventions.md.
"""

from __future__ import annotations

import numpy as np
import torch

from entropic_ot.errors import DataError
from entropic_ot.problems.base import Moments
from entropic_ot.types import PerPoint, Points


def haar_covariance(dim: int, *, seed: int) -> np.ndarray:
    """Sigma = R diag(exp(linspace(ln 1/2, ln 2, D)))^2 R^T [dim, dim], R orthogonal.

    R comes from a chain of Householder reflections drawn from numpy's legacy generator, the draw
    behind the covariances of the EgNOT paper (seeds 42 for the source, 43 for the target).
    """
    rotation = _householder_rotation(dim, np.random.RandomState(seed))
    scales = np.exp(np.linspace(np.log(0.5), np.log(2.0), dim))
    return (rotation * scales**2) @ rotation.T


def _householder_rotation(dim: int, rng: np.random.RandomState) -> np.ndarray:
    """A Haar-distributed rotation (determinant 1): Stewart (1980), Householder form."""
    rotation = np.eye(dim)
    signs = np.ones(dim)
    for size in range(dim, 1, -1):
        v = rng.normal(size=size)
        norm2 = v @ v
        first = v[0]
        signs[dim - size] = np.sign(first) if first != 0 else 1.0
        v[0] += signs[dim - size] * np.sqrt(norm2)
        v /= np.sqrt((norm2 - first**2 + v[0] ** 2) / 2.0)
        columns = rotation[:, dim - size :]
        columns -= np.outer(columns @ v, v)
    signs[-1] = (-1) ** (dim - 1) * signs[:-1].prod()
    return signs[:, None] * rotation


class Gaussian:
    """N(0, covariance) in R^D."""

    def __init__(self, covariance: np.ndarray) -> None:
        eigenvalues = np.linalg.eigvalsh(covariance)
        if covariance.ndim != 2 or eigenvalues.min() <= 0:
            raise DataError(
                f"covariance: found smallest eigenvalue {eigenvalues.min():.3g}, "
                "expected a symmetric positive definite matrix"
            )
        self.covariance = covariance
        self._factor = torch.from_numpy(np.linalg.cholesky(covariance)).float()

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.covariance),)

    def sample(self, n: int, *, rng: torch.Generator) -> Points:
        noise = torch.randn(n, *self.shape, generator=rng, device=rng.device)
        return noise @ self._factor.to(rng.device).T


def _sqrtm(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


class GaussianPlan:
    """The entropic plan between N(0, A) and N(0, B), cost 1/2|x - y|^2, epsilon >= 0.

    With D = (4 A^1/2 B A^1/2 + eps^2 I)^1/2 the cross covariance is
    E X Y^T = C = 1/2 (A^1/2 D A^-1/2 - eps I).
    Y | X = x is N(C^T A^-1 x, K) with K = B - C^T A^-1 C; the potential is g(y) = 1/2 y^T H y with
    H = I - eps K^-1, and the drift is H (I - (1 - t) H)^-1 x (PROTOCOLS, ENOT paper section 5.2).
    """

    def __init__(
        self, source_covariance: np.ndarray, target_covariance: np.ndarray, epsilon: float
    ) -> None:
        a, b = source_covariance, target_covariance
        root = _sqrtm(a)
        inverse_root = np.linalg.inv(root)
        middle = _sqrtm(4 * root @ b @ root + epsilon**2 * np.eye(len(a)))
        self.epsilon = epsilon
        self.source_covariance, self.target_covariance = a, b
        self.cross = (root @ middle @ inverse_root - epsilon * np.eye(len(a))) / 2
        self.regression = np.linalg.solve(a, self.cross).T  # E[Y | X = x] = regression @ x
        conditional = b - self.regression @ self.cross
        self.conditional_covariance = (conditional + conditional.T) / 2

    @property
    def joint_covariance(self) -> np.ndarray:
        """Covariance of (X, Y), [2 dim, 2 dim]."""
        a, b, c = self.source_covariance, self.target_covariance, self.cross
        return np.block([[a, c], [c.T, b]])

    @property
    def target_moments(self) -> Moments:
        """Zero and B."""
        covariance = torch.from_numpy(self.target_covariance)
        return Moments(torch.zeros(len(covariance), dtype=covariance.dtype), covariance)

    def conditional_moments(self, x: Points) -> Moments:
        """C^T A^-1 x for each row of x, and K for all of them."""
        regression = torch.from_numpy(self.regression).to(x.device)
        covariance = torch.from_numpy(self.conditional_covariance).to(x.device)
        return Moments(x.double() @ regression.T, covariance.expand(len(x), -1, -1))

    def marginal_covariance(self, t: float) -> np.ndarray:
        """Covariance of the bridge X_t = (1-t) X + t Y + sqrt(eps t (1-t)) noise, [dim, dim]."""
        a, b, c = self.source_covariance, self.target_covariance, self.cross
        identity = np.eye(len(a))
        symmetric = t * (1 - t) * (c + c.T)
        return (1 - t) ** 2 * a + t**2 * b + symmetric + self.epsilon * t * (1 - t) * identity

    @property
    def potential_matrix(self) -> np.ndarray:
        """H with g(y) = 1/2 y^T H y; needs epsilon > 0."""
        identity = np.eye(len(self.cross))
        if self.epsilon == 0:  # dual potential of plain OT: T^-1(y) = y - grad g(y)
            return identity - np.linalg.inv(self.regression)
        return identity - self.epsilon * np.linalg.inv(self.conditional_covariance)

    def potential(self, y: Points) -> PerPoint:
        h = torch.as_tensor(self.potential_matrix, dtype=y.dtype, device=y.device)
        return ((y @ h) * y).sum(1) / 2

    def drift(self, t: float, x: Points) -> Points:
        h = self.potential_matrix
        matrix = h @ np.linalg.inv(np.eye(len(h)) - (1 - t) * h)
        return x @ torch.as_tensor(matrix, dtype=x.dtype, device=x.device).T

    def sample_conditional(self, x: Points, *, rng: torch.Generator) -> Points:
        regression = torch.as_tensor(self.regression, dtype=x.dtype, device=x.device)
        factor = torch.as_tensor(
            _sqrtm(self.conditional_covariance), dtype=x.dtype, device=x.device
        )
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        return x @ regression.T + noise @ factor
