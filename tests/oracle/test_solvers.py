"""The two solvers against their objectives, written here a second time, and against closed forms.

The objectives are evaluated in float64 by code of this file (its own network, its own Euler steps,
its own integrals) and differentiated by central differences. The solvers' gradients are what is
left in the parameters' .grad after one step with a learning rate that changes no weight.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from entropic_ot.device import make_rng
from entropic_ot.dynamics.replay_buffer import PersistentStates, ReplayBuffer
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.fit import fit
from entropic_ot.metrics.bures import bw_uvp_of_samples
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.problems.base import EOTProblem
from entropic_ot.problems.gaussian import Gaussian, GaussianPlan, haar_covariance
from entropic_ot.problems.toy import StandardNormal
from entropic_ot.solvers.config import EgNOTConfig, ENOTConfig
from entropic_ot.solvers.egnot import EgNOT
from entropic_ot.solvers.enot import ENOT

FROZEN = 1e-30  # a learning rate that is lost in rounding, so that gradients can be looked at
SMALL = NetworkConfig(kind="mlp", width=8, depth=2)
ENOT_TINY = ENOTConfig(
    drift=SMALL,
    potential=SMALL,
    num_euler_steps=3,
    time_grid_power=1.0,
    noise_last_step=True,
    num_drift_steps=1,
    batch_size=16,
    drift_learning_rate=FROZEN,
    potential_learning_rate=FROZEN,
    learning_rate_schedule="constant",
)
EGNOT_TINY = EgNOTConfig(
    potential=SMALL,
    num_langevin_steps=3,
    num_warm_up_steps=0,
    batch_size=16,
    buffer_size=64,
    learning_rate=FROZEN,
    learning_rate_schedule="constant",
)


class Rows:
    """The same points in every batch; also a finite distribution for persistent chains."""

    def __init__(self, points: torch.Tensor) -> None:
        self.points, self.shape = points, tuple(points.shape[1:])

    def __len__(self) -> int:
        return len(self.points)

    def at(self, indices: torch.Tensor) -> torch.Tensor:
        return self.points[indices]

    def sample(self, n: int, *, rng: torch.Generator) -> torch.Tensor:
        assert n <= len(self.points)
        return self.points[:n].clone()


def tiny_problem(epsilon: float, *, n: int = 16) -> EOTProblem:
    source = torch.randn(n, 2, generator=make_rng(1))
    target = 1.5 + 0.5 * torch.randn(n, 2, generator=make_rng(2))
    return EOTProblem(Rows(source), Rows(target), epsilon)


# --- a second implementation, in float64 ----------------------------------------------------------

Weights = dict[str, torch.Tensor]


def weights_of(module: nn.Module) -> Weights:
    return {name: p.detach().double() for name, p in module.named_parameters()}


def mlp(w: Weights, x: torch.Tensor) -> torch.Tensor:
    h = F.silu(x @ w["net.first.weight"].T + w["net.first.bias"])
    h = F.silu(h @ w["net.hidden.0.weight"].T + w["net.hidden.0.bias"])
    return h @ w["net.last.weight"].T + w["net.last.bias"]


def final_and_energy(
    w: Weights, x: torch.Tensor, noises: list[torch.Tensor], *, epsilon: float, config: ENOTConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """X_1 and 1/2 int |f|^2 dt of Euler-Maruyama, [n, D] and [n]."""
    steps, energy = config.num_euler_steps, torch.zeros(len(x), dtype=torch.float64)
    for k in range(steps):
        t = k / steps
        f = mlp(w, torch.cat([x, torch.full((len(x), 1), t, dtype=torch.float64)], dim=1))
        if config.drift_form == "endpoint":
            f = f / (1 - t)
        if config.drift_form == "softened_endpoint":
            f = (f - x) / (1 - t + config.endpoint_softening)
        energy = energy + 0.5 * (f * f).sum(1) / steps
        x = x + f / steps
        if config.noise_last_step or k < steps - 1:
            x = x + (epsilon / steps) ** 0.5 * noises[k]
    return x, energy


def draw_noises(rng: torch.Generator, shape: torch.Size, config: ENOTConfig) -> list[torch.Tensor]:
    count = config.num_euler_steps - (not config.noise_last_step)
    return [torch.randn(shape, generator=rng).double() for _ in range(count)]


def directional_derivative(
    objective: Callable[[Weights], torch.Tensor], at: Weights, direction: Weights
) -> float:
    """Central difference; its error is h^2 = 1e-8 in float64, its rounding 1e-16 / h."""
    h = 1e-4

    def value(sign: float) -> float:
        return float(objective({k: v + sign * h * direction[k] for k, v in at.items()}))

    return (value(1) - value(-1)) / (2 * h)


def check_gradient(
    module: nn.Module, objective: Callable[[Weights], torch.Tensor], *, tolerance: float
) -> None:
    """.grad against central differences, along the gradient itself and at random."""
    at = weights_of(module)
    gradient = {}
    for name, p in module.named_parameters():
        assert p.grad is not None, name
        gradient[name] = p.grad.double()
    norm = float(torch.stack([g.square().sum() for g in gradient.values()]).sum()) ** 0.5
    assert norm > 1e-2  # or the comparison would say nothing
    rng = make_rng(9)
    directions = [{k: g / norm for k, g in gradient.items()}]
    for _ in range(3):
        v = {k: torch.randn(g.shape, generator=rng).double() for k, g in gradient.items()}
        directions.append(v)
    for v in directions:
        length = float(torch.stack([d.square().sum() for d in v.values()]).sum()) ** 0.5
        expected = directional_derivative(objective, at, v) / length
        found = float(torch.stack([(gradient[k] * v[k]).sum() for k in v]).sum()) / length
        assert found == pytest.approx(expected, abs=tolerance * norm)


# --- ENOT -----------------------------------------------------------------------------------------


def enot_objectives(
    solver: ENOT, problem: EOTProblem, rng_state: torch.Tensor
) -> tuple[Callable[[Weights], torch.Tensor], Callable[[Weights], torch.Tensor]]:
    """What drift and potential minimise in the step that starts in this state of the generator."""
    rng = torch.Generator()
    rng.set_state(rng_state)
    config, epsilon = solver.config, problem.epsilon
    x, y = problem.source.sample(16, rng=rng), problem.target.sample(16, rng=rng)
    first, second = (draw_noises(rng, x.shape, config) for _ in range(2))
    drift, potential = weights_of(solver.drift.module), weights_of(solver.potential.module)

    def beta(w: Weights, at: torch.Tensor) -> torch.Tensor:
        base = at.square().sum(1) / (2 * config.endpoint_softening)
        return mlp(w, at).mean() - (config.drift_form == "softened_endpoint") * base.mean()

    def drift_loss(w: Weights) -> torch.Tensor:
        final, energy = final_and_energy(w, x.double(), first, epsilon=epsilon, config=config)
        return energy.mean() - beta(potential, final)

    def potential_loss(w: Weights) -> torch.Tensor:
        final, _ = final_and_energy(drift, x.double(), second, epsilon=epsilon, config=config)
        return beta(w, final) - beta(w, y.double())

    return drift_loss, potential_loss


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"drift_form": "endpoint"},
        {"drift_form": "softened_endpoint", "endpoint_softening": 0.3},
        {"noise_last_step": False},
    ],
    ids=["velocity", "endpoint", "softened end point", "no noise in the last step"],
)
def test_enots_gradients_are_those_of_the_maximin_objective(changes: dict[str, Any]) -> None:
    problem = tiny_problem(epsilon=0.7)
    solver = ENOT((2,), dataclasses.replace(ENOT_TINY, **changes), epsilon=0.7, seed=3)
    rng = make_rng(4)
    drift_loss, potential_loss = enot_objectives(solver, problem, rng.get_state())
    logs = solver.step(problem, rng=rng, progress=0.0)
    # The solver computes in float32: relative errors of 1e-6 and a few roundings more.
    check_gradient(solver.drift.module, drift_loss, tolerance=1e-4)
    check_gradient(solver.potential.module, potential_loss, tolerance=1e-4)
    gap = -float(potential_loss(weights_of(solver.potential.module)))
    assert logs["potential_gap"] == pytest.approx(gap, abs=1e-5)


def test_enots_updates_lower_the_drifts_loss_and_raise_the_potentials_gap() -> None:
    problem = tiny_problem(epsilon=0.7)
    config = dataclasses.replace(ENOT_TINY, drift_learning_rate=1e-3, potential_learning_rate=1e-3)
    solver = ENOT((2,), config, epsilon=0.7, seed=3)
    rng = make_rng(4)
    state = rng.get_state()
    drift_loss, _ = enot_objectives(solver, problem, state)
    before = weights_of(solver.drift.module), weights_of(solver.potential.module)
    solver.step(problem, rng=rng, progress=0.0)
    assert drift_loss(weights_of(solver.drift.module)) < drift_loss(before[0]) - 1e-4
    _, potential_loss = enot_objectives(solver, problem, state)  # after the drift's update
    assert potential_loss(weights_of(solver.potential.module)) < potential_loss(before[1]) - 1e-4


def test_enot_ramps_epsilon_up_during_training() -> None:
    class Recorded(ENOT):
        seen: list[float]

        def simulate(self, x0: torch.Tensor, **options: Any) -> Any:
            self.seen.append(options["epsilon"])
            return super().simulate(x0, **options)

    solver = Recorded((2,), dataclasses.replace(ENOT_TINY, epsilon_ramp=0.5), epsilon=0.8)
    problem = tiny_problem(epsilon=0.8)
    for progress, expected in [(0.0, 0.0), (0.25, 0.4), (0.5, 0.8), (0.9, 0.8)]:
        solver.seen = []
        solver.step(problem, rng=make_rng(0), progress=progress)
        assert solver.seen == pytest.approx([expected, expected])
    solver.seen = []
    solver.sample(torch.zeros(3, 2), rng=make_rng(0))
    assert solver.seen == [0.8]


def test_the_drift_forms_name_an_end_point() -> None:
    """f = (x1 - x) / (1 - t), so one Euler step of length 1 - t lands on x1."""
    t, epsilon = 0.6, 2.0
    x = torch.randn(50, 2, generator=make_rng(0))
    out = 3 * torch.randn(50, 2, generator=make_rng(1))

    def landing(form: Any) -> torch.Tensor:
        solver = ENOT((2,), dataclasses.replace(ENOT_TINY, drift_form=form), epsilon=epsilon)
        return x + (1 - t) * solver.velocity(t, x, out, epsilon=epsilon)

    torch.testing.assert_close(landing("velocity"), x + 0.4 * out)
    torch.testing.assert_close(landing("endpoint"), x + out)
    softened = x + 0.4 / (0.4 + ENOT_TINY.endpoint_softening) * (out - x)
    torch.testing.assert_close(landing("softened_endpoint"), softened)
    bounded = landing("bounded_endpoint")
    assert float(bounded.abs().max()) <= 1 + 1e-6
    torch.testing.assert_close(bounded, torch.tanh(out + 2 * x / (1 + 4 * epsilon * t)))


def test_enots_learning_rates_follow_the_schedule() -> None:
    config = dataclasses.replace(
        ENOT_TINY,
        drift_learning_rate=1e-3,
        potential_learning_rate=2e-3,
        learning_rate_schedule="linear",
    )
    solver = ENOT((2,), config, epsilon=0.7)
    solver.step(tiny_problem(epsilon=0.7), rng=make_rng(0), progress=0.75)
    assert solver.drift_optimizer.param_groups[0]["lr"] == pytest.approx(0.25e-3)
    assert solver.potential_optimizer.param_groups[0]["lr"] == pytest.approx(0.5e-3)


def test_samples_come_from_the_averaged_weights() -> None:
    """Decay 0: the average is the last weights. With weights of zero the SDE is Brownian motion."""
    solver = ENOT((2,), ENOT_TINY, epsilon=0.0)
    x = torch.randn(5, 2, generator=make_rng(0))
    for value in solver.drift.average.values():
        value.zero_()
    assert torch.equal(solver.sample(x, rng=make_rng(0)), x)
    assert torch.equal(solver.path(x, rng=make_rng(0))[-1], x)
    assert not torch.equal(solver.simulate(x, rng=make_rng(0), epsilon=0.0).final, x)


# --- EgNOT ----------------------------------------------------------------------------------------


def test_egnots_gradient_is_that_of_the_gap_between_data_and_chains() -> None:
    problem = tiny_problem(epsilon=0.7)
    solver = EgNOT((2,), EGNOT_TINY, epsilon=0.7, seed=3)
    logs = solver.step(problem, rng=make_rng(4), progress=0.0)
    assert isinstance(solver.chains, ReplayBuffer)
    chains = solver.chains.y[:16].double()  # the states that this step ended in
    data = problem.target.sample(16, rng=make_rng(0)).double()

    def loss(w: Weights) -> torch.Tensor:
        return mlp(w, chains).mean() - mlp(w, data).mean()

    check_gradient(solver.potential.module, loss, tolerance=1e-4)  # float32 against float64
    gap = -float(loss(weights_of(solver.potential.module)))
    assert logs["potential_gap"] == pytest.approx(gap, abs=1e-5)


def test_egnots_update_raises_the_gap() -> None:
    problem = tiny_problem(epsilon=0.7)
    solver = EgNOT((2,), dataclasses.replace(EGNOT_TINY, learning_rate=1e-3), epsilon=0.7, seed=3)
    before = weights_of(solver.potential.module)
    solver.step(problem, rng=make_rng(4), progress=0.0)
    assert isinstance(solver.chains, ReplayBuffer)
    chains, data = solver.chains.y[:16].double(), problem.target.sample(16, rng=make_rng(0))

    def gap(w: Weights) -> float:
        return float(mlp(w, data.double()).mean() - mlp(w, chains).mean())

    assert gap(weights_of(solver.potential.module)) > gap(before) + 1e-4


def test_egnots_gradient_is_that_of_the_weak_dual() -> None:
    """-(E g(Y) + E g^C(X)), with g^C(x) = -eps log int exp((g(y) - c(x, y)) / eps) dy on a grid."""
    epsilon, n = 1.0, 4096
    x = torch.randn(n, 1, generator=make_rng(1))
    y = 1.5 + 0.5 * torch.randn(n, 1, generator=make_rng(2))
    config = dataclasses.replace(
        EGNOT_TINY, num_langevin_steps=150, step_size=0.05, batch_size=n, buffer_size=n
    )
    solver = EgNOT((1,), config, epsilon=epsilon, seed=3)
    with torch.no_grad():  # a potential with some curvature
        for p in solver.potential.module.parameters():
            p.mul_(2.5)
    solver.step(EOTProblem(Rows(x), Rows(y), epsilon), rng=make_rng(4), progress=0.0)
    grid = torch.linspace(-12, 12, 1201, dtype=torch.float64)[:, None]
    few = x[::8].double()  # enough of the source: the rest only adds to the time
    cost = (few - grid.T).square() / 2
    spacing = float(grid[1] - grid[0])

    def negative_dual(w: Weights) -> torch.Tensor:
        g = mlp(w, grid)[:, 0]
        conjugate = -epsilon * (torch.logsumexp((g - cost) / epsilon, dim=1) + np.log(spacing))
        return -(mlp(w, y.double()).mean() + conjugate.mean())

    # Chains: 1 / sqrt(4096) = 1.6 % of the spread of dg, and Langevin's bias eta / 4 = 1.3 %;
    # it is off by 1 %. Without the 1/2 of the cost it is off by 29 % (tried).
    check_gradient(solver.potential.module, negative_dual, tolerance=0.05)


class Quadratic(nn.Module):
    """g(y) = 1/2 y^T H y."""

    matrix: torch.Tensor

    def __init__(self, matrix: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.from_numpy(matrix).float())

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return ((y @ self.matrix) * y).sum(1) / 2


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_langevin_with_the_optimal_potential_samples_the_conditional_plan(epsilon: float) -> None:
    """With precision P = K^-1 its stationary law is N(mean, (P - eta P^2 / 4)^-1)."""
    plan = GaussianPlan(haar_covariance(2, seed=42), haar_covariance(2, seed=43), epsilon)
    n = 10_000
    precision = np.linalg.inv(plan.conditional_covariance)
    # The step size is relative to epsilon; the chain is stable for eta < 4 / largest precision.
    largest = float(np.linalg.eigvalsh(precision).max())
    slowest = float(np.linalg.eigvalsh(precision).min())
    eta = 1.0 / largest
    config = dataclasses.replace(EGNOT_TINY, step_size=eta / epsilon)
    solver = EgNOT((2,), config, epsilon=epsilon)
    solver.potential.module = Quadratic(plan.potential_matrix)
    x = torch.tensor([[1.5, -1.0]]).expand(n, 2)
    steps = round(14 / (eta * slowest))  # forgets the start by exp(-7)
    y = solver.langevin(x, solver.initial(x, rng=make_rng(0)), num_steps=steps, rng=make_rng(1))
    stationary = np.linalg.inv(precision - eta * precision @ precision / 4)
    scale = float(stationary.diagonal().max())
    mean = plan.regression @ x[0].numpy()
    np.testing.assert_allclose(y.mean(0), mean, atol=6 * np.sqrt(scale / n))
    np.testing.assert_allclose(np.cov(y.T), stationary, atol=6 * scale * np.sqrt(2 / n))


def test_egnots_chains_start_from_the_prior() -> None:
    solver = EgNOT((2,), EGNOT_TINY, epsilon=0.3)
    x = torch.full((20_000, 2), 5.0)
    y = solver.initial(x, rng=make_rng(0)) - x
    assert float(y.mean()) == pytest.approx(0, abs=5 * (0.3 / 40_000) ** 0.5)
    assert float(y.var()) == pytest.approx(0.3, rel=5 * (2 / 40_000) ** 0.5)


def test_egnot_samples_come_from_the_averaged_weights() -> None:
    """With weights of zero the conditional plan is the prior N(x, eps): Langevin keeps it."""
    config = dataclasses.replace(EGNOT_TINY, step_size=0.1, num_test_langevin_steps=100)
    solver = EgNOT((2,), config, epsilon=0.3)
    with torch.no_grad():
        for p in solver.potential.module.parameters():
            p.mul_(20)  # the current weights would push the samples far away
    for value in solver.potential.average.values():
        value.zero_()
    x = torch.full((4000, 2), 5.0)
    y = solver.sample(x, rng=make_rng(0)) - x
    assert float(y.mean()) == pytest.approx(0, abs=5 * (0.3 / 8000) ** 0.5)
    expected = 0.3 / (1 - 0.1 / 4)  # Langevin's stationary variance
    assert float(y.var()) == pytest.approx(expected, rel=5 * (2 / 8000) ** 0.5)


def test_egnot_refuses_epsilon_zero() -> None:
    with pytest.raises(ConfigError, match=r"epsilon: found 0 for EgNOT.*ENOT"):
        EgNOT((2,), epsilon=0)


# --- EgNOT's chains -------------------------------------------------------------------------------


def test_replay_chains_go_on_near_their_own_source_points() -> None:
    """Two far clusters and a small epsilon: a y that went on for another x would be far from it."""
    n = 40
    x = torch.zeros(n, 2)
    x[: n // 2] += 100
    config = dataclasses.replace(
        EGNOT_TINY, batch_size=n, buffer_size=3 * n, buffer_probability=0.5, step_size=0.02
    )
    solver = EgNOT((2,), config, epsilon=0.01)
    problem = EOTProblem(Rows(x), Rows(x), 0.01)
    rng = make_rng(0)
    for step in range(5):
        solver.step(problem, rng=rng, progress=0.0)
        assert isinstance(solver.chains, ReplayBuffer)
        assert solver.chains.filled == min((step + 1) * n, 3 * n)
    assert isinstance(solver.chains, ReplayBuffer)
    distances = (solver.chains.y - solver.chains.x).norm(dim=1)
    assert float(distances.max()) < 5  # sqrt(2 eps) = 0.14, and a weak potential


def test_replay_takes_the_stated_share_of_a_batch_from_the_full_buffer() -> None:
    config = dataclasses.replace(EGNOT_TINY, buffer_size=16, buffer_probability=0.75)
    solver = EgNOT((2,), config, epsilon=0.01)
    old, new = torch.zeros(16, 2), torch.full((16, 2), 100.0)
    solver.step(EOTProblem(Rows(old), Rows(old), 0.01), rng=make_rng(0), progress=0.0)
    solver.step(EOTProblem(Rows(new), Rows(new), 0.01), rng=make_rng(0), progress=0.0)
    assert isinstance(solver.chains, ReplayBuffer)
    second = solver.chains.x
    assert int((second[:, 0] == 0).sum()) == 12 and int((second[:, 0] == 100).sum()) == 4


def test_new_chains_are_warmed_up_and_old_ones_are_not() -> None:
    """Weights of zero: a chain is an AR(1) around x, whose distance from x grows with its steps."""
    rows = torch.zeros(64, 2)
    problem = EOTProblem(Rows(rows), Rows(rows), 1.0)
    spread = {}
    for num_warm_up_steps in (0, 400):
        config = dataclasses.replace(
            EGNOT_TINY,
            **{"batch_size": 64, "buffer_size": 64, "buffer_probability": 0.5},
            **{"num_langevin_steps": 1, "step_size": 1e-3, "learning_rate": 1e-9},
            num_warm_up_steps=num_warm_up_steps,
        )
        solver = EgNOT((2,), config, epsilon=1.0)
        for p in solver.potential.module.parameters():
            p.data.zero_()
        start = torch.zeros(64, 2)
        solver.initial = lambda x, rng, start=start: start[: len(x)]  # type: ignore[method-assign]
        solver.step(problem, rng=make_rng(0), progress=0.0)
        assert isinstance(solver.chains, ReplayBuffer)
        spread[num_warm_up_steps] = float(solver.chains.y.square().mean())
    # 1 and 401 steps of variance 1e-3 each; the pull back to x takes 18 % of the second
    assert spread[0] == pytest.approx(1e-3, rel=0.5)
    assert spread[400] == pytest.approx(0.33, rel=0.35)


def test_persistent_chains_belong_to_the_rows_of_the_source() -> None:
    n = 30
    x = 100.0 * torch.arange(n, dtype=torch.float32)[:, None].expand(n, 2).contiguous()
    config = dataclasses.replace(
        EGNOT_TINY, chains="persistent", batch_size=4, buffer_size=1, step_size=0.02
    )
    solver = EgNOT((2,), config, epsilon=0.01)

    class Finite(Rows):
        def sample(self, n: int, *, rng: torch.Generator) -> torch.Tensor:
            return self.points[:n]

    problem = EOTProblem(Finite(x), Finite(x), 0.01)
    rng = make_rng(0)
    solver.step(problem, rng=rng, progress=0.0)
    assert isinstance(solver.chains, PersistentStates)
    before = solver.chains.y.clone()
    assert before.shape == x.shape
    solver.step(problem, rng=rng, progress=0.0)
    moved = (solver.chains.y != before).any(dim=1)
    assert int(moved.sum()) == 4  # a batch of different rows
    assert float((solver.chains.y - x).norm(dim=1).max()) < 5


def test_persistent_chains_need_a_finite_source() -> None:
    config = dataclasses.replace(EGNOT_TINY, chains="persistent")
    solver = EgNOT((2,), config, epsilon=0.1)
    problem = EOTProblem(StandardNormal((2,)), StandardNormal((2,)), 0.1)
    with pytest.raises(ConfigError, match=r"chains: found 'persistent'.*'replay'"):
        solver.step(problem, rng=make_rng(0), progress=0.0)


def test_a_batch_of_persistent_chains_has_none_twice() -> None:
    """With a batch as large as the source every chain moves in every step."""
    config = dataclasses.replace(EGNOT_TINY, chains="persistent", batch_size=16)
    solver, problem = EgNOT((2,), config, epsilon=0.1), tiny_problem(0.1, n=16)
    rng = make_rng(0)
    solver.step(problem, rng=rng, progress=0.0)
    assert isinstance(solver.chains, PersistentStates)
    before = solver.chains.y.clone()
    solver.step(problem, rng=rng, progress=0.0)
    assert bool((solver.chains.y != before).any(dim=1).all())
    few = tiny_problem(0.1, n=15)
    with pytest.raises(ConfigError, match=r"batch_size: found 16 .* 15 points, expected at most"):
        EgNOT((2,), config, epsilon=0.1).step(few, rng=rng, progress=0.0)


def test_activations_that_are_computed_again_give_the_same_gradients() -> None:
    """And fewer of them are kept: those of all Euler steps of the U-Net otherwise."""
    images = torch.rand(2, 6, 3, 8, 8, generator=make_rng(0)) * 2 - 1
    problem = EOTProblem(Rows(images[0]), Rows(images[1]), 0.5)
    config = dataclasses.replace(
        ENOT_TINY,
        drift=NetworkConfig(kind="unet", width=4, depth=2),
        potential=NetworkConfig(kind="resnet", width=4, depth=2),
        batch_size=6,
    )
    gradients, kept = [], []
    for again in (False, True):
        solver = ENOT(
            (3, 8, 8), dataclasses.replace(config, checkpoint_activations=again), epsilon=0.5
        )
        for p in solver.drift.module.parameters():  # its last layers start at zero
            p.data = 0.3 * torch.randn(p.shape, generator=make_rng(p.numel()))
        sizes: list[int] = []

        def note(t: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(t.numel())
            return t

        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            path = solver.simulate(images[0], rng=make_rng(1), epsilon=0.5)
        kept.append(sum(sizes))
        (path.energy.mean() + path.final.pow(3).sum()).backward()
        parts = [p.grad for p in solver.drift.module.parameters() if p.grad is not None]
        gradients.append(torch.cat([g.flatten() for g in parts]))
        solver.step(problem, rng=make_rng(2), progress=0.0)
    assert float(gradients[0].norm()) > 1
    torch.testing.assert_close(gradients[1], gradients[0])
    assert 0 < kept[1] < kept[0] / 5


def test_enot_without_any_noise_is_refused_where_there_should_be_some() -> None:
    config = dataclasses.replace(ENOT_TINY, num_euler_steps=1, noise_last_step=False)
    ENOT((2,), config, epsilon=0.0)
    with pytest.raises(ConfigError, match=r"num_euler_steps: found 1 .* expected at least 2"):
        ENOT((2,), config, epsilon=0.1)


# --- training -------------------------------------------------------------------------------------


def plan_error(solver: ENOT | EgNOT, plan: GaussianPlan, *, n: int = 4000) -> float:
    """BW2-UVP of (x, y) in percent; an exact sampler has about 100 (2 D) / n = 0.1 at this n."""
    x = Gaussian(plan.source_covariance).sample(n, rng=make_rng(100))
    y = solver.sample(x, rng=make_rng(101))
    return bw_uvp_of_samples(torch.cat([x, y], dim=1).numpy(), np.zeros(4), plan.joint_covariance)


# Bounds in percent: about twice what the two reach here (1.5 and 0.2), a tenth and less of what
# they start from (33), far above the 0.1 of an exact sampler.
@pytest.mark.parametrize(("method", "bound"), [("enot", 3.0), ("egnot", 0.6)])
def test_a_short_training_reaches_the_gaussian_plan(method: str, bound: float) -> None:
    a, b, epsilon = haar_covariance(2, seed=42), haar_covariance(2, seed=43), 1.0
    plan = GaussianPlan(a, b, epsilon)
    problem = EOTProblem(Gaussian(a), Gaussian(b), epsilon)
    network = NetworkConfig(kind="mlp", width=64, depth=2)
    solver: ENOT | EgNOT
    if method == "enot":
        enot = ENOTConfig(drift=network, potential=network, batch_size=256, ema_decay=0.95)
        solver, steps = ENOT((2,), enot, epsilon=epsilon), 150
    else:
        egnot = EgNOTConfig(
            potential=network, batch_size=256, buffer_size=2560, num_test_langevin_steps=100
        )
        solver, steps = EgNOT((2,), egnot, epsilon=epsilon), 250
    untrained = plan_error(solver, plan)
    fit(solver, problem, steps=steps, show=lambda line: None)
    assert untrained > 20
    assert plan_error(solver, plan) < bound
