"""Gaussian mixtures as potentials: a problem whose plan and drift are known in closed form.

Gushchin, Kolesov, Mokrov, Karpikova, Spiridonov, Burnaev, Korotin, "Building the Bridge of
Schroedinger" (NeurIPS 2023 datasets and benchmarks, arXiv 2306.10161), section 3. The potential is
chosen, and the target follows from it: the exact plan applied to the source. Equations and signs:
docs/conventions.md, section 7.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from entropic_ot.errors import DataError
from entropic_ot.problems.base import Distribution, Moments
from entropic_ot.types import PerPoint, Points

NUM_TARGET_POINTS = 131_072
"""Source points over which the moments of the target are averaged."""
TARGET_SEED = 20230617
"""Seed of these points; not that of any training or evaluation."""
CHUNK = 8192
"""Points handled at once where n x K x D numbers are needed."""
MAX_MEMBER_BYTES = 2**26
"""Of a member of the benchmark's archive: K matrices of 128 x 128 numbers are far less."""


class GaussianMixture:
    """sum_k weights_k N(means_k, diag variances_k): weights [K], means [K, D], variances [K, D]."""

    def __init__(self, weights: torch.Tensor, means: torch.Tensor, variances: torch.Tensor) -> None:
        weights, means, variances = (t.detach().cpu().double() for t in (weights, means, variances))
        if means.dim() != 2 or variances.shape != means.shape or weights.shape != means.shape[:1]:
            raise DataError(
                f"mixture: found weights {list(weights.shape)}, means {list(means.shape)} and "
                f"variances {list(variances.shape)}, expected [K], [K, D] and [K, D]"
            )
        finite = all(bool(t.isfinite().all()) for t in (weights, means, variances))
        if not (finite and (weights > 0).all() and (variances > 0).all()):
            raise DataError(
                "mixture: found a weight or variance that is not a finite number > 0, "
                "or a mean that is not finite; expected such numbers for every component"
            )
        self.weights, self.means, self.variances = weights / weights.sum(), means, variances

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.means.shape[1:])

    def sample(self, n: int, *, rng: torch.Generator) -> Points:
        weights, means, variances = (
            t.to(rng.device) for t in (self.weights, self.means, self.variances)
        )
        chosen = torch.multinomial(weights, n, replacement=True, generator=rng)
        noise = torch.randn(n, *self.shape, generator=rng, device=rng.device)
        return (means[chosen] + variances[chosen].sqrt() * noise).float()

    def log_density(self, y: Points, *, smoothing: float = 0.0) -> torch.Tensor:
        """log weights_k N(y; means_k, variances_k + smoothing I), [n, K] in float64."""
        y = y.double()
        means, variances = self.means.to(y.device), self.variances.to(y.device) + smoothing
        precision = 1 / variances
        # Expanded, so that no n x K x D array is made; the numbers are < 1e6 and have 16 digits.
        squares = (y**2) @ precision.T - 2 * y @ (means * precision).T
        squares = squares + (means**2 * precision).sum(1)
        constant = self.weights.log().to(y.device) - (2 * torch.pi * variances).log().sum(1) / 2
        return constant - squares / 2


class MixturePlan:
    """The entropic plan whose potential is g(y) = eps log phi(y), phi a Gaussian mixture.

    Y | X = x is a mixture with weights proportional to alpha_k N(x; mu_k, Sigma_k + eps I),
    covariances C_k = (I / eps + Sigma_k^-1)^-1 and means C_k (Sigma_k^-1 mu_k + x / eps)
    (proposition 3.2 of the paper). All arithmetic is in float64.

    source: only the moments of the target depend on it.
    """

    def __init__(self, source: Distribution, potential: GaussianMixture, epsilon: float) -> None:
        if not epsilon > 0:
            raise DataError(
                f"epsilon: found {epsilon!r} for a mixture, expected a number > 0 "
                "(at 0 the construction has no plan)"
            )
        if source.shape != potential.shape:
            raise DataError(
                f"mixture: found source points of shape {source.shape} and components of shape "
                f"{potential.shape}, expected the same"
            )
        self.source, self.mixture, self.epsilon = source, potential, epsilon
        variances = potential.variances
        self._slopes = variances / (variances + epsilon)  # C_k / eps
        self._shifts = epsilon * potential.means / (variances + epsilon)  # C_k Sigma_k^-1 mu_k
        self._within = epsilon * self._slopes  # C_k

    def potential(self, y: Points) -> PerPoint:
        """g(y) = eps log phi(y), [n] in float64."""
        return self.epsilon * self.mixture.log_density(y).logsumexp(1)

    def conditional_weights(self, x: Points) -> torch.Tensor:
        """Probability of each component given x, [n, K] in float64."""
        return self.mixture.log_density(x, smoothing=self.epsilon).softmax(1)

    def conditional_means(self, x: Points) -> torch.Tensor:
        """Mean of each component given x, [n, K, D] in float64."""
        x = x.double()
        return self._shifts.to(x.device) + self._slopes.to(x.device) * x[:, None]

    def drift(self, t: float, x: Points) -> Points:
        """f(t, x) = eps grad_x log sum_k alpha_k N(x; mu_k, Sigma_k + eps (1 - t) I)."""
        smoothing = self.epsilon * (1 - t)
        weights = self.mixture.log_density(x, smoothing=smoothing).softmax(1)
        precision = 1 / (self.mixture.variances.to(x.device) + smoothing)
        pull = weights @ (self.mixture.means.to(x.device) * precision)
        return (self.epsilon * (pull - x.double() * (weights @ precision))).to(x.dtype)

    def sample_conditional(self, x: Points, *, rng: torch.Generator) -> Points:
        weights = self.conditional_weights(x)
        chosen = torch.multinomial(weights, 1, generator=rng)[:, 0]
        shifts, slopes, within = (
            t.to(x.device)[chosen] for t in (self._shifts, self._slopes, self._within)
        )
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        return (shifts + slopes * x.double() + within.sqrt() * noise).to(x.dtype)

    def conditional_moments(self, x: Points) -> Moments:
        """Mean [n, D] and covariance [n, D, D] of Y | X = x: within plus between components."""
        weights, means = self.conditional_weights(x), self.conditional_means(x)
        mean = (weights[:, :, None] * means).sum(1)
        deviations = means - mean[:, None]
        between = (weights[:, :, None] * deviations).mT @ deviations
        return Moments(mean, between + torch.diag_embed(weights @ self._within.to(x.device)))

    @cached_property
    def target_moments(self) -> Moments:
        """Mean [D] and covariance [D, D] of Y: no closed form, so an average of exact ones.

        By the law of total covariance, Cov Y = E Cov(Y | X) + Cov E(Y | X) over NUM_TARGET_POINTS
        points x of a fixed seed. Only x is random, so the error of the total variance is about
        1 / sqrt(NUM_TARGET_POINTS) = 0.3 % of its part that differs from x to x.
        """
        rng = torch.Generator().manual_seed(TARGET_SEED)
        (dim,) = self.mixture.shape
        first, second = torch.zeros(dim).double(), torch.zeros(dim, dim).double()
        for _ in range(NUM_TARGET_POINTS // CHUNK):
            x = self.source.sample(CHUNK, rng=rng)
            weights, means = self.conditional_weights(x), self.conditional_means(x)
            first += (weights[:, :, None] * means).sum((0, 1))
            scaled = (weights.sqrt()[:, :, None] * means).flatten(0, 1)
            second += scaled.T @ scaled + torch.diag((weights @ self._within).sum(0))
        mean = first / NUM_TARGET_POINTS
        return Moments(mean, second / NUM_TARGET_POINTS - mean[:, None] * mean)


@dataclass(frozen=True)
class MixtureTarget:
    """The target of the benchmark: the exact plan applied to a fresh sample of its source."""

    plan: MixturePlan

    @property
    def shape(self) -> tuple[int, ...]:
        return self.plan.mixture.shape

    def sample(self, n: int, *, rng: torch.Generator) -> Points:
        x = self.plan.source.sample(n, rng=rng)
        return self.plan.sample_conditional(x, rng=rng)


def random_mixture(
    dim: int, *, num_components: int, mean_norm: float, component_std: float, rng: torch.Generator
) -> GaussianMixture:
    """Equal weights, means uniform on the sphere of radius `mean_norm`, round components."""
    directions = torch.randn(num_components, dim, generator=rng, dtype=torch.float64)
    means = mean_norm * directions / directions.norm(dim=1, keepdim=True)
    weights = torch.full((num_components,), 1 / num_components, dtype=torch.float64)
    return GaussianMixture(weights, means, torch.full_like(means, component_std**2))


def round_gaussian(dim: int, *, std: float) -> GaussianMixture:
    """N(0, std^2 I), as a mixture of one component."""
    return GaussianMixture(torch.ones(1), torch.zeros(1, dim), torch.full((1, dim), std**2))


def load_archive(
    archive: Path, dim: int, epsilon: float
) -> tuple[GaussianMixture, GaussianMixture]:
    """(source, potential) of the paper's own parameters, from gaussian_mixture_benchmark_data.zip.

    The archive holds one file made by torch.save per tensor: {input,potential}_{probs,mus,sigmas}
    with _dim_<D> (input) or _dim_<D>_eps_<epsilon> (potential) and the ending .torch; probs [K],
    mus [K, D], sigmas [K, D, D]. Raises DataError on anything else, and on covariances that are
    not diagonal.
    """
    source = _read_mixture(archive, "input", f"dim_{dim}", dim)
    potential = _read_mixture(archive, "potential", f"dim_{dim}_eps_{epsilon:g}", dim)
    return source, potential


def _read_mixture(archive: Path, kind: str, which: str, dim: int) -> GaussianMixture:
    probs, means, sigmas = (
        _read_tensor(archive, f"{kind}_{name}_{which}.torch") for name in ("probs", "mus", "sigmas")
    )
    count = len(probs) if probs.dim() == 1 else 0
    if count == 0 or means.shape != (count, dim) or sigmas.shape != (count, dim, dim):
        raise DataError(
            f"{archive}: {kind}_*_{which}.torch: found shapes {list(probs.shape)}, "
            f"{list(means.shape)}, {list(sigmas.shape)}, expected [K], [K, {dim}], "
            f"[K, {dim}, {dim}]. Give the benchmark's unchanged archive."
        )
    variances = sigmas.diagonal(dim1=1, dim2=2)
    largest = float((sigmas - torch.diag_embed(variances)).abs().max())
    if largest > 1e-6 * float(variances.abs().max()):
        raise DataError(
            f"{archive}: {kind}_sigmas_{which}.torch: found off-diagonal entries up to "
            f"{largest:.3g}, expected diagonal covariances; full ones are not supported"
        )
    return GaussianMixture(probs, means, variances)


def _read_tensor(archive: Path, name: str) -> torch.Tensor:
    try:
        with zipfile.ZipFile(archive) as file:
            if file.getinfo(name).file_size > MAX_MEMBER_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_MEMBER_BYTES} bytes")
            tensor = torch.load(io.BytesIO(file.read(name)), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(
            f"{archive}: not found, expected the benchmark's gaussian_mixture_benchmark_data.zip. "
            "Get it from the page of the paper's code, or set `archive: null`."
        ) from None
    except KeyError:
        raise DataError(
            f"{archive}: found no member {name}; the benchmark has dimensions 2, 4, ..., 128 and "
            "epsilon 0.01, 0.1, 1, 10. Choose one of these, or set `archive: null`."
        ) from None
    except Exception as error:  # zipfile, zlib, pickle and torch raise many kinds
        raise DataError(
            f"{archive}: {name}: cannot be read ({type(error).__name__}: {str(error)[:300]}), "
            "expected a tensor saved by torch.save in a zip file. Download the archive again."
        ) from None
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise DataError(
            f"{archive}: {name}: found {type(tensor).__name__}, expected a tensor (dense). "
            "Give the benchmark's unchanged archive."
        )
    return tensor.double()
