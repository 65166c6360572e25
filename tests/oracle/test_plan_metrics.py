"""Moments that are accumulated while samples are drawn, and the metrics made from them."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from problem_configs import GAUSSIAN, MIXTURE

from entropic_ot.device import make_rng
from entropic_ot.dynamics.euler_maruyama import euler_maruyama, noise_scales, time_grid
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.build import Benchmark, build_benchmark
from entropic_ot.experiments.config import (
    EvaluationConfig,
)
from entropic_ot.experiments.evaluate import METRIC_FUNCTIONS
from entropic_ot.experiments.evaluation import Evaluation, Value
from entropic_ot.experiments.moments import (
    EulerSteps,
    PathMoments,
    RunningMoments,
    conditional_moments,
    interior_times,
)
from entropic_ot.experiments.sample import draw_samples
from entropic_ot.metrics.bures import BATCH, bw_uvp, conditional_bw_uvp
from entropic_ot.problems.gaussian import GaussianPlan, haar_covariance
from entropic_ot.problems.mixture import MixturePlan
from entropic_ot.solvers.base import Solver
from entropic_ot.solvers.config import ENOTConfig
from entropic_ot.solvers.enot import ENOT
from entropic_ot.types import Points

SETTINGS = EvaluationConfig(
    num_samples=8000,
    num_conditional=2,
    num_per_source=4,
    num_conditional_moments=40,
    num_per_moment=300,
    num_path_times=10,
    num_paths=3,
    batch_size=1000,
    seed=5,
    metrics=("cbw_uvp", "bw_uvp_path"),
)
EPSILON = 1.0


# --- accumulated moments --------------------------------------------------------------------------


def test_batches_of_any_size_give_the_moments_of_all_points() -> None:
    points = 1000 + torch.randn(2, 500, 3, generator=make_rng(0), dtype=torch.float64)
    moments = RunningMoments()
    for part in points.split([1, 99, 150, 250], dim=1):
        moments.update(part)
    assert moments.count == 500
    for i in range(2):
        # Rounding only: 1e-16 times the square of the mean would already be 1e-10.
        np.testing.assert_allclose(moments.mean[i], points[i].mean(0), atol=1e-11)
        np.testing.assert_allclose(moments.covariance[i], np.cov(points[i].T), atol=1e-11)


@pytest.mark.parametrize("batch_size", [7, 60, 10_000])
def test_conditional_moments_are_those_of_the_samples_of_each_point(batch_size: int) -> None:
    """Batches smaller and larger than the samples of one point; no batch exceeds its size."""
    x = torch.arange(5.0)[:, None] * torch.ones(2)
    drawn: dict[float, list[torch.Tensor]] = {}

    def sample(points: Points, *, rng: torch.Generator) -> Points:
        assert len(points) <= batch_size
        y = 2 * points + torch.randn(points.shape, generator=rng)
        for start, end in zip(points, y, strict=True):
            drawn.setdefault(float(start[0]), []).append(end)
        return y

    mean, covariance = conditional_moments(
        sample, x, num_per_source=50, batch_size=batch_size, rng=make_rng(1), label="test"
    )
    assert mean.shape == (5, 2) and covariance.shape == (5, 2, 2)
    assert mean.dtype == covariance.dtype == np.float32
    for i in range(5):
        own = torch.stack(drawn[float(i)]).double()
        assert len(own) == 50
        np.testing.assert_allclose(mean[i], own.mean(0), atol=1e-5)  # kept in 32 bits
        np.testing.assert_allclose(covariance[i], np.cov(own.T), atol=1e-5)


def test_the_times_are_inside_the_interval_and_do_not_depend_on_a_grid() -> None:
    assert interior_times(4) == [0.25, 0.5, 0.75]
    assert interior_times(2) == [0.5]
    assert interior_times(0) == []


# --- the process between the points of its grid ---------------------------------------------------


def scheme_variance(t: float, times: list[float], scales: list[float], slope: float) -> float:
    """Var X_t from X_0 ~ N(0, 1) of dX = slope X_{t_k} dt + the step's noise, t_k <= t."""
    variance = 1.0
    for start, end, scale in zip(times, times[1:], scales, strict=False):
        length = min(end, t) - start
        if length <= 0:
            break
        share = length / (end - start)
        variance = (1 + slope * length) ** 2 * variance + share * scale**2
    return variance


@pytest.mark.parametrize("noise_last_step", [True, False])
@pytest.mark.parametrize("slope", [0.0, -1.5, 2.0])
@pytest.mark.parametrize(("num_steps", "power"), [(1, 1.0), (3, 1.5), (8, 1.0)])
def test_between_grid_points_the_euler_scheme_has_its_exact_variance(
    num_steps: int, power: float, slope: float, noise_last_step: bool
) -> None:
    """Without drift: 1 + epsilon t. The times lie inside steps of different lengths."""
    epsilon, n = 0.8, 20_000
    times = time_grid(num_steps, power=power)
    scales = noise_scales(times, epsilon=epsilon, noise_last_step=noise_last_step)
    moments = PathMoments(interior_times(7))
    x0 = torch.randn(n, 3, generator=make_rng(0))
    steps = EulerSteps(moments, times, scales, rng=make_rng(1))
    euler_maruyama(
        lambda t, x: slope * x,
        x0,
        epsilon=epsilon,
        num_steps=num_steps,
        power=power,
        noise_last_step=noise_last_step,
        rng=make_rng(2),
        observe=steps.from_start(x0),
    )
    found = moments.arrays()["path_covariance"]
    for t, covariance in zip(moments.times, found, strict=True):
        expected = scheme_variance(t, times, scales, slope)
        if slope == 0 and noise_last_step:
            assert expected == pytest.approx(1 + epsilon * t)
        # Three coordinates of 20 000 draws: the mean variance is known to 0.6 %.
        assert np.trace(covariance) / 3 == pytest.approx(expected, rel=0.025)


def test_at_the_points_of_the_grid_the_states_themselves_count() -> None:
    times = time_grid(4)
    scales = noise_scales(times, epsilon=1.0)
    moments, seen = PathMoments(interior_times(4)), []
    x0 = torch.randn(50, 2, generator=make_rng(0))
    watch = EulerSteps(moments, times, scales, rng=make_rng(1)).from_start(x0)

    def observe(step: int, x: Points) -> None:
        seen.append(x)
        watch(step, x)

    euler_maruyama(lambda t, x: -x, x0, epsilon=1.0, num_steps=4, rng=make_rng(2), observe=observe)
    for mean, covariance, x in zip(*list(moments.arrays().values())[1:], seen, strict=False):
        np.testing.assert_allclose(mean, x.mean(0), atol=1e-6)
        np.testing.assert_allclose(covariance, np.cov(x.double().T), atol=1e-6)


def test_all_methods_are_measured_at_the_same_times() -> None:
    benchmark = build_benchmark(GAUSSIAN, epsilon=EPSILON)
    assert isinstance(benchmark.plan, GaussianPlan)
    solvers: tuple[Any, ...] = (enot(1.0, benchmark.plan, num_steps=1), Exact(benchmark.plan))
    for solver in solvers:
        arrays = draw_samples(solver, benchmark, SETTINGS, epsilon=EPSILON, label="test")
        np.testing.assert_allclose(arrays["path_moment_t"], np.arange(1, 10) / 10, rtol=1e-6)
        assert np.isfinite(arrays["path_covariance"]).all()


# --- cBW-UVP --------------------------------------------------------------------------------------


def test_cbw_uvp_is_the_mean_of_the_single_ones() -> None:
    rng = np.random.default_rng(0)
    m = BATCH + 3  # more than one batch
    a, b = rng.normal(size=(2, m, 4, 4))
    covariance, truth = a @ a.swapaxes(1, 2), b @ b.swapaxes(1, 2)
    mean, true_mean = rng.normal(size=(2, m, 4))
    single = [
        bw_uvp(mean[i], covariance[i], true_mean[i], truth[i]) * np.trace(truth[i]) / 7.0
        for i in range(m)
    ]
    found = conditional_bw_uvp(mean, covariance, true_mean, truth, total_variance=7.0)
    assert found == pytest.approx(np.mean(single), rel=1e-9)


def test_a_shift_of_every_conditional_mean_costs_half_its_square() -> None:
    covariance = np.stack([np.eye(2), 3 * np.eye(2)])
    mean, shift = np.zeros((2, 2)), np.array([0.6, 0.8])
    value = conditional_bw_uvp(mean + shift, covariance, mean, covariance, total_variance=4.0)
    assert value == pytest.approx(100 * (1 / 2) / (4 / 2))


# --- from a solver to the metric ------------------------------------------------------------------


class Exact:
    """A solver that knows the plan; its answers are off by `shift`."""

    device = torch.device("cpu")

    def __init__(self, plan: GaussianPlan | MixturePlan, shift: float = 0.0) -> None:
        self.plan, self.shift = plan, shift

    def sample(self, x: Points, *, rng: torch.Generator) -> Points:
        return self.plan.sample_conditional(x, rng=rng) + self.shift


class ExactENOT(ENOT):
    """ENOT with the optimal drift in the place of its network's."""

    plan: GaussianPlan
    factor = 1.0

    def velocity(self, t: float, x: Points, out: torch.Tensor, *, epsilon: float) -> Points:
        return self.factor * self.plan.drift(t, x)


def measured(name: str, solver: Any, benchmark: Benchmark) -> Value:
    samples = draw_samples(solver, benchmark, SETTINGS, epsilon=EPSILON, label="test")
    evaluation = Evaluation(
        samples=samples,
        benchmark=benchmark,
        epsilon=EPSILON,
        settings=SETTINGS,
        target_digit=None,
        classifier=None,
        reference=None,
    )
    return METRIC_FUNCTIONS[name](evaluation)


@pytest.mark.parametrize("problem", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
def test_an_exact_sampler_gets_the_floor_of_cbw_uvp(problem: Any) -> None:
    benchmark = build_benchmark(problem, epsilon=EPSILON)
    assert benchmark.plan is not None
    exact = measured("cbw_uvp", Exact(benchmark.plan), benchmark)
    assert exact.n == 40 * 300 and exact.floor is not None
    assert exact.value == pytest.approx(exact.floor, rel=0.5)  # both are noise of equal size

    shifted = measured("cbw_uvp", Exact(benchmark.plan, shift=0.5), benchmark)
    total = float(benchmark.plan.target_moments.covariance.trace())
    expected = 100 * (3 * 0.5**2 / 2) / (total / 2)
    # Beside the floor: twice the product of the shift and the mean's noise, of either sign.
    assert shifted.value - expected == pytest.approx(exact.value, abs=0.1 * expected)
    assert shifted.value > 2 * exact.value


def test_the_exact_plan_gets_the_floor_of_bw_uvp_target_of_a_mixture() -> None:
    """Means included: the target's mean is not zero."""
    benchmark = build_benchmark(MIXTURE, epsilon=EPSILON)
    assert isinstance(benchmark.plan, MixturePlan)
    mean = benchmark.plan.target_moments.mean
    assert float(mean.norm()) > 0.5
    exact = measured("bw_uvp_target", Exact(benchmark.plan), benchmark)
    shifted = measured("bw_uvp_target", Exact(benchmark.plan, shift=0.5), benchmark)
    total = float(benchmark.plan.target_moments.covariance.trace())
    assert exact.floor is not None and exact.value < 0.1 and exact.floor < 0.1
    assert shifted.value == pytest.approx(100 * (3 * 0.5**2 / 2) / (total / 2), rel=0.2)


def enot(factor: float, plan: GaussianPlan, num_steps: int = 40) -> ExactENOT:
    # With this form the drift is asked of `velocity`, which ExactENOT replaces.
    settings = ENOTConfig(
        num_euler_steps=num_steps,
        time_grid_power=1.0,
        noise_last_step=True,
        drift_form="bounded_endpoint",
    )
    solver = ExactENOT((3,), settings, epsilon=EPSILON, seed=0)
    solver.plan, solver.factor = plan, factor
    return solver


def test_the_states_of_the_optimal_drift_have_the_law_of_the_bridge() -> None:
    benchmark = build_benchmark(GAUSSIAN, epsilon=EPSILON)
    assert isinstance(benchmark.plan, GaussianPlan)
    exact = measured("bw_uvp_path", enot(1.0, benchmark.plan), benchmark)
    assert exact.floor is not None and exact.floor < 0.15
    assert exact.value < 0.15 + 0.05  # noise as in the floor, and the bias of 40 Euler steps
    wrong = measured("bw_uvp_path", enot(0.5, benchmark.plan), benchmark)
    assert wrong.value > 3 * 0.2


def test_a_metric_of_the_path_keeps_its_values_at_each_time() -> None:
    """Half of the optimal drift errs the more, the later; the exact plan's bridges never do."""
    benchmark = build_benchmark(GAUSSIAN, epsilon=EPSILON)
    assert isinstance(benchmark.plan, GaussianPlan)
    wrong = measured("bw_uvp_path", enot(0.5, benchmark.plan), benchmark)
    assert [at.t for at in wrong.over_time] == [j / 10 for j in range(1, 10)]
    assert np.mean([at.value for at in wrong.over_time]) == pytest.approx(wrong.value)
    assert np.mean([at.floor for at in wrong.over_time]) == pytest.approx(wrong.floor)
    first, middle, last = (wrong.over_time[i].value for i in (0, 4, 8))
    assert first < 0.1 and 0.3 < middle < last / 2
    exact = measured("bw_uvp_path", Exact(benchmark.plan), benchmark)
    assert all(at.value < 0.15 and at.floor < 0.15 for at in exact.over_time)
    assert measured("bw_uvp_target", Exact(benchmark.plan), benchmark).over_time == ()


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.0, 0.15), (1.0, 1.0, 100.0)])
def test_other_methods_are_measured_by_the_bridges_of_their_pairs(
    shift: float, low: float, high: float
) -> None:
    benchmark = build_benchmark(GAUSSIAN, epsilon=EPSILON)
    assert benchmark.plan is not None
    value = measured("bw_uvp_path", Exact(benchmark.plan, shift=shift), benchmark)
    assert low <= value.value < high and value.n == SETTINGS.num_samples


def test_moments_change_no_other_array() -> None:
    benchmark = build_benchmark(GAUSSIAN, epsilon=EPSILON)
    without = dataclasses.replace(
        SETTINGS, num_conditional_moments=0, num_path_times=0, metrics=("cost_half_l2",)
    )
    assert isinstance(benchmark.plan, GaussianPlan)
    solvers: tuple[Any, ...] = (enot(1.0, benchmark.plan), Exact(benchmark.plan))
    for solver in solvers:
        plain, more = (
            draw_samples(solver, benchmark, settings, epsilon=EPSILON, label="test")
            for settings in (without, SETTINGS)
        )
        assert set(more) - set(plain) == {
            *("conditional_moment_x", "conditional_mean", "conditional_covariance"),
            *("path_moment_t", "path_mean", "path_covariance"),
        }
        for name, array in plain.items():
            np.testing.assert_array_equal(array, more[name])


def test_samples_of_a_mixture_hold_the_modes_of_the_exact_plan() -> None:
    benchmark = build_benchmark(MIXTURE, epsilon=EPSILON)
    assert isinstance(benchmark.plan, MixturePlan)
    solver: Any = Exact(benchmark.plan)
    arrays = draw_samples(solver, benchmark, SETTINGS, epsilon=EPSILON, label="test")
    means, weights = arrays["conditional_mode_means"], arrays["conditional_mode_weights"]
    exact = benchmark.plan.conditional_moments(torch.from_numpy(arrays["conditional_x"]))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose((weights[:, :, None] * means).sum(1), exact.mean, atol=1e-5)


# --- settings that do not fit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "metric"),
    [("num_conditional_moments", "cbw_uvp"), ("num_path_times", "bw_uvp_path")],
)
def test_a_metric_without_its_moments_is_refused(key: str, metric: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key}: found 0.*metrics asks for {metric}"):
        dataclasses.replace(SETTINGS, **{key: 0})


def test_moments_of_images_are_refused() -> None:
    source = SimpleNamespace(shape=(3, 8, 8))
    benchmark: Any = SimpleNamespace(test_source=source)
    solver: Solver = Exact(GaussianPlan(np.eye(2), np.eye(2), 1.0))  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"num_conditional_moments.*vectors only"):
        draw_samples(solver, benchmark, SETTINGS, epsilon=EPSILON, label="test")


def test_one_path_time_is_refused_because_none_is_inside() -> None:
    with pytest.raises(ConfigError, match=r"num_path_times: found 1, expected 0 or .* >= 2"):
        dataclasses.replace(SETTINGS, num_path_times=1)


def test_the_gaussians_of_these_tests_are_no_multiples_of_each_other() -> None:
    a, b = haar_covariance(3, seed=42), haar_covariance(3, seed=43)
    assert np.abs(a - b).max() > 0.1
