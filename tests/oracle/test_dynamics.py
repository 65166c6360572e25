"""Euler-Maruyama, Langevin and the Brownian bridge against what is known about them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from entropic_ot.device import make_rng
from entropic_ot.dynamics.euler_maruyama import euler_maruyama
from entropic_ot.dynamics.langevin import unadjusted_langevin
from entropic_ot.dynamics.replay_buffer import PersistentStates, ReplayBuffer
from entropic_ot.experiments.sample import brownian_bridge
from entropic_ot.problems.gaussian import Gaussian, GaussianPlan, haar_covariance

SIGMAS = 5  # standard errors: 1 in 10^6 at random, and the seeds are fixed


# --- Langevin -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variance", "step_size"), [(1.0, 0.8), (0.5, 0.8), (2.0, 1.0)])
def test_langevins_stationary_variance(variance: float, step_size: float) -> None:
    n = 40_000
    y = unadjusted_langevin(
        lambda y: -y / variance,
        torch.zeros(n, 1),
        step_size=step_size,
        num_steps=60,  # contraction (1 - eta / 2v)^2 <= 0.56 a step: stationary to 1e-14
        rng=make_rng(0),
    )
    expected = variance / (1 - step_size / (4 * variance))
    tolerance = SIGMAS * np.sqrt(2 / n)  # 3.5 %; without the bias it would be off by over 14 %
    assert float(y.var()) == pytest.approx(expected, rel=tolerance)
    assert float(y.mean()) == pytest.approx(0, abs=SIGMAS * np.sqrt(expected / n))


def test_one_langevin_step_moves_by_half_the_step_size_along_the_score() -> None:
    n, step_size = 40_000, 0.3
    y0 = torch.full((n, 1), 2.0)
    y = unadjusted_langevin(
        lambda y: torch.full_like(y, 4.0), y0, step_size=step_size, num_steps=1, rng=make_rng(0)
    )
    assert float(y.mean()) == pytest.approx(
        2 + step_size / 2 * 4, abs=SIGMAS * np.sqrt(step_size / n)
    )
    assert float(y.var()) == pytest.approx(step_size, rel=SIGMAS * np.sqrt(2 / n))


def test_langevin_leaves_its_start_alone_and_repeats_with_its_generator() -> None:
    y0 = torch.ones(4, 2)

    def run(seed: int) -> torch.Tensor:
        return unadjusted_langevin(lambda y: -y, y0, step_size=0.1, num_steps=3, rng=make_rng(seed))

    first = run(0)
    assert torch.equal(y0, torch.ones(4, 2))
    assert torch.equal(first, run(0))
    assert not torch.equal(first, run(1))


# --- Euler-Maruyama -------------------------------------------------------------------------------


@pytest.mark.parametrize("num_steps", [1, 7])
def test_the_energy_of_a_constant_drift_is_half_its_square(num_steps: int) -> None:
    speed = torch.tensor([3.0, 4.0])
    path = euler_maruyama(
        lambda t, x: speed.expand_as(x),
        torch.zeros(20_000, 2),
        epsilon=0.5,
        num_steps=num_steps,
        rng=make_rng(0),
    )
    torch.testing.assert_close(path.energy, torch.full((20_000,), 12.5))
    error = SIGMAS * np.sqrt(0.5 / 20_000)
    np.testing.assert_allclose(path.final.mean(0), speed, atol=error)
    np.testing.assert_allclose(
        np.cov(path.final.numpy().T), 0.5 * np.eye(2), atol=SIGMAS * 0.5 * np.sqrt(2 / 20_000)
    )


def test_the_energy_sums_over_all_coordinates_of_an_image() -> None:
    path = euler_maruyama(
        lambda t, x: torch.ones_like(x),
        torch.zeros(2, 3, 4, 4),
        epsilon=0,
        num_steps=2,
        rng=make_rng(0),
    )
    torch.testing.assert_close(path.energy, torch.full((2,), 3 * 4 * 4 / 2))


def test_the_drift_is_asked_at_the_left_ends_of_the_steps() -> None:
    times: list[float] = []

    def drift(t: float, x: torch.Tensor) -> torch.Tensor:
        times.append(t)
        return torch.full_like(x, t)

    path = euler_maruyama(drift, torch.zeros(1, 1), epsilon=0, num_steps=4, rng=make_rng(0))
    assert times == [0.0, 0.25, 0.5, 0.75]
    assert path.final.item() == pytest.approx(1.5 / 4)  # the left Riemann sum of t


def test_without_noise_in_the_last_step_the_variance_is_short_of_one_step() -> None:
    n, num_steps = 40_000, 4

    def final_variance(noise_last_step: bool) -> float:
        path = euler_maruyama(
            lambda t, x: torch.zeros_like(x),
            torch.zeros(n, 1),
            epsilon=2.0,
            num_steps=num_steps,
            rng=make_rng(0),
            noise_last_step=noise_last_step,
        )
        return float(path.final.var())

    tolerance = SIGMAS * np.sqrt(2 / n)
    assert final_variance(True) == pytest.approx(2.0, rel=tolerance)
    assert final_variance(False) == pytest.approx(2.0 * (num_steps - 1) / num_steps, rel=tolerance)


def test_keeping_the_states_changes_nothing_else() -> None:
    x0 = torch.ones(3, 2)

    def run(keep_states: bool) -> list[torch.Tensor]:
        return euler_maruyama(
            lambda t, x: -x,
            x0,
            epsilon=1,
            num_steps=5,
            rng=make_rng(0),
            keep_states=keep_states,
        ).states

    few, many = run(False), run(True)
    assert (len(few), len(many)) == (2, 6)
    assert torch.equal(few[0], x0) and torch.equal(many[0], x0)
    assert torch.equal(few[-1], many[-1])


def test_the_energy_of_the_optimal_drift_is_epsilon_times_the_divergence_to_the_prior() -> None:
    """Girsanov: E 1/2 int |f|^2 dt = eps E KL(pi(. | x) || N(x, eps I)), in closed form."""
    dim, epsilon, n, num_steps = 2, 1.0, 40_000, 100
    a, b = haar_covariance(dim, seed=42), haar_covariance(dim, seed=43)
    plan, identity, rng = GaussianPlan(a, b, epsilon), np.eye(dim), make_rng(0)
    shift, k = plan.regression - identity, plan.conditional_covariance
    divergence = (
        np.trace(k) / epsilon
        + np.trace(shift @ a @ shift.T) / epsilon
        - dim
        - np.linalg.slogdet(k / epsilon)[1]
    ) / 2
    path = euler_maruyama(
        plan.drift, Gaussian(a).sample(n, rng=rng), epsilon=epsilon, num_steps=num_steps, rng=rng
    )
    noise = SIGMAS * float(path.energy.std()) / np.sqrt(n)
    bias = 2 / num_steps  # first order in the step
    assert float(path.energy.mean()) == pytest.approx(
        epsilon * divergence, abs=noise + bias * epsilon * divergence
    )


# --- the Brownian bridge --------------------------------------------------------------------------


def test_the_brownian_bridge_has_its_moments_at_all_times() -> None:
    n, num_steps, epsilon = 40_000, 4, 0.8
    x, y = torch.full((n, 1), -1.0), torch.full((n, 1), 3.0)
    states = brownian_bridge(x, y, num_steps=num_steps, epsilon=epsilon, rng=make_rng(0))
    assert states.shape == (num_steps + 1, n, 1)
    assert torch.equal(states[0], x) and torch.equal(states[-1], y)
    t = np.linspace(0, 1, num_steps + 1)
    np.testing.assert_allclose(
        states.mean((1, 2)), -(1 - t) + 3 * t, atol=SIGMAS * np.sqrt(epsilon / 4 / n)
    )
    early, late = np.minimum.outer(t, t), np.maximum.outer(t, t)
    np.testing.assert_allclose(
        np.cov(states[:, :, 0].numpy()),
        epsilon * early * (1 - late),  # Cov(X_s, X_t) = eps s (1 - t) for s <= t
        atol=SIGMAS * np.sqrt(2 / n) * epsilon / 4,
    )


# --- where chains start ---------------------------------------------------------------------------


def numbered(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs that know that they belong together: y = 100 + x."""
    x = torch.arange(first, first + count, dtype=torch.float32)[:, None]
    return x, 100 + x


def test_the_replay_buffer_fills_its_empty_rows_first() -> None:
    buffer = ReplayBuffer(5, (1,), device=torch.device("cpu"))
    for first in (0, 3):
        buffer.write(buffer.rows(3, rng=make_rng(0)), *numbered(first, 3))
    assert buffer.filled == 5
    assert sorted(buffer.x[:, 0].tolist()) == [1, 2, 3, 4, 5]  # the sixth is written over 0
    assert torch.equal(buffer.y, 100 + buffer.x)


def test_chains_go_back_to_where_they_were_so_none_is_there_twice() -> None:
    buffer, rng = ReplayBuffer(50, (1,), device=torch.device("cpu")), make_rng(0)
    buffer.write(torch.arange(50), *numbered(0, 50))
    for _ in range(20):
        rows = buffer.rows(30, rng=rng)
        assert len(rows.unique()) == 30
        buffer.write(rows, buffer.x[rows], buffer.y[rows] + 1)
    assert sorted(buffer.x[:, 0].tolist()) == list(range(50))
    visits = buffer.y - 100 - buffer.x
    assert int(visits.sum()) == 20 * 30 and int(visits.min()) >= 3  # 12 ± 2.2 each


def test_the_replay_buffer_goes_on_after_a_round_trip() -> None:
    device = torch.device("cpu")
    buffer, copy = ReplayBuffer(5, (1,), device=device), ReplayBuffer(5, (1,), device=device)
    buffer.write(torch.arange(4), *numbered(0, 4))
    copy.load_state_dict(buffer.state_dict())
    for b in (buffer, copy):
        b.write(b.rows(3, rng=make_rng(0)), *numbered(4, 3))
    assert torch.equal(buffer.x, copy.x) and torch.equal(buffer.y, copy.y)
    assert buffer.filled == copy.filled == 5


def test_persistent_states_do_not_share_memory_with_their_start() -> None:
    start = torch.zeros(3, 1)
    states = PersistentStates(start)
    states.y += 1
    assert torch.equal(start, torch.zeros(3, 1))
