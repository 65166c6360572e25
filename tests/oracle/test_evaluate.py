"""The metrics of Gaussian and single-cell runs, from arrays of samples to numbers known by hand.

Each fails where the times t and 1 - t are exchanged, epsilon or the unit of the cells is left out,
or the pairs lose each other: the settings are such that these change the value by much more than
the noise of the samples.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from problem_configs import GAUSSIAN, PAIRS_ALONE

from entropic_ot.data.msci import MsciData
from entropic_ot.device import make_rng
from entropic_ot.experiments import evaluate
from entropic_ot.experiments.build import Benchmark, build_benchmark
from entropic_ot.experiments.evaluate import METRIC_FUNCTIONS
from entropic_ot.experiments.evaluation import Evaluation, Value
from entropic_ot.problems.base import ArrayDistribution
from entropic_ot.problems.gaussian import GaussianPlan, haar_covariance

EPSILON, TIME, SCALE = 2.0, 0.25, 7.0


def measured(
    name: str, x: np.ndarray, y: np.ndarray, benchmark: Benchmark, *, epsilon: float = EPSILON
) -> Value:
    samples = {"x": x.astype(np.float32), "y": y.astype(np.float32)}
    evaluation = Evaluation(samples, benchmark, epsilon, PAIRS_ALONE)
    return METRIC_FUNCTIONS[name](evaluation)


# --- BW-UVP of the plan ---------------------------------------------------------------------------

N = 40_000


@pytest.fixture(scope="module")
def gaussian() -> tuple[Benchmark, GaussianPlan, torch.Tensor]:
    """Three dimensions, epsilon = 2, and N points of the source."""
    benchmark = build_benchmark(GAUSSIAN, epsilon=EPSILON)
    assert isinstance(benchmark.plan, GaussianPlan)
    return benchmark, benchmark.plan, benchmark.source.sample(N, rng=make_rng(0))


def expected_floor(truth: np.ndarray, n: int) -> float:
    """Mean BW-UVP [%] of n exact draws of N(0, truth), to first order in 1/n.

    The mean adds 1/2 tr S / n. To second order in a small change E of S = diag(s), BW2^2 is
    1/4 sum_ij E_ij^2 / (s_i + s_j), and E_ij has variance s_i s_j (1 + [i = j]) / n.
    """
    s = np.linalg.eigvalsh(truth)
    products = np.outer(s, s) * (1 + np.eye(len(s))) / np.add.outer(s, s)
    return 100 * (s.sum() / 2 + products.sum() / 4) / n / (s.sum() / 2)


def test_an_exact_sampler_is_at_the_floor_of_the_plan(
    gaussian: tuple[Benchmark, GaussianPlan, torch.Tensor],
) -> None:
    benchmark, plan, x = gaussian
    exact = plan.sample_conditional(x, rng=make_rng(1)).numpy()
    result = measured("bw_uvp_plan", x.numpy(), exact, benchmark)
    floor = expected_floor(plan.joint_covariance, N)
    # A sum of weighted squares, mostly those of the widest direction: of 400 exact draws 95 % lay
    # between 0.35 and 2.5 times this mean.
    assert result.floor is not None and result.n == N
    assert floor / 4 < result.value < 4 * floor and floor / 4 < result.floor < 4 * floor


def test_a_shift_costs_the_plan_half_its_square(
    gaussian: tuple[Benchmark, GaussianPlan, torch.Tensor],
) -> None:
    benchmark, plan, x = gaussian
    shift = 0.5
    y = plan.sample_conditional(x, rng=make_rng(1)).numpy() + shift
    expected = 100 * (3 * shift**2 / 2) / (np.trace(plan.joint_covariance) / 2)
    # The mean's noise, at most sqrt(4 / N) = 0.01 in any direction, times the length of the shift.
    noise = 100 * (0.01 * shift * math.sqrt(3)) / (np.trace(plan.joint_covariance) / 2)
    result = measured("bw_uvp_plan", x.numpy(), y, benchmark)
    assert result.value == pytest.approx(expected, abs=4 * noise) and 4 * noise < 0.1 * expected


def test_pairs_that_lost_each_other_are_a_wrong_plan_with_the_right_marginals(
    gaussian: tuple[Benchmark, GaussianPlan, torch.Tensor],
) -> None:
    benchmark, plan, x = gaussian
    y = plan.sample_conditional(x, rng=make_rng(1)).numpy()[::-1]
    truth, found = plan.joint_covariance, plan.joint_covariance.copy()
    found[:3, 3:] = found[3:, :3] = 0
    # tr (S^1/2 S' S^1/2)^1/2 is the sum of the roots of the eigenvalues of S S'.
    cross = np.sqrt(np.linalg.eigvals(truth @ found).real).sum()
    expected = 100 * (np.trace(truth) - cross) / (np.trace(truth) / 2)
    result = measured("bw_uvp_plan", x.numpy(), y, benchmark)
    assert result.floor is not None and expected > 100 * result.floor
    # Entries of a covariance are known to sqrt(2 / N) = 0.7 %; their mistakes do not add up.
    assert result.value == pytest.approx(expected, rel=0.035)
    assert measured("bw_uvp_target", x.numpy(), y, benchmark).value < 0.05  # 10 times the floor


# --- single cells: the bridge at the held-out day, in raw units -----------------------------------


def cells(
    source: np.ndarray,
    target: np.ndarray,
    evaluation: np.ndarray,
    *,
    scale: float = SCALE,
    time: float = TIME,
) -> Benchmark:
    """Populations [n, D] in scaled space."""
    parts = [np.asarray(part, dtype=np.float32) for part in (source, target, evaluation)]
    data = MsciData(source=parts[0], target=parts[1], evaluation=parts[2], scale=scale, time=time)
    first, last = (ArrayDistribution(part) for part in parts[:2])
    return Benchmark(first, last, first, last, msci=data)


def test_the_bridge_has_the_mean_and_the_variance_of_its_time_in_raw_units() -> None:
    """On a line, with all cells of a day at one point: x = 1, y = 5, evaluation at 20.

    Then E|X - Y| is the distance of the means, since no point of the bridge reaches 20, and
    1/2 E|X - X'| = sqrt(v / pi) of a normal law of variance v.
    """
    n = 4000
    x, y, held_out = np.full((n, 1), 1.0), np.full((n, 1), 5.0), np.full((4, 1), 20.0)
    mean, variance = (1 - TIME) * 1 + TIME * 5, EPSILON * TIME * (1 - TIME)
    expected = SCALE * (20 - mean - math.sqrt(variance / math.pi))
    # The mean of n draws is known to sqrt(v / n); the spread's own error is smaller. Without
    # epsilon the value is off by 0.10 SCALE, with 1 - t for t by 2 SCALE.
    tolerance = 5 * SCALE * math.sqrt(variance / n)
    assert tolerance < 0.05 * SCALE
    for name in ("energy_distance", "energy_distance_independent"):
        value = measured(name, x, y, cells(x, y, held_out)).value
        assert value == pytest.approx(expected, abs=tolerance), name


def test_the_bridge_keeps_the_pairs_and_the_independent_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Points of the exact plan between two Gaussians: the law of X_t is known."""
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def compare(points: np.ndarray, target: np.ndarray) -> float:
        seen.append((points, target))
        return 0.0

    monkeypatch.setattr(evaluate, "energy_distance", compare)
    a, b = haar_covariance(3, seed=42), haar_covariance(3, seed=43)
    plan = GaussianPlan(a, b, EPSILON)
    x = build_benchmark(GAUSSIAN, epsilon=EPSILON).source.sample(N, rng=make_rng(0))
    y = plan.sample_conditional(x, rng=make_rng(1))
    held_out = np.arange(24.0).reshape(8, 3)
    benchmark = cells(x.numpy(), y.numpy(), held_out)
    for name in ("energy_distance", "energy_distance_independent"):
        measured(name, x.numpy(), y.numpy(), benchmark)
    bridge = plan.marginal_covariance(TIME)
    pairs_apart = bridge - TIME * (1 - TIME) * (plan.cross + plan.cross.T)
    assert np.abs(bridge - pairs_apart).max() > 0.1
    # Entries of a covariance of N points: at most sqrt(2 / N) = 0.7 % of the largest variance.
    for (points, target), expected in zip(seen, (bridge, pairs_apart), strict=True):
        atol = 5 * math.sqrt(2 / N) * np.abs(expected).max()
        np.testing.assert_allclose(np.cov(points.T) / SCALE**2, expected, atol=atol)
        np.testing.assert_allclose(target, SCALE * held_out, rtol=1e-6)


def test_an_exact_plan_of_cells_is_at_the_floor_within_its_spread() -> None:
    """Cells of the held-out day drawn from the bridge itself; floor_std is in raw units too."""
    n, rng = 3000, np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    y = 3 + x + 0.5 * rng.normal(size=(n, 2))
    noise = math.sqrt((0.5 * TIME) ** 2 + EPSILON * TIME * (1 - TIME))
    held_out = rng.normal(size=(n, 2)) + 3 * TIME + noise * rng.normal(size=(n, 2))
    exact = measured("energy_distance", x, y, cells(x, y, held_out))
    assert exact.floor == 0 and exact.n == n and exact.floor_std is not None
    assert abs(exact.value) < 4 * exact.floor_std
    for wrong in (cells(x, y, held_out, time=1 - TIME), cells(x, y, 1.2 * held_out)):
        assert measured("energy_distance", x, y, wrong).value > 20 * exact.floor_std
    in_other_units = measured("energy_distance", x, y, cells(x, y, held_out, scale=2 * SCALE))
    assert in_other_units.floor_std == pytest.approx(2 * exact.floor_std, rel=1e-4)
    assert in_other_units.value == pytest.approx(2 * exact.value, rel=1e-2, abs=1e-5)
