"""EgNOT's Gaussian base against the plan of Gaussians, and its white chains against the score."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from entropic_ot.costs import HalfSquaredEuclidean
from entropic_ot.device import make_rng
from entropic_ot.errors import ConfigError
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.problems.base import ArrayDistribution, EOTProblem
from entropic_ot.problems.gaussian import GaussianPlan, haar_covariance
from entropic_ot.solvers.config import EgNOTConfig, GaussianBaseConfig
from entropic_ot.solvers.egnot import EgNOT
from entropic_ot.solvers.gaussian_base import GaussianConditional, cosine_basis

DIM = 4
SHIFT = 2.0
EXACT = GaussianBaseConfig(num_points=4000, shrinkage=0.0, min_variance=1e-9)
CONFIG = EgNOTConfig(
    potential=NetworkConfig(kind="mlp", width=8, depth=2),
    base_potential="gaussian",
    gaussian_base=EXACT,
    num_langevin_steps=2,
    num_warm_up_steps=0,
    num_test_langevin_steps=300,
    step_size=0.05,
    buffer_size=64,
    batch_size=32,
)


def with_covariance(covariance: np.ndarray, mean: float, seed: int, n: int = 4000) -> torch.Tensor:
    """Points [n, dim] whose sample mean and covariance are these, exactly."""
    noise = np.random.default_rng(seed).standard_normal((n, len(covariance)))
    noise -= noise.mean(0)
    white = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise.T)).T)
    return torch.from_numpy(white @ np.linalg.cholesky(covariance).T + mean)


A, B = haar_covariance(DIM, seed=42), haar_covariance(DIM, seed=43)
X, Y = with_covariance(A, 0.0, 0), with_covariance(B, SHIFT, 1)


def fitted(epsilon: float) -> GaussianConditional:
    return GaussianConditional.fit(X, Y, epsilon=epsilon, config=EXACT)


def problem(epsilon: float) -> EOTProblem:
    sides = (ArrayDistribution(points.float().numpy()) for points in (X, Y))
    return EOTProblem(*sides, epsilon)


def trained(config: EgNOTConfig, epsilon: float, *, num_steps: int = 1) -> EgNOT:
    solver = EgNOT((DIM,), config, epsilon=epsilon)
    for step in range(num_steps):
        solver.step(problem(epsilon), rng=make_rng(step), progress=step / num_steps)
    return solver


@pytest.mark.parametrize("epsilon", [0.01, 1.0, 10.0])
def test_the_fit_is_the_plan(epsilon: float) -> None:
    """float32 keeps the root and the means: 1e-6 of entries up to 4."""
    base, plan = fitted(epsilon), GaussianPlan(A, B, epsilon)
    covariance = (base.root.double() @ base.root.double()).numpy()
    np.testing.assert_allclose(covariance, plan.conditional_covariance, atol=2e-5)
    x = X[:10].float()
    expected = plan.conditional_moments(x).mean + SHIFT
    torch.testing.assert_close(base.mean(x).double(), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_its_potential_has_this_conditional(epsilon: float) -> None:
    """grad_y (g(y) - 1/2 |x - y|^2) / epsilon is the score -K^-1 (y - E[Y | x]) of N(E[Y|x], K)."""
    base = fitted(epsilon)
    x, y = X[:10].float(), Y[:10].float().requires_grad_()
    exponent = (base.potential(y) - HalfSquaredEuclidean()(x, y)).sum() / epsilon
    (score,) = torch.autograd.grad(exponent, y)
    inverse = torch.linalg.inv(base.root.double() @ base.root.double())
    expected = -((y.detach() - base.mean(x)).double() @ inverse)
    torch.testing.assert_close(score.double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_the_white_score_is_that_of_the_potential(kind: str) -> None:
    """z = K^-1/2 (y - E[Y | x]): the score in z is K^1/2 times that in y, network and all."""
    shape = (DIM,) if kind == "mlp" else (1, 2, 2)
    network = NetworkConfig(kind=kind, width=8, depth=1 if kind == "resnet" else 2)  # type: ignore[arg-type]
    config = dataclasses.replace(CONFIG, potential=network, potential_scale=3.0)
    solver = EgNOT(shape, config, epsilon=0.5, seed=3)
    x, y = (points[:4000].float().view(-1, *shape) for points in (X, Y))
    base = GaussianConditional.fit(x, y, epsilon=0.5, config=EXACT)
    solver.base = base
    x, y = x[:6], y[:6]
    mean = base.mean(x)
    white = solver._white_score(base, mean)(base.whiten(y - mean))
    torch.testing.assert_close(white, base.colour(solver._any_score(x)(y)), rtol=1e-3, atol=1e-3)
    assert (white + base.whiten(y - mean)).abs().max() > 1e-3  # the network takes part


def test_chains_without_a_network_sample_the_plan() -> None:
    """From far away. Bounds: five times sqrt(2 / 4000) of variances up to 4, and the steps' bias,
    1 / (1 - 0.05 / 4)."""
    config = dataclasses.replace(CONFIG, potential_scale=0.0)
    solver = trained(config, 0.5)
    x = X[:1].float().expand(4000, -1)
    y = solver.langevin(x, x + 5, num_steps=300, rng=make_rng(0))
    plan = GaussianPlan(A, B, 0.5)
    expected = torch.from_numpy(plan.conditional_covariance)
    bound = 5 * (2 / 4000) ** 0.5 + 0.05 / 4
    largest = float(expected.diagonal().max())
    assert (y.double().T.cov() - expected).abs().max() < bound * largest
    mean = plan.conditional_moments(x[:1]).mean[0] + SHIFT
    assert (y.double().mean(0) - mean).abs().max() < 5 * (largest / 4000) ** 0.5


def test_new_chains_start_at_draws_of_the_plan() -> None:
    solver = trained(CONFIG, 0.5)
    x = X[:1].float().expand(4000, -1)
    y = solver.initial(x, rng=make_rng(0)).double()
    expected = torch.from_numpy(GaussianPlan(A, B, 0.5).conditional_covariance)
    bound = 5 * (2 / 4000) ** 0.5 * float(expected.diagonal().max())
    assert (y.T.cov() - expected).abs().max() < bound


@pytest.mark.parametrize("chains", ["replay", "persistent"])
def test_it_is_saved_with_the_weights(chains: str) -> None:
    config = dataclasses.replace(CONFIG, chains=chains, num_test_langevin_steps=3)
    solver = trained(config, 0.5, num_steps=2)
    other = EgNOT((DIM,), config, epsilon=0.5, seed=5)
    other.load_state_dict(copy.deepcopy(solver.state_dict()))
    x = X[:5].float()
    assert torch.equal(other.sample(x, rng=make_rng(2)), solver.sample(x, rng=make_rng(2)))
    for one in (solver, other):
        one.step(problem(0.5), rng=make_rng(3), progress=0.5)
    assert torch.equal(other.sample(x, rng=make_rng(2)), solver.sample(x, rng=make_rng(2)))


def test_vectors_are_shrunk_to_their_coordinates() -> None:
    np.testing.assert_array_equal(cosine_basis((3,)), np.eye(3))


def test_what_does_not_go_with_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="gaussian before any step of training"):
        EgNOT((DIM,), CONFIG, epsilon=0.5).sample(X[:2].float(), rng=make_rng(0))
    many = torch.zeros(2, 3, 64, 64)
    with pytest.raises(ConfigError, match=r"base_potential: found gaussian for points of 12288"):
        GaussianConditional.fit(many, many, epsilon=1.0, config=EXACT)

    class Decoded:
        def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (x - y).square().flatten(1).sum(1)

    with pytest.raises(ConfigError, match="gaussian with a cost of decoded points"):
        EgNOT((DIM,), CONFIG, epsilon=0.5, cost=Decoded())
