"""The Sinkhorn baseline against the Gaussian plan and against problems solved by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from entropic_ot.device import make_rng
from entropic_ot.problems.base import EOTProblem
from entropic_ot.problems.gaussian import GaussianPlan, haar_covariance
from entropic_ot.solvers.config import SinkhornConfig
from entropic_ot.solvers.scaling import conditional_weights, draw
from entropic_ot.solvers.sinkhorn import Sinkhorn

SOURCE, TARGET = haar_covariance(2, seed=42), haar_covariance(2, seed=43)


class Rows:
    """A distribution that gives its rows in order."""

    def __init__(self, points: torch.Tensor) -> None:
        self.points, self.shape = points, tuple(points.shape[1:])

    def sample(self, n: int, *, rng: torch.Generator) -> torch.Tensor:
        assert n <= len(self.points)
        return self.points[:n].clone()


def moment_matched(covariance: np.ndarray, n: int, *, seed: int) -> torch.Tensor:
    """Gaussian draws shifted and stretched to exactly this covariance: no sampling error there."""
    z = np.random.default_rng(seed).standard_normal((n, len(covariance)))
    z -= z.mean(0)
    z = np.linalg.solve(np.linalg.cholesky(np.cov(z.T, bias=True)), z.T).T
    return torch.from_numpy(z @ np.linalg.cholesky(covariance).T).float()


def solved(x: torch.Tensor, y: torch.Tensor, *, epsilon: float, iterations: int = 500) -> Sinkhorn:
    config = SinkhornConfig(num_points=len(x), num_iterations=iterations)
    solver = Sinkhorn(tuple(x.shape[1:]), config, epsilon=epsilon)
    problem = EOTProblem(Rows(x), Rows(y), epsilon)
    solver.step(problem, rng=make_rng(0), progress=0.0)
    return solver


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0, 10.0])
def test_out_of_sample_plan_has_the_gaussian_plans_cross_covariance(epsilon: float) -> None:
    solver = solved(
        moment_matched(SOURCE, 600, seed=0), moment_matched(TARGET, 600, seed=1), epsilon=epsilon
    )
    x = moment_matched(SOURCE, 10_000, seed=2)  # none of these were seen
    y = solver.sample(x, rng=make_rng(3))
    cross = (x.T @ y / len(x)).numpy()
    # Over 3 seeds at each epsilon, 600 points were off by 0.03 at the median and 0.05 at most; the
    # entries are of size 2.6, and a plan for 2 epsilon or epsilon / 2 is off by 0.16 or more
    # wherever epsilon matters (below).
    np.testing.assert_allclose(cross, GaussianPlan(SOURCE, TARGET, epsilon).cross, atol=0.07)


@pytest.mark.parametrize("epsilon", [1.0, 10.0])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_that_tolerance_would_notice_another_convention(epsilon: float, factor: float) -> None:
    """Without the 1/2 of the cost, the same epsilon regularises half as much."""
    right, wrong = (GaussianPlan(SOURCE, TARGET, e).cross for e in (epsilon, factor * epsilon))
    assert np.abs(right - wrong).max() > 2 * 0.07


def test_the_plan_between_two_pairs_of_points_is_the_one_solved_by_hand() -> None:
    """x in {0, 1} to y in {0, 1}: by symmetry pi(1 | 1) / pi(0 | 1) = exp(1/2 / eps)."""
    x = torch.tensor([[0.0], [1.0]])
    epsilon, n = 0.4, 20_000
    solver = solved(x, x, epsilon=epsilon)
    y = solver.sample(torch.ones(n, 1), rng=make_rng(0))
    share = 1 / (1 + np.exp(-0.5 / epsilon))
    assert float(y.mean()) == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / n))


def test_at_epsilon_zero_each_point_goes_to_the_partner_of_exact_transport() -> None:
    """In one dimension the optimal map is monotone; nearest neighbours would take 0 to 1."""
    solver = solved(torch.tensor([[0.0], [2.0]]), torch.tensor([[9.0], [1.5]]), epsilon=0)
    y = solver.sample(torch.tensor([[-0.5], [4.0]]), rng=make_rng(0))
    assert y[:, 0].tolist() == [1.5, 9.0]


def test_at_epsilon_zero_sampling_draws_no_noise() -> None:
    solver = solved(
        moment_matched(SOURCE, 50, seed=0), moment_matched(TARGET, 50, seed=1), epsilon=0
    )
    x = moment_matched(SOURCE, 200, seed=2)
    assert torch.equal(solver.sample(x, rng=make_rng(0)), solver.sample(x, rng=make_rng(1)))


def test_a_small_epsilon_stays_finite() -> None:
    """exp(-c / eps) underflows for every pair here; in the log domain nothing does."""
    x, y = moment_matched(SOURCE, 100, seed=0), moment_matched(TARGET, 100, seed=1)
    assert float(torch.exp(-(torch.cdist(x, y + 50).square() / 2).min() / 1e-4)) == 0
    solver = solved(x, y + 50, epsilon=1e-4, iterations=50)
    assert solver.potential.isfinite().all()
    sampled = solver.sample(x, rng=make_rng(0))
    rows = {tuple(row) for row in (y + 50).tolist()}
    assert all(tuple(row) in rows for row in sampled.tolist())
    assert len({tuple(row) for row in sampled.tolist()}) > 50  # not one point for all


def test_the_marginal_error_is_logged_and_falls_with_the_iterations() -> None:
    x, y = moment_matched(SOURCE, 100, seed=0), moment_matched(TARGET, 100, seed=1)

    def error(iterations: int) -> float:
        config = SinkhornConfig(num_points=100, num_iterations=iterations, tolerance=1e-9)
        solver = Sinkhorn((2,), config, epsilon=0.05)
        problem = EOTProblem(Rows(x), Rows(y), 0.05)
        return solver.step(problem, rng=make_rng(0), progress=0.0)["marginal_error"]

    assert 0 < error(300) < error(11) / 10


def test_images_are_transported_as_their_flat_vectors() -> None:
    x = torch.zeros(2, 3, 2, 2)
    x[1] += 1
    solver = solved(x, x + 0.1, epsilon=0)
    assert torch.equal(solver.sample(x - 0.2, rng=make_rng(0)), x + 0.1)


def test_columns_are_drawn_in_proportion_to_their_weights_and_never_at_weight_zero() -> None:
    weights = torch.tensor([0.0, 3.0, 0.0, 1.0, 0.0, 4.0, 0.0], dtype=torch.float64)
    n = 80_000
    drawn = draw(weights.expand(n, -1), rng=make_rng(0))
    shares = torch.bincount(drawn, minlength=len(weights)) / n
    assert (shares[weights == 0] == 0).all()
    np.testing.assert_allclose(shares, weights / 8, atol=5 * 0.5 / np.sqrt(n))


def test_weights_of_the_plan_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(4)
    x, y, g = (rng.standard_normal(shape) for shape in [(7, 3), (9, 3), (9,)])
    for epsilon in (0.02, 1.0):
        exponent = (g - ((x[:, None] - y) ** 2).sum(-1) / 2) / epsilon
        expected = np.exp(exponent - exponent.max(1, keepdims=True))
        weights = conditional_weights(*map(torch.from_numpy, (x, y, g)), epsilon)
        np.testing.assert_allclose(weights, expected / expected.sum(1, keepdims=True), atol=1e-12)
