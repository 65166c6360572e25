"""The mixture plan against quadrature, finite differences and simulation."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from entropic_ot.device import make_rng
from entropic_ot.dynamics.euler_maruyama import euler_maruyama
from entropic_ot.errors import DataError
from entropic_ot.problems.mixture import (
    GaussianMixture,
    MixturePlan,
    MixtureTarget,
    load_archive,
    random_mixture,
    round_gaussian,
)

Drift = Callable[[float, torch.Tensor], torch.Tensor]
EPSILONS = (0.1, 1.0, 10.0)
QUADRATURE = 1e-7  # the trapezoidal rule on smooth, decaying functions: far better than this


def line(epsilon: float) -> MixturePlan:
    """In one dimension: weights, means and variances all differ."""
    potential = GaussianMixture(
        torch.tensor([0.2, 0.5, 0.3]),
        torch.tensor([[-2.0], [0.5], [1.5]]),
        torch.tensor([[0.3], [0.1], [0.6]]),
    )
    return MixturePlan(round_gaussian(1, std=0.8), potential, epsilon)


def plane(epsilon: float) -> MixturePlan:
    """In two dimensions: covariances that are not round."""
    potential = GaussianMixture(
        torch.tensor([0.6, 0.4]),
        torch.tensor([[1.0, -0.5], [-1.5, 1.0]]),
        torch.tensor([[0.2, 0.9], [0.5, 0.1]]),
    )
    return MixturePlan(round_gaussian(2, std=0.5), potential, epsilon)


def grid(dim: int) -> tuple[torch.Tensor, float]:
    """Nodes [n, dim] of the trapezoidal rule on [-8, 8]^dim and the volume of a cell."""
    axis = torch.linspace(-8, 8, 6401 if dim == 1 else 501, dtype=torch.float64)
    nodes = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    return nodes, float(axis[1] - axis[0]) ** dim


def gibbs(plan: MixturePlan, x: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
    """exp((g(y) - |x - y|^2 / 2) / eps) at the nodes: the plan by its definition, unnormalised."""
    cost = (nodes - x).square().sum(1) / 2
    return ((plan.potential(nodes) - cost) / plan.epsilon).exp()


# --- the conditional plan -------------------------------------------------------------------------


def test_the_potential_is_epsilon_times_the_log_of_a_normalised_mixture() -> None:
    plan = plane(0.7)
    nodes, cell = grid(2)
    density = (plan.potential(nodes) / 0.7).exp()
    assert float(density.sum() * cell) == pytest.approx(1, abs=QUADRATURE)
    by_hand = 0.0
    for weight, mean, variance in (
        (0.6, (1.0, -0.5), (0.2, 0.9)),
        (0.4, (-1.5, 1.0), (0.5, 0.1)),
    ):
        squares = (0.3 - mean[0]) ** 2 / variance[0] + (0.2 - mean[1]) ** 2 / variance[1]
        by_hand += (
            weight * math.exp(-squares / 2) / (2 * math.pi * math.sqrt(variance[0] * variance[1]))
        )
    y = torch.tensor([[0.3, 0.2]], dtype=torch.float64)
    assert float(plan.potential(y)) == pytest.approx(0.7 * math.log(by_hand), rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.3, 1.0])
@pytest.mark.parametrize("make", [line, plane])
def test_conditional_moments_are_those_of_the_gibbs_density(
    make: Callable[[float], MixturePlan], epsilon: float
) -> None:
    plan = make(epsilon)
    (dim,) = plan.mixture.shape
    nodes, cell = grid(dim)
    for x in torch.tensor([[-1.0, 0.5], [0.3, -0.7]], dtype=torch.float64)[:, :dim]:
        density = gibbs(plan, x, nodes)
        mass = density.sum()
        mean = density @ nodes / mass
        centred = nodes - mean
        covariance = (density[:, None] * centred).T @ centred / mass
        moments = plan.conditional_moments(x[None])
        torch.testing.assert_close(moments.mean[0], mean, atol=QUADRATURE, rtol=0)
        torch.testing.assert_close(moments.covariance[0], covariance, atol=QUADRATURE, rtol=0)
        # The normaliser: (2 pi eps)^(D/2) sum_k alpha_k N(x; mu_k, Sigma_k + eps I).
        log_mass = float(plan.mixture.log_density(x[None], smoothing=epsilon).logsumexp(1))
        expected = log_mass + dim / 2 * math.log(2 * math.pi * epsilon)
        assert math.log(float(mass * cell)) == pytest.approx(expected, abs=QUADRATURE)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_mixture_of_conditionals_is_the_gibbs_density_point_by_point(epsilon: float) -> None:
    """Weights, means and covariances together: more than two moments."""
    plan, (nodes, cell) = line(epsilon), grid(1)
    x = torch.tensor([[0.9]], dtype=torch.float64)
    density = gibbs(plan, x[0], nodes)
    density = density / (density.sum() * cell)
    weights, means = plan.conditional_weights(x)[0], plan.conditional_means(x)[0]
    variances = 1 / (1 / epsilon + 1 / plan.mixture.variances[:, 0])
    components = torch.distributions.Normal(means[:, 0], variances.sqrt())
    mixture = (weights * components.log_prob(nodes).exp()).sum(1)
    torch.testing.assert_close(mixture, density, atol=QUADRATURE, rtol=0)


def test_the_check_by_quadrature_notices_a_dropped_half_and_a_missing_epsilon() -> None:
    """What the two tests above would compare with, were the cost |x - y|^2 or eps not added."""
    plan, (nodes, _) = line(1.0), grid(1)
    x = torch.tensor([[0.9]], dtype=torch.float64)
    mean = float(plan.conditional_moments(x).mean)
    dropped_half = gibbs(plan, x[0], nodes) * (-(nodes - x).square().sum(1) / 2).exp()
    assert abs(float(dropped_half @ nodes[:, 0] / dropped_half.sum()) - mean) > 1e4 * QUADRATURE
    without_epsilon = plan.mixture.log_density(x).softmax(1)
    assert float((without_epsilon - plan.conditional_weights(x)).abs().max()) > 1e4 * QUADRATURE


def test_the_normaliser_by_importance_sampling() -> None:
    """E phi(x + sqrt(eps) xi) = sum_k alpha_k N(x; mu_k, Sigma_k + eps I), within five errors."""
    plan, n = plane(1.0), 200_000
    x = torch.tensor([[0.2, 0.4]], dtype=torch.float64)
    noise = torch.randn(n, 2, generator=make_rng(0), dtype=torch.float64)
    phi = plan.potential(x + noise).exp()
    expected = float(plan.mixture.log_density(x, smoothing=1.0).logsumexp(1).exp())
    error = float(phi.std()) / math.sqrt(n)
    assert float(phi.mean()) == pytest.approx(expected, abs=5 * error)
    without_smoothing = float(plan.mixture.log_density(x).logsumexp(1).exp())
    assert abs(without_smoothing - expected) > 20 * error


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_conditional_samples_have_the_conditional_moments(epsilon: float) -> None:
    plan, n = plane(epsilon), 40_000
    x = torch.tensor([[0.4, -0.6]])
    y = plan.sample_conditional(x.expand(n, 2), rng=make_rng(1))
    assert y.dtype == torch.float32
    truth = plan.conditional_moments(x)
    variance = float(truth.covariance[0].diagonal().max())
    # Five standard errors; the kurtosis of a mixture is at most a few times a Gaussian's.
    torch.testing.assert_close(
        y.double().mean(0), truth.mean[0], atol=5 * math.sqrt(variance / n), rtol=0
    )
    torch.testing.assert_close(
        y.double().T.cov(), truth.covariance[0], atol=10 * variance / math.sqrt(n), rtol=0
    )


# --- the drift ------------------------------------------------------------------------------------


def log_heat(plan: MixturePlan, t: float, x: float) -> float:
    """log E exp(g(x + sqrt(eps (1 - t)) xi) / eps) by quadrature."""
    nodes, cell = grid(1)
    variance = plan.epsilon * (1 - t)
    kernel = (-((nodes[:, 0] - x) ** 2) / (2 * variance)).exp() / math.sqrt(2 * math.pi * variance)
    return math.log(float((kernel * (plan.potential(nodes) / plan.epsilon).exp()).sum() * cell))


def drift_error(plan: MixturePlan, drift: Drift) -> float:
    """Largest difference to the central finite difference of eps log E exp(g / eps)."""
    h, errors = 1e-4, []
    for t in (0.0, 0.5, 0.8):
        for x in (-1.2, 0.1, 1.7):
            slope = (log_heat(plan, t, x + h) - log_heat(plan, t, x - h)) / (2 * h)
            found = float(drift(t, torch.tensor([[x]], dtype=torch.float64)))
            errors.append(abs(found - plan.epsilon * slope))
    return max(errors)


def wrong_drifts(plan: MixturePlan) -> dict[str, Drift]:
    return {
        "sign": lambda t, x: -plan.drift(t, x),
        "no epsilon": lambda t, x: plan.drift(t, x) / plan.epsilon,
        "time backwards": lambda t, x: plan.drift(1 - t, x),
    }


FINITE_DIFFERENCE = 1e-5  # h^2 = 1e-8 times third derivatives of up to 1e2, and rounding 1e-15 / h


@pytest.mark.parametrize("epsilon", [0.3, 2.0])
def test_the_drift_is_the_gradient_of_the_log_heat_flow(epsilon: float) -> None:
    plan = line(epsilon)
    assert drift_error(plan, plan.drift) < FINITE_DIFFERENCE


@pytest.mark.parametrize("mistake", ["sign", "no epsilon", "time backwards"])
def test_a_wrong_drift_is_not_that_gradient(mistake: str) -> None:
    plan = line(0.3)
    assert drift_error(plan, wrong_drifts(plan)[mistake]) > 100 * FINITE_DIFFERENCE


def simulated_mean_and_covariance(plan: MixturePlan, drift: Drift) -> tuple[torch.Tensor, ...]:
    x0 = torch.tensor([[0.2, -0.3]]).expand(20_000, 2)
    path = euler_maruyama(drift, x0, epsilon=plan.epsilon, num_steps=200, rng=make_rng(2))
    final = path.final.double()
    return final.mean(0), final.T.cov()


SIMULATION = 0.05
"""Five standard errors of 20 000 paths (0.03 for moments of size 1) and the bias of dt = 1/200."""


def test_simulated_paths_end_in_the_conditional_plan() -> None:
    plan = plane(1.0)
    truth = plan.conditional_moments(torch.tensor([[0.2, -0.3]]))
    mean, covariance = simulated_mean_and_covariance(plan, plan.drift)
    torch.testing.assert_close(mean, truth.mean[0], atol=SIMULATION, rtol=0)
    torch.testing.assert_close(covariance, truth.covariance[0], atol=SIMULATION, rtol=0)


@pytest.mark.parametrize("mistake", ["sign", "time backwards"])
def test_paths_of_a_wrong_drift_do_not(mistake: str) -> None:
    plan = plane(1.0)
    truth = plan.conditional_moments(torch.tensor([[0.2, -0.3]]))
    mean, covariance = simulated_mean_and_covariance(plan, wrong_drifts(plan)[mistake])
    error = max(
        float((mean - truth.mean[0]).abs().max()),
        float((covariance - truth.covariance[0]).abs().max()),
    )
    assert error > 3 * SIMULATION


# --- the target -----------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_target_moments_are_those_of_the_target(epsilon: float) -> None:
    plan, n = plane(epsilon), 200_000
    y = MixtureTarget(plan).sample(n, rng=make_rng(3)).double()
    truth = plan.target_moments
    scale = float(truth.covariance.diagonal().max())
    tolerance = 5 * math.sqrt(scale / n) + 5 * math.sqrt(scale / 131_072)  # either side's noise
    torch.testing.assert_close(y.mean(0), truth.mean, atol=tolerance, rtol=0)
    tolerance = 8 * scale * (1 / math.sqrt(n) + 1 / math.sqrt(131_072))
    torch.testing.assert_close(y.T.cov(), truth.covariance, atol=tolerance, rtol=0)
    if epsilon < 1:  # E Cov(Y | X) alone would not do (for a large epsilon Y hardly depends on X)
        x = plan.source.sample(500, rng=make_rng(4))
        within = plan.conditional_moments(x).covariance.mean(0)
        assert float((truth.covariance - within).abs().max()) > 3 * tolerance


def test_the_target_of_one_component_is_known_exactly() -> None:
    """K = 1: Y = shift + slope X + noise, so Cov Y = slope^2 s^2 + C, mean = shift."""
    variance, epsilon, std = 0.5, 2.0, 0.7
    potential = GaussianMixture(torch.ones(1), torch.tensor([[3.0]]), torch.tensor([[variance]]))
    moments = MixturePlan(round_gaussian(1, std=std), potential, epsilon).target_moments
    slope = variance / (variance + epsilon)
    # The source's 131 072 points have moments of their own: within five standard errors.
    assert float(moments.mean) == pytest.approx(
        3 * epsilon / (variance + epsilon), abs=5 * slope * std / 362
    )
    expected = (slope * std) ** 2 + epsilon * slope
    assert float(moments.covariance) == pytest.approx(expected, abs=7 * (slope * std) ** 2 / 362)


def test_our_parameters_are_those_of_the_protocol() -> None:
    mixture = random_mixture(16, num_components=5, mean_norm=5, component_std=0.25, rng=make_rng(0))
    torch.testing.assert_close(mixture.means.norm(dim=1), torch.full((5,), 5.0).double())
    assert torch.equal(mixture.variances, torch.full((5, 16), 1 / 16).double())
    assert torch.allclose(mixture.weights, torch.full((5,), 0.2).double())
    assert len(torch.unique(mixture.means[:, 0])) == 5


def test_a_mixture_samples_its_components() -> None:
    plan, n = plane(1.0), 100_000
    y = plan.mixture.sample(n, rng=make_rng(5)).double()
    mean = (plan.mixture.weights[:, None] * plan.mixture.means).sum(0)
    assert y.dtype == torch.float64 and plan.mixture.sample(1, rng=make_rng(0)).dtype is (
        torch.float32
    )
    torch.testing.assert_close(y.mean(0), mean, atol=5 * 1.5 / math.sqrt(n), rtol=0)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan])
def test_an_epsilon_that_is_not_positive_is_refused(epsilon: float) -> None:
    with pytest.raises(DataError, match="expected a number > 0"):
        line(epsilon)


@pytest.mark.parametrize(
    ("weights", "means", "variances"),
    [
        ([1.0], [[0.0]], [[0.0]]),
        ([-1.0], [[0.0]], [[1.0]]),
        ([1.0], [[math.nan]], [[1.0]]),
        ([1.0, 1.0], [[0.0]], [[1.0]]),
        ([1.0], [[0.0]], [[1.0, 1.0]]),
    ],
)
def test_parameters_that_are_no_mixture_are_refused(
    weights: list[float], means: list[list[float]], variances: list[list[float]]
) -> None:
    with pytest.raises(DataError, match="mixture: found"):
        GaussianMixture(torch.tensor(weights), torch.tensor(means), torch.tensor(variances))


def test_source_and_potential_must_have_one_dimension() -> None:
    with pytest.raises(DataError, match="expected the same"):
        MixturePlan(round_gaussian(2, std=1.0), line(1.0).mixture, 1.0)


# --- the paper's archive --------------------------------------------------------------------------


def archive_members() -> dict[str, Any]:
    """Files as the paper's code reads them: two components in the plane, epsilon 0.1."""
    members: dict[str, Any] = {
        "input_probs_dim_2.torch": torch.ones(1),
        "input_mus_dim_2.torch": torch.zeros(1, 2),
        "input_sigmas_dim_2.torch": torch.eye(2)[None] / 4,
        "potential_probs_dim_2_eps_0.1.torch": torch.tensor([0.25, 0.75]),
        "potential_mus_dim_2_eps_0.1.torch": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        "potential_sigmas_dim_2_eps_0.1.torch": torch.diag_embed(
            torch.tensor([[0.1, 0.2], [0.3, 0.4]])
        ),
    }
    return members | {
        name.replace("eps_0.1", "eps_10"): tensor
        for name, tensor in members.items()
        if "eps" in name
    }


def write_archive(path: Path, members: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            buffer = io.BytesIO()
            torch.save(content, buffer)
            file.writestr(name, buffer.getvalue())
    return path


@pytest.mark.parametrize("epsilon", [0.1, 10.0])
def test_the_archive_is_read(tmp_path: Path, epsilon: float) -> None:
    source, potential = load_archive(
        write_archive(tmp_path / "a.zip", archive_members()), 2, epsilon
    )
    torch.testing.assert_close(source.variances, torch.full((1, 2), 0.25).double())
    torch.testing.assert_close(potential.weights, torch.tensor([0.25, 0.75]).double())
    assert potential.means.tolist() == [[1, 2], [3, 4]]
    expected = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).double()
    torch.testing.assert_close(potential.variances, expected)


class NotATensor:
    pass


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("potential_sigmas_dim_2_eps_0.1.torch", torch.full((2, 2, 2), 0.5), "off-diagonal"),
        ("potential_mus_dim_2_eps_0.1.torch", torch.zeros(2, 3), "found shapes"),
        ("input_probs_dim_2.torch", torch.ones(1, 1), "found shapes"),
        ("input_mus_dim_2.torch", [0.0, 0.0], "found list, expected a tensor"),
        ("input_mus_dim_2.torch", NotATensor(), "cannot be read"),
    ],
)
def test_a_wrong_file_in_the_archive_is_refused(
    tmp_path: Path, name: str, content: Any, words: str
) -> None:
    path = write_archive(tmp_path / "a.zip", archive_members() | {name: content})
    with pytest.raises(DataError, match=words) as raised:
        load_archive(path, 2, 0.1)
    assert str(path) in str(raised.value)


def test_an_archive_without_this_epsilon_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", archive_members())
    with pytest.raises(DataError, match="no member potential_probs_dim_2_eps_1"):
        load_archive(path, 2, 1.0)


def test_a_missing_or_damaged_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not found, expected the benchmark"):
        load_archive(tmp_path / "none.zip", 2, 1.0)
    (tmp_path / "text.zip").write_text("no zip file")
    with pytest.raises(DataError, match="cannot be read"):
        load_archive(tmp_path / "text.zip", 2, 1.0)
