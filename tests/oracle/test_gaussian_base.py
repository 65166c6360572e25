"""ENOT's Gaussian base against properties that every optimal drift and potential have."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from entropic_ot.device import make_rng
from entropic_ot.errors import ConfigError, EntropicOTError
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.problems.base import ArrayDistribution, EOTProblem
from entropic_ot.solvers.config import EgNOTConfig, ENOTConfig, GaussianBaseConfig
from entropic_ot.solvers.egnot import EgNOT
from entropic_ot.solvers.enot import ENOT
from entropic_ot.solvers.gaussian_base import GaussianBase, cosine_basis

SHAPE = (2, 4, 4)
DIM = 32
TIMES = [0.0, 0.25, 0.5, 0.75]
ROUNDING = 2e-4  # float32 sums over 32 values of size 3, through slopes and curvatures up to 20
CONFIG = GaussianBaseConfig(num_points=4000, shrinkage=0.0, min_variance=1e-6, max_std=1.0)

TINY = ENOTConfig(
    drift=NetworkConfig(kind="unet", width=4, depth=1),
    potential=NetworkConfig(kind="local", width=4, depth=1),
    drift_form="gaussian_endpoint",
    gaussian_base=CONFIG,
)


def images(seed: int, mean: float, n: int = 4000) -> torch.Tensor:
    """Correlated Gaussian images [n, 2, 4, 4] whose covariance's eigenvalues are 0.2 to 2."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
    noise = rng.standard_normal((n, DIM)) * np.sqrt(np.linspace(0.2, 2, DIM))
    return torch.from_numpy(noise @ rotation + mean).float().view(n, *SHAPE)


def base(epsilon: float, config: GaussianBaseConfig = CONFIG) -> GaussianBase:
    x, y = images(0, 0.5), images(1, -1.0)
    return GaussianBase.fit(x, y, times=TIMES, epsilon=epsilon, config=config)


def drift(fitted: GaussianBase, step: int, x: torch.Tensor) -> torch.Tensor:
    return (fitted.end_point(step, x, torch.zeros_like(x)) - x) / (1 - TIMES[step])


def beta_gradient(fitted: GaussianBase, y: torch.Tensor) -> torch.Tensor:
    y = y.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(fitted.beta(y).sum(), y)
    return gradient


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("step", range(len(TIMES)))
def test_the_drift_is_the_expected_gradient_of_the_potential(epsilon: float, step: int) -> None:
    """f(t, x) = E[grad beta(X_1) | X_t = x], which is the optimality of f for beta."""
    fitted, x = base(epsilon), images(2, 0.3, n=5)
    expected = beta_gradient(fitted, fitted.end_point(step, x, torch.zeros_like(x)))
    torch.testing.assert_close(drift(fitted, step, x), expected, rtol=0, atol=ROUNDING)


def test_without_noise_the_map_takes_the_source_to_the_target() -> None:
    x, y = images(0, 0.5), images(1, -1.0)
    mapped = base(0.0).end_point(0, x, torch.zeros_like(x))
    torch.testing.assert_close(mapped.mean(0), y.mean(0), rtol=0, atol=1e-4)
    covariances = [a.flatten(1).T.cov() for a in (mapped, y)]
    torch.testing.assert_close(*covariances, rtol=0, atol=1e-3)


def test_many_small_steps_with_noise_reach_the_target() -> None:
    """Euler steps of 1/100, with networks of zeros. Of 4000 samples the entries of a covariance of
    variances up to 2 have errors of 2 sqrt(2 / 4000) = 0.045; five of them are the bound."""
    config = dataclasses.replace(
        TINY, num_euler_steps=100, time_grid_power=1.0, noise_last_step=True
    )
    solver = ENOT(SHAPE, config, epsilon=1.0)
    x, y = images(0, 0.5), images(1, -1.0)
    times = solver.times[:-1]
    solver.base = GaussianBase.fit(x, y, times=times, epsilon=1.0, config=CONFIG)
    ends = solver.sample(x, rng=make_rng(0))
    assert (ends.mean(0) - y.mean(0)).abs().max() < 0.15
    difference = ends.flatten(1).T.cov() - y.flatten(1).T.cov()
    assert difference.abs().max() < 0.225


def test_full_shrinkage_leaves_the_spectrum() -> None:
    """In the cosine transform the covariances are then diagonal, and so is the map."""
    config = dataclasses.replace(CONFIG, shrinkage=1.0)
    basis = torch.from_numpy(cosine_basis(SHAPE)).float()
    slope = basis @ base(0.0, config).slopes[0] @ basis.T
    waves = [images(seed, 0.0).flatten(1) @ basis.T for seed in (0, 1)]
    gain = waves[1].std(0) / waves[0].std(0)
    torch.testing.assert_close(slope, gain.diag(), rtol=0, atol=1e-4)


def test_the_cosine_basis_is_orthonormal_and_starts_with_the_mean() -> None:
    basis = cosine_basis((2, 3, 5))
    np.testing.assert_allclose(basis @ basis.T, np.eye(30), atol=1e-12)
    np.testing.assert_allclose(basis[0], [1 / np.sqrt(15)] * 15 + [0] * 15, atol=1e-12)


def test_corrections_are_filtered_to_the_spectrum_of_the_target() -> None:
    """A flat field added to all images: corrections may be flat and nothing else."""
    y = torch.randn(500, 1, 1, 1, generator=make_rng(0)).expand(500, *SHAPE) / 10
    config = dataclasses.replace(CONFIG, min_variance=1e-8)
    fitted = GaussianBase.fit(images(0, 0.0), y, times=[0.0], epsilon=0.0, config=config)
    x, noise = torch.zeros(3, *SHAPE), torch.randn(3, *SHAPE, generator=make_rng(1))
    without = fitted.end_point(0, x, torch.zeros_like(x))
    moved = fitted.end_point(0, x, noise) - without
    flat = moved.mean((2, 3), keepdim=True).expand_as(moved)
    torch.testing.assert_close(moved, flat, rtol=0, atol=1e-3)  # sqrt(1e-8) of noise, a few times
    assert flat.abs().max() > 0.01


def test_it_is_saved_with_the_weights_and_fitted_once() -> None:
    fit = dataclasses.replace(CONFIG, num_points=50)
    config = dataclasses.replace(TINY, num_euler_steps=2, batch_size=4, gaussian_base=fit)
    source, target = (ArrayDistribution(images(seed, 0.0, n=60).numpy()) for seed in (0, 1))
    problem = EOTProblem(source, target, 1.0)
    solver = ENOT(SHAPE, config, epsilon=1.0)
    with pytest.raises(EntropicOTError, match="before any step of training"):
        solver.sample(images(3, 0.0, n=4), rng=make_rng(0))
    solver.step(problem, rng=make_rng(0), progress=0.0)
    fitted = solver.base
    solver.step(problem, rng=make_rng(1), progress=0.5)
    assert solver.base is fitted
    other = ENOT(SHAPE, config, epsilon=1.0, seed=5)
    other.load_state_dict(solver.state_dict())
    x = images(3, 0.0, n=4)
    assert torch.equal(other.sample(x, rng=make_rng(2)), solver.sample(x, rng=make_rng(2)))


def test_settings_that_do_not_go_with_it_are_refused() -> None:
    unet = NetworkConfig(kind="unet", width=4, depth=1)
    with pytest.raises(ConfigError, match=r"gaussian_endpoint with a drift of kind mlp"):
        ENOTConfig(drift_form="gaussian_endpoint")
    with pytest.raises(ConfigError, match=r"epsilon_ramp: found 0\.5 with drift_form"):
        ENOTConfig(drift=unet, drift_form="gaussian_endpoint", epsilon_ramp=0.5)


class OfLargeImages:
    """Whose points nobody may draw."""

    shape = (3, 64, 64)

    def sample(self, n: int, *, rng: torch.Generator) -> torch.Tensor:
        raise AssertionError("drawn")

    def __len__(self) -> int:
        return 1000

    def at(self, indices: torch.Tensor) -> torch.Tensor:
        raise AssertionError("drawn")


@pytest.mark.parametrize("method", [ENOT, EgNOT])
def test_images_too_large_for_a_fit_are_refused_before_any_is_drawn(
    method: type[ENOT] | type[EgNOT],
) -> None:
    problem = EOTProblem(OfLargeImages(), OfLargeImages(), 1.0)
    potential = NetworkConfig(kind="conv", width=4, depth=2)
    config = EgNOTConfig(potential=potential, chains="persistent", base_potential="gaussian")
    solver = method(OfLargeImages.shape, TINY if method is ENOT else config, epsilon=1.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"points of 12288 values, expected 4096 at most"):
        solver.step(problem, rng=make_rng(0), progress=0.0)
