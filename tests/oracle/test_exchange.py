"""Exchanges of ends, on exact entropic plans, and EgNOT with them where chains cannot cross."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from entropic_ot.device import make_rng
from entropic_ot.distributed import Rows
from entropic_ot.dynamics.exchange import exchange_ends, exchange_with_pairs
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.fit import fit
from entropic_ot.experiments.store import load_tree, save_tree
from entropic_ot.metrics.bures import bw_uvp_of_samples
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.problems.base import EOTProblem
from entropic_ot.problems.gaussian import Gaussian, GaussianPlan, haar_covariance
from entropic_ot.problems.mixture import GaussianMixture, MixturePlan, MixtureTarget, round_gaussian
from entropic_ot.solvers.config import EgNOTConfig
from entropic_ot.solvers.egnot import EgNOT

EPSILON = 0.5
SOURCE, TARGET = haar_covariance(2, seed=42), haar_covariance(2, seed=43)
PLAN = GaussianPlan(SOURCE, TARGET, EPSILON)
N = 16000


def exact_pairs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = make_rng(seed)
    x = Gaussian(SOURCE).sample(N, rng=rng)
    return x, PLAN.sample_conditional(x, rng=rng)


def independent_pairs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = make_rng(seed)
    return Gaussian(SOURCE).sample(N, rng=rng), Gaussian(TARGET).sample(N, rng=rng)


def joint_error(x: torch.Tensor, y: torch.Tensor) -> float:
    """BW2-UVP of the pairs against the exact plan, in percent; 0.05 for 16000 exact pairs."""
    pairs = torch.cat([x, y], 1).numpy()
    return bw_uvp_of_samples(pairs, np.zeros(4), PLAN.joint_covariance)


# --- between the pairs ----------------------------------------------------------------------------


def test_exchanges_leave_an_entropic_plan_as_it_is() -> None:
    x, y = exact_pairs(0)
    after = exchange_ends(x, y, epsilon=EPSILON, num_rounds=20, rng=make_rng(1))
    assert float((after != y).any(1).float().mean()) > 0.5  # they did happen
    torch.testing.assert_close(after.sort(0).values, y.sort(0).values)  # the same ends
    assert joint_error(x, after) < 0.2


def test_exchanges_lead_from_independent_pairs_to_the_plan() -> None:
    x, y = independent_pairs(0)
    assert joint_error(x, y) > 5
    after = exchange_ends(x, y, epsilon=EPSILON, num_rounds=200, rng=make_rng(1))
    assert joint_error(x, after) < 0.3


def test_exchanges_at_epsilon_zero_only_lower_the_cost() -> None:
    rng = make_rng(0)
    x = torch.tensor([[0.0], [1.0]])
    crossed, sorted_ends = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]])
    for ends in (crossed, sorted_ends):
        after = exchange_ends(x, ends, epsilon=0.0, num_rounds=5, rng=rng)
        assert torch.equal(after, sorted_ends)


# --- with pairs that stay -------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [exact_pairs, independent_pairs])
def test_exchanges_with_exact_pairs_lead_to_the_plan_and_keep_it(begin: Any) -> None:
    x, y = begin(0)
    pairs = exact_pairs(5)
    kept = [points.clone() for points in pairs]
    after = exchange_with_pairs(x, y, *pairs, epsilon=EPSILON, num_rounds=200, rng=make_rng(1))
    assert joint_error(x, after) < 0.3
    assert float((after != y).any(1).float().mean()) > 0.9
    assert all(torch.equal(a, b) for a, b in zip(pairs, kept, strict=True))


def test_all_rows_may_share_one_source_point() -> None:
    """10 standard errors of the mean and of the covariance of 4000 draws are allowed for."""
    point = torch.tensor([[1.0, -0.7]])
    x, pairs = point.expand(4000, 2), exact_pairs(5)
    y = independent_pairs(3)[1][:4000]
    after = exchange_with_pairs(x, y, *pairs, epsilon=EPSILON, num_rounds=300, rng=make_rng(1))
    exact = PLAN.conditional_moments(point)
    scale = float(exact.covariance[0].diagonal().max())
    np.testing.assert_allclose(after.mean(0), exact.mean[0], atol=10 * (scale / 4000) ** 0.5)
    np.testing.assert_allclose(
        np.cov(after.T), exact.covariance[0], atol=10 * scale * (2 / 4000) ** 0.5
    )


def test_a_process_gets_its_rows_of_what_all_get() -> None:
    x, y = (points[:101] for points in independent_pairs(0))
    pairs = exact_pairs(5)
    settings: dict[str, Any] = {"epsilon": EPSILON, "num_rounds": 7}
    everyone = exchange_with_pairs(x, y, *pairs, rng=make_rng(1), **settings)
    for rank in range(2):
        rows = Rows(101, rank, 2)
        own = exchange_with_pairs(
            rows.own(x), rows.own(y), *pairs, rng=make_rng(1), rows=rows, **settings
        )
        assert torch.equal(own, everyone[rows.index])


# --- in EgNOT -------------------------------------------------------------------------------------

FAR = GaussianMixture(
    torch.tensor([0.7, 0.3]), torch.tensor([[-3.0, 0.0], [3.0, 0.0]]), torch.full((2, 2), 0.05)
)
"""Two modes with 20 standard deviations between them; their masses differ, and depend on x."""
EXCHANGES: dict[str, Any] = {"num_exchange_rounds": 10, "num_test_exchange_rounds": 200}
SHORT = EgNOTConfig(
    potential=NetworkConfig(kind="mlp", width=32, depth=2),
    num_warm_up_steps=0,
    step_size=0.02,
    batch_size=128,
    buffer_size=1280,
    learning_rate=3e-3,
    num_test_langevin_steps=50,
    base_potential="quadratic",
    base_variance=0.05,
)


def mass_on_the_right(config: EgNOTConfig) -> tuple[np.ndarray, np.ndarray]:
    """Of y given four x after a short training, and exactly."""
    plan = MixturePlan(round_gaussian(2, std=0.5), FAR, 1.0)
    target = MixtureTarget(plan)
    problem = EOTProblem(plan.source, target, 1.0)
    solver = EgNOT((2,), config, epsilon=1.0)
    fit(solver, problem, steps=400, show=lambda line: None)
    few = torch.tensor([[-0.6, 0.0], [-0.2, 0.3], [0.2, 0.0], [0.6, -0.3]])
    y = solver.sample(few.repeat_interleave(2000, 0), rng=make_rng(3))
    found = (y[:, 0] > 0).float().reshape(4, 2000).mean(1)
    return found.numpy(), plan.conditional_weights(few)[:, 1].numpy()


def test_egnot_gives_distant_modes_their_mass_by_exchanges_alone() -> None:
    """Chains from x stay where they fall; the weights at hand differ by 0.6 from x to x."""
    found, exact = mass_on_the_right(dataclasses.replace(SHORT, **EXCHANGES))
    assert exact.max() - exact.min() > 0.5
    # 1280 pairs stand for the plan: two or three standard errors of such a share
    np.testing.assert_allclose(found, exact, atol=0.06)
    without, _ = mass_on_the_right(SHORT)
    assert np.abs(without - exact).max() > 0.15


def test_the_base_potential_is_in_g_and_in_the_score() -> None:
    config = dataclasses.replace(SHORT, base_variance=0.3)
    solver, none = EgNOT((2,), config, epsilon=0.7), EgNOT((2,), epsilon=0.7)
    none.potential = solver.potential
    x, y = torch.randn(2, 5, 2, generator=make_rng(0))
    torch.testing.assert_close(solver.g(y), none.g(y) - 0.7 / (2 * 0.3) * y.square().sum(1))
    score = solver._vector_score(x)
    assert score is not None
    torch.testing.assert_close(score(y), solver._any_score(x)(y), rtol=1e-4, atol=1e-4)


def test_samples_start_from_the_kept_pairs_which_go_with_the_weights(tmp_path: Path) -> None:
    config = dataclasses.replace(SHORT, **EXCHANGES)
    rng, problem = make_rng(0), EOTProblem(Gaussian(SOURCE), Gaussian(TARGET), 1.0)
    solver = EgNOT((2,), config, epsilon=1.0)
    x = torch.randn(8, 2, generator=make_rng(1))
    with pytest.raises(ConfigError, match=r"num_exchange_rounds: found samples .* before any step"):
        solver.sample(x, rng=make_rng(2))
    solver.step(problem, rng=rng, progress=0.0)
    other = EgNOT((2,), config, epsilon=1.0, seed=5)
    save_tree(tmp_path / "state.safetensors", solver.state_dict(), header={})
    saved, _ = load_tree(tmp_path / "state.safetensors")
    other.load_state_dict({"model": saved["model"]})
    assert torch.equal(other.sample(x, rng=make_rng(2)), solver.sample(x, rng=make_rng(2)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_exchange_rounds": 5}, r"num_test_exchange_rounds: found 5 and 0, expected none or"),
        ({**EXCHANGES, "chains": "persistent"}, r"found 10 with chains: persistent, expected 0"),
        ({**EXCHANGES, "base_potential": "standard_normal"}, r"standard_normal, expected 0"),
        ({"base_variance": 0.0}, r"base_variance: found 0"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SHORT, **changes)
