"""The Gaussian plan against mathematics that does not use its own formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import special_ortho_group

from entropic_ot.device import make_rng
from entropic_ot.dynamics.euler_maruyama import euler_maruyama
from entropic_ot.errors import DataError
from entropic_ot.experiments.moments import PathMoments, bridge_moments
from entropic_ot.problems.gaussian import Gaussian, GaussianPlan, haar_covariance

DIM = 3
SOURCE, TARGET = haar_covariance(DIM, seed=42), haar_covariance(DIM, seed=43)
EPSILONS = (0.1, 1.0, 10.0)
EXACT = 1e-9  # double precision, with room for the condition number (16) and for epsilon = 0.1


def plan_at(epsilon: float) -> GaussianPlan:
    return GaussianPlan(SOURCE, TARGET, epsilon)


def drift_matrix(plan: GaussianPlan, t: float) -> np.ndarray:
    """F with f(t, x) = F x, read off the drift itself."""
    return plan.drift(t, torch.eye(DIM, dtype=torch.float64)).numpy().T


# --- the plan -------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_potential_alone_gives_the_plan_by_completing_the_square(epsilon: float) -> None:
    """exp((y^T H y / 2 - |x - y|^2 / 2) / eps) is Gaussian in y: precision (I - H) / eps and
    mean (I - H)^-1 x. Its Y-marginal must be N(0, B) and its cross covariance the plan's."""
    plan = plan_at(epsilon)
    inverse = np.linalg.inv(np.eye(DIM) - plan.potential_matrix)
    np.testing.assert_allclose(plan.conditional_covariance, epsilon * inverse, atol=EXACT)
    np.testing.assert_allclose(plan.regression, inverse, atol=EXACT)
    marginal = inverse @ SOURCE @ inverse.T + epsilon * inverse
    np.testing.assert_allclose(marginal, TARGET, atol=EXACT)
    np.testing.assert_allclose(plan.cross, SOURCE @ inverse.T, atol=EXACT)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_potential_minus_cost_is_the_conditional_log_density_up_to_a_constant(
    epsilon: float,
) -> None:
    plan, rng = plan_at(epsilon), make_rng(0)
    x = torch.randn(DIM, generator=rng, dtype=torch.float64)
    y = torch.randn(50, DIM, generator=rng, dtype=torch.float64)
    exponent = (plan.potential(y) - (x - y).square().sum(1) / 2) / epsilon
    conditional = torch.distributions.MultivariateNormal(
        torch.from_numpy(plan.regression) @ x, torch.from_numpy(plan.conditional_covariance)
    )
    difference = exponent - conditional.log_prob(y)
    assert float(difference.std()) < EXACT * 100  # exponents of about 100 at epsilon = 0.1


@pytest.mark.parametrize("epsilon", [0.0, *EPSILONS])
def test_h_and_the_regression_are_symmetric(epsilon: float) -> None:
    plan = plan_at(epsilon)
    np.testing.assert_allclose(plan.potential_matrix, plan.potential_matrix.T, atol=EXACT)
    np.testing.assert_allclose(plan.regression, plan.regression.T, atol=EXACT)


def test_in_one_dimension_the_cross_covariance_is_the_known_root() -> None:
    """c solves c^2 + eps c = a b, the scalar case of Janati et al. (2020)."""
    a, b, epsilon = 0.7, 2.0, 0.3
    plan = GaussianPlan(np.array([[a]]), np.array([[b]]), epsilon)
    c = plan.cross.item()
    assert c > 0
    assert c**2 + epsilon * c == pytest.approx(a * b, abs=EXACT)
    assert plan.conditional_covariance.item() == pytest.approx(b - c**2 / a, abs=EXACT)


def test_the_joint_covariance_has_the_two_marginals_and_the_cross_covariance() -> None:
    plan = plan_at(1.0)
    joint = plan.joint_covariance
    np.testing.assert_array_equal(joint[:DIM, :DIM], SOURCE)
    np.testing.assert_array_equal(joint[DIM:, DIM:], TARGET)
    np.testing.assert_array_equal(joint[:DIM, DIM:], plan.cross)
    np.testing.assert_array_equal(joint[DIM:, :DIM], plan.cross.T)
    assert np.abs(plan.cross - plan.cross.T).max() > 0.01  # or the two blocks could be exchanged


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 10.0])
def test_conditional_samples_have_the_conditional_moments(epsilon: float) -> None:
    plan, n = plan_at(epsilon), 40_000
    x = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    y = plan.sample_conditional(x.expand(n, DIM), rng=make_rng(1)).numpy()
    covariance = plan.conditional_covariance
    # At epsilon = 0 it is zero up to rounding, of either sign, of which samples show the root.
    scale = max(float(covariance.diagonal().max()), 1e-14)
    # Five standard errors: sqrt(v / n) of a mean, at most sqrt(2) v / sqrt(n) of a covariance.
    np.testing.assert_allclose(
        y.mean(0), plan.regression @ x.numpy(), atol=5 * np.sqrt(scale / n) + EXACT
    )
    np.testing.assert_allclose(
        np.cov(y.T), covariance, atol=5 * np.sqrt(2) * scale / np.sqrt(n) + EXACT
    )


def test_moments_of_the_plan_are_its_matrices() -> None:
    plan = plan_at(1.0)
    x = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 3.0]])
    moments = plan.conditional_moments(x)
    np.testing.assert_allclose(moments.mean, x.double().numpy() @ plan.regression.T, atol=EXACT)
    for covariance in moments.covariance:
        np.testing.assert_array_equal(covariance, plan.conditional_covariance)
    np.testing.assert_array_equal(plan.target_moments.covariance, TARGET)
    assert not plan.target_moments.mean.any()


# --- epsilon = 0: plain optimal transport ---------------------------------------------------------


def test_at_epsilon_zero_the_regression_is_the_monge_map() -> None:
    """The one symmetric positive definite T with T A T = B (Brenier's theorem for Gaussians)."""
    plan = plan_at(0.0)
    monge = plan.regression
    np.testing.assert_allclose(monge @ SOURCE @ monge.T, TARGET, atol=EXACT)
    assert np.linalg.eigvalsh(monge).min() > 0
    np.testing.assert_allclose(plan.conditional_covariance, 0, atol=EXACT)
    x = torch.randn(5, DIM, generator=make_rng(0), dtype=torch.float64)
    torch.testing.assert_close(
        x + plan.drift(0.0, x), x @ torch.from_numpy(monge).T, atol=EXACT, rtol=0
    )


def test_at_epsilon_zero_points_move_on_straight_lines_at_constant_speed() -> None:
    plan = plan_at(0.0)
    x0 = torch.randn(5, DIM, generator=make_rng(0), dtype=torch.float64)
    speed = plan.drift(0.0, x0)
    for t in (0.25, 0.5, 1.0):
        torch.testing.assert_close(plan.drift(t, x0 + t * speed), speed, atol=EXACT, rtol=0)


def test_a_small_epsilon_is_near_plain_optimal_transport() -> None:
    small, zero = plan_at(1e-6), plan_at(0.0)
    np.testing.assert_allclose(small.cross, zero.cross, atol=1e-6)  # they differ by O(epsilon)
    # H = I - eps K^-1 divides two numbers of order eps: rounding 1e-15 / 1e-6 remains.
    np.testing.assert_allclose(small.potential_matrix, zero.potential_matrix, atol=1e-5)


# --- the process ----------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.0, *EPSILONS])
def test_the_optimal_drift_carries_the_covariance_of_the_bridge(epsilon: float) -> None:
    """dS/dt = F S + S F^T + eps I from S(0) = A has S(t) = marginal_covariance(t), S(1) = B."""
    plan, steps = plan_at(epsilon), 100
    identity = np.eye(DIM)

    def rate(t: float, s: np.ndarray) -> np.ndarray:
        f = drift_matrix(plan, t)
        return f @ s + s @ f.T + epsilon * identity

    s, h = SOURCE, 1 / steps
    np.testing.assert_allclose(plan.marginal_covariance(0.0), SOURCE, atol=EXACT)
    for k in range(steps):  # Runge-Kutta of order four
        t = k * h
        k1 = rate(t, s)
        k2 = rate(t + h / 2, s + h / 2 * k1)
        k3 = rate(t + h / 2, s + h / 2 * k2)
        k4 = rate(t + h, s + h * k3)
        s = s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        if (k + 1) % 25 == 0:
            # The integrator's error is O(h^4) = 1e-8 times derivatives of up to 30^4 / eps.
            np.testing.assert_allclose(s, plan.marginal_covariance(t + h), atol=1e-4)
    np.testing.assert_allclose(plan.marginal_covariance(1.0), TARGET, atol=EXACT)


def test_the_bridge_variance_in_one_dimension() -> None:
    """(1-t)^2 a + t^2 b + 2 t (1-t) c + eps t (1-t), written out."""
    plan = GaussianPlan(np.array([[1.0]]), np.array([[3.0]]), 0.5)
    expected = 0.7**2 + 0.3**2 * 3 + 2 * 0.21 * plan.cross.item() + 0.5 * 0.21
    assert plan.marginal_covariance(0.3).item() == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_simulated_bridges_between_exact_pairs_have_that_covariance(epsilon: float) -> None:
    plan, n, rng = plan_at(epsilon), 50_000, make_rng(6)
    x = Gaussian(SOURCE).sample(n, rng=rng)
    y = plan.sample_conditional(x, rng=rng)
    moments = PathMoments([0.25, 0.6])
    bridge_moments(x, y, moments, epsilon=epsilon, batch_size=20_000, rng=rng)
    for t, seen in zip(moments.times, moments.moments, strict=True):
        expected = plan.marginal_covariance(t)
        found = seen.covariance.numpy()
        # Five standard errors of a covariance.
        tolerance = 5 * np.sqrt(2 / n) * expected.diagonal().max()
        np.testing.assert_allclose(found, expected, atol=tolerance)
        cross = plan.cross + plan.cross.T
        for wrong in (
            expected - 2 * t * (1 - t) * cross,
            expected - epsilon * t * (1 - t) * np.eye(DIM) / 2,
        )[: 2 if epsilon > 1 else 1]:  # half of a small noise is within the errors
            assert np.abs(wrong - found).max() > 3 * tolerance


def euler_covariance(plan: GaussianPlan, num_steps: int) -> np.ndarray:
    """The exact law of Euler-Maruyama on a linear drift: a recursion of covariances."""
    dt, s = 1 / num_steps, SOURCE
    for k in range(num_steps):
        step = np.eye(DIM) + dt * drift_matrix(plan, k * dt)
        s = step @ s @ step.T + dt * plan.epsilon * np.eye(DIM)
    return s


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 3.0])
def test_euler_maruyama_ends_in_the_target_with_an_error_of_one_over_n(epsilon: float) -> None:
    plan = plan_at(epsilon)
    numbers = (64, 128, 256)
    errors = [np.linalg.norm(euler_covariance(plan, n) - TARGET) for n in numbers]
    # First order: doubling N halves the error, up to terms of relative size 1 / N.
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.05)
    assert errors[2] < 0.02 * np.linalg.norm(TARGET)


@pytest.mark.parametrize("epsilon", [3.0, 10.0])
def test_simulated_paths_have_the_law_of_that_recursion(epsilon: float) -> None:
    plan, n, num_steps = plan_at(epsilon), 100_000, 4
    rng = make_rng(2)
    x0 = Gaussian(SOURCE).sample(n, rng=rng)
    path = euler_maruyama(plan.drift, x0, epsilon=epsilon, num_steps=num_steps, rng=rng)
    expected = euler_covariance(plan, num_steps)
    # Five standard errors of a covariance; the error of so few steps is several times larger.
    tolerance = 5 * np.sqrt(2 / n) * expected.diagonal().max()
    np.testing.assert_allclose(np.cov(path.final.numpy().T), expected, atol=tolerance)
    assert np.abs(expected - TARGET).max() > 2 * tolerance


# --- by Monte Carlo, with signs and halves flipped ------------------------------------------------


@pytest.mark.parametrize("epsilon", [1.0, 10.0])
def test_the_potential_reweights_draws_to_the_conditional_plan(epsilon: float) -> None:
    """Draws of N(0, 2B), weighted by exp((g(y) - |x - y|^2 / 2) / eps) / density, have Y's mean
    and covariance given x. The weights are bounded, since K <= B."""
    plan, n, rng = plan_at(epsilon), 200_000, make_rng(3)
    x = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    wide = torch.distributions.MultivariateNormal(
        torch.zeros(DIM, dtype=torch.float64), 2 * torch.from_numpy(TARGET)
    )
    y = torch.randn(n, DIM, generator=rng, dtype=torch.float64) @ wide.scale_tril.T

    def weights_of(potential: torch.Tensor) -> torch.Tensor:
        exponent = (potential - (x - y).square().sum(1) / 2) / epsilon - wide.log_prob(y)
        return exponent.softmax(0)

    g, exact = plan.potential(y), plan.conditional_moments(x[None])
    worth = 1 / float(weights_of(g).square().sum())  # so many draws of the conditional plan
    size = float(exact.covariance[0].diagonal().max())

    def error(weights: torch.Tensor) -> float:
        """Of mean or covariance, the larger one in its standard errors."""
        mean = weights @ y
        covariance = (weights[:, None] * (y - mean)).T @ (y - mean)
        of_mean = float((mean - exact.mean[0]).abs().max()) * (worth / size) ** 0.5
        off = float((covariance - exact.covariance[0]).abs().max())
        return max(of_mean, off * (worth / 2) ** 0.5 / size)

    assert error(weights_of(g)) < 5
    for wrong in (-g, 2 * g, g / 2):
        assert error(weights_of(wrong)) > 20


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("t", [0.0, 0.4, 0.8])
def test_the_drift_is_the_mean_slope_of_bridges_through_a_point(epsilon: float, t: float) -> None:
    """f(t, x) = E[(Y - X_t) / (1 - t) | X_t = x], linear in x: a least-squares fit over pairs."""
    plan, n, rng = plan_at(epsilon), 200_000, make_rng(4)
    x0 = Gaussian(SOURCE).sample(n, rng=rng).double()
    y = plan.sample_conditional(x0, rng=rng)
    noise = torch.randn(n, DIM, generator=rng, dtype=torch.float64)
    x = (1 - t) * x0 + t * y + (epsilon * t * (1 - t)) ** 0.5 * noise
    slopes = (y - x) / (1 - t)
    fit = torch.linalg.lstsq(x, slopes).solution
    residual = float((slopes - x @ fit).std(0).max())
    smallest = float(torch.linalg.eigvalsh(x.T @ x / n)[0])
    tolerance = 5 * residual / (n * smallest) ** 0.5  # five standard errors of a coefficient
    found = fit.T.numpy()
    np.testing.assert_allclose(found, drift_matrix(plan, t), atol=tolerance)
    other = GaussianPlan(SOURCE, TARGET, 2 * epsilon)  # a cost without its half
    for wrong in (-drift_matrix(plan, t), drift_matrix(other, t)):
        assert np.abs(wrong - found).max() > 2 * tolerance


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_other_signs_and_halves_of_the_conditional_plan_are_noticed(epsilon: float) -> None:
    plan, n, rng = plan_at(epsilon), 100_000, make_rng(5)
    x = Gaussian(SOURCE).sample(n, rng=rng).double()
    y = plan.sample_conditional(x, rng=rng)
    cross, spread = (x.T @ y / n).numpy(), np.cov((y - x @ torch.from_numpy(plan.regression).T).T)
    sizes = [m.diagonal().max() for m in (SOURCE, TARGET)]
    tolerance = 5 * np.sqrt(2 * sizes[0] * sizes[1] / n)
    np.testing.assert_allclose(cross, plan.cross, atol=tolerance)
    narrow = 5 * np.sqrt(2 / n) * plan.conditional_covariance.diagonal().max()
    np.testing.assert_allclose(spread, plan.conditional_covariance, atol=narrow)
    for factor in (0.5, 2.0):  # the same epsilon with another convention of the cost or the noise
        other = GaussianPlan(SOURCE, TARGET, factor * epsilon)
        assert np.abs(other.conditional_covariance - spread).max() > 2 * narrow
    assert np.abs(-plan.cross - cross).max() > 2 * tolerance


# --- the Gaussians themselves ---------------------------------------------------------------------


def test_the_covariances_have_the_protocols_spectrum() -> None:
    values = np.linalg.eigvalsh(haar_covariance(16, seed=42))
    np.testing.assert_allclose(values, np.exp(np.linspace(np.log(0.5), np.log(2), 16)) ** 2)
    assert np.abs(SOURCE - TARGET).max() > 0.1
    np.testing.assert_allclose(SOURCE, SOURCE.T, atol=EXACT)


def legacy_rotation(dim: int, seed: int) -> np.ndarray:
    """The draw of scipy 1.7's special_ortho_group.rvs, by full matrices: D R_1 R_2 ... R_{dim-1}.

    R_n = I - 2 u_n u_n^T / |u_n|^2 acts on the last dim - n + 1 coordinates; u_n is a normal draw
    whose norm is added to its first entry, away from zero. D has the signs of those entries and a
    last one that makes the determinant 1. scipy 1.7.3's own function gave haar_covariance's
    matrices exactly, D = 2, 16, 64, 128, when it was compared with it by hand.
    """
    random = np.random.RandomState(seed)
    product, signs = np.eye(dim), []
    for n in range(1, dim):
        draw = random.normal(size=(dim - n + 1,))
        signs.append(1.0 if draw[0] >= 0 else -1.0)
        u = np.concatenate([np.zeros(n - 1), draw])
        u[n - 1] += signs[-1] * np.linalg.norm(draw)
        product = product @ (np.eye(dim) - 2 * np.outer(u, u) / u.dot(u))
    signs.append((-1) ** (dim - 1) * float(np.prod(signs)))
    return np.diag(signs) @ product


@pytest.mark.parametrize("dim", [2, 16])
@pytest.mark.parametrize("seed", [42, 43])
def test_the_covariances_are_those_of_the_legacy_householder_draw(dim: int, seed: int) -> None:
    rotation = legacy_rotation(dim, seed)
    assert np.linalg.det(rotation) == pytest.approx(1)
    scales = np.exp(np.linspace(np.log(0.5), np.log(2.0), dim)) ** 2
    expected = rotation @ np.diag(scales) @ rotation.T
    np.testing.assert_allclose(haar_covariance(dim, seed=seed), expected, atol=EXACT)
    # Reflections taken in the other order are another draw, and so is scipy's present method (QR).
    assert np.abs(rotation.T @ np.diag(scales) @ rotation - expected).max() > 0.1
    present = special_ortho_group.rvs(dim, random_state=np.random.RandomState(seed))
    assert np.abs((present * scales) @ present.T - expected).max() > 0.1


def test_samples_of_a_gaussian_have_its_covariance() -> None:
    n = 50_000
    x = Gaussian(SOURCE).sample(n, rng=make_rng(3))
    assert x.dtype == torch.float32
    tolerance = 5 * np.sqrt(2 / n) * SOURCE.diagonal().max()  # five standard errors
    np.testing.assert_allclose(np.cov(x.numpy().T), SOURCE, atol=tolerance)


def test_a_matrix_that_is_no_covariance_is_refused() -> None:
    with pytest.raises(DataError, match="positive definite"):
        Gaussian(np.diag([1.0, -1.0]))
