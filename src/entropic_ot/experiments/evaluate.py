"""Metrics of one run's samples: a value and, where it is known, what an exact sampler gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from entropic_ot.device import make_rng
from entropic_ot.experiments.build import as_array
from entropic_ot.experiments.evaluate_images import IMAGE_METRIC_FUNCTIONS
from entropic_ot.experiments.evaluation import FLOOR_SEED, AtTime, Evaluation, Value
from entropic_ot.experiments.moments import PathMoments, bridge_moments, conditional_moments
from entropic_ot.metrics.bures import bw_uvp, bw_uvp_of_samples, conditional_bw_uvp
from entropic_ot.metrics.energy_distance import (
    energy_distance,
    energy_distance_to_weighted,
    spread_of_exact_samples,
)
from entropic_ot.metrics.plan import conditional_variance, cost_half_l2, mode_shares
from entropic_ot.problems.gaussian import GaussianPlan
from entropic_ot.problems.toy import EightGaussians

CHUNK = 64
"""Points x whose exact conditional covariances are computed at once."""


def _bw_uvp_plan(e: Evaluation) -> Value:
    plan = e.benchmark.plan
    assert isinstance(plan, GaussianPlan)
    x, truth = torch.from_numpy(e["x"]), plan.joint_covariance
    zero = np.zeros(len(truth))
    exact = plan.sample_conditional(x, rng=make_rng(FLOOR_SEED))
    value = bw_uvp_of_samples(np.concatenate([e["x"], e["y"]], axis=1), zero, truth)
    floor = bw_uvp_of_samples(np.concatenate([e["x"], as_array(exact)], axis=1), zero, truth)
    return Value(value, floor, len(x))


def _bw_uvp_target(e: Evaluation) -> Value:
    plan = e.benchmark.plan
    assert plan is not None
    truth = plan.target_moments
    mean, covariance = truth.mean.numpy(), truth.covariance.numpy()
    floor = bw_uvp_of_samples(e.fresh_target(len(e["y"])), mean, covariance)
    return Value(bw_uvp_of_samples(e["y"], mean, covariance), floor, len(e["y"]))


def _bw_uvp_path(e: Evaluation) -> Value:
    plan = e.benchmark.plan
    assert isinstance(plan, GaussianPlan)
    n, rng = len(e["x"]), make_rng(FLOOR_SEED)
    moments = PathMoments([float(t) for t in e["path_moment_t"]])
    x = e.benchmark.test_source.sample(n, rng=rng)
    y = plan.sample_conditional(x, rng=rng)
    bridge_moments(x, y, moments, epsilon=e.epsilon, batch_size=e.settings.batch_size, rng=rng)
    values, floors = _bw_uvp_at_times(plan, e.samples), _bw_uvp_at_times(plan, moments.arrays())
    parts = zip(moments.times, values, floors, strict=True)
    over_time = tuple(AtTime(round(t, 6), value, floor) for t, value, floor in parts)
    return Value(float(np.mean(values)), float(np.mean(floors)), n, over_time=over_time)


def _bw_uvp_at_times(plan: GaussianPlan, arrays: Mapping[str, np.ndarray]) -> list[float]:
    """BW-UVP of X_t, whose mean is zero, at each of the times of PathMoments.arrays."""
    names = ("path_moment_t", "path_mean", "path_covariance")
    columns = [arrays[name].astype(np.float64) for name in names]
    return [
        bw_uvp(mean, covariance, np.zeros_like(mean), plan.marginal_covariance(float(t)))
        for t, mean, covariance in zip(*columns, strict=True)
    ]


def _cbw_uvp(e: Evaluation) -> Value:
    plan, settings = e.benchmark.plan, e.settings
    assert plan is not None
    x = torch.from_numpy(e["conditional_moment_x"])
    floor = conditional_moments(
        plan.sample_conditional,
        x,
        num_per_source=settings.num_per_moment,
        batch_size=settings.batch_size,
        rng=make_rng(FLOOR_SEED),
        label="exact plan",
    )
    exact = [plan.conditional_moments(part) for part in x.split(CHUNK)]
    true_mean = torch.cat([moments.mean for moments in exact]).numpy()
    true_covariance = torch.cat([moments.covariance for moments in exact]).numpy()
    total_variance = float(plan.target_moments.covariance.trace())

    def uvp(mean: np.ndarray, covariance: np.ndarray) -> float:
        return conditional_bw_uvp(mean, covariance, true_mean, true_covariance, total_variance)

    value = uvp(e["conditional_mean"], e["conditional_covariance"])
    return Value(value, uvp(*floor), len(x) * settings.num_per_moment)


def _energy_distance(e: Evaluation) -> Value:
    """The floor is 0, as the value is unbiased; its spread is that of an exact sampler's values."""
    if e.benchmark.msci is not None:
        cells = e.benchmark.msci
        y, target = _msci_bridge(e, e["y"]) * cells.scale, cells.evaluation * cells.scale
        exact = target
    else:
        y, target = e["y"].reshape(len(e["y"]), -1), e["target"].reshape(len(e["target"]), -1)
        finite = hasattr(e.benchmark.test_target, "__len__")
        exact = target if finite else e.fresh_target(len(y)).reshape(len(y), -1)
    value = energy_distance(y, target)
    spread = spread_of_exact_samples(
        exact, len(y), len(target), rng=np.random.default_rng(FLOOR_SEED)
    )
    return Value(value, 0.0, len(y), spread)


def _latent_energy_distance(e: Evaluation) -> Value:
    """Between the latents of the outputs and as many draws of the target that the solver saw."""
    y, target = e["latent_y"], e["latent_target"]
    spread = spread_of_exact_samples(
        target, len(y), len(target), rng=np.random.default_rng(FLOOR_SEED)
    )
    return Value(energy_distance(y, target), 0.0, len(y), spread)


def _conditional_energy_distance(e: Evaluation) -> Value:
    """The floor: as many draws from another plan, so both plans' own errors are in it."""
    assert e.reference is not None
    plan, other = e.reference.plan, e.reference.other
    x, y = torch.from_numpy(e["conditional_x"]), e["conditional_y"]
    rows = torch.multinomial(
        other.weights(x), y.shape[1], replacement=True, generator=make_rng(FLOOR_SEED)
    )
    support, weights = as_array(plan.support), plan.weights(x).numpy()
    return Value(
        energy_distance_to_weighted(y, support, weights),
        energy_distance_to_weighted(as_array(other.support[rows]), support, weights),
        y.shape[0] * y.shape[1],
    )


def _msci_bridge(e: Evaluation, y: np.ndarray) -> np.ndarray:
    """Points of the Brownian bridge between x and y at the held-out day, in scaled space."""
    cells = e.benchmark.msci
    assert cells is not None
    t = cells.time
    noise = np.random.default_rng(FLOOR_SEED).standard_normal(y.shape).astype(np.float32)
    return (1 - t) * e["x"] + t * y + np.sqrt(e.epsilon * t * (1 - t)) * noise


def _energy_distance_independent(e: Evaluation) -> Value:
    cells = e.benchmark.msci
    assert cells is not None
    rows = np.random.default_rng(FLOOR_SEED + 1).integers(len(cells.target), size=len(e["x"]))
    bridge = _msci_bridge(e, cells.target[rows])
    value = energy_distance(bridge * cells.scale, cells.evaluation * cells.scale)
    return Value(value, None, len(bridge))


def _share_of_modes(e: Evaluation, choose: Callable[[np.ndarray], float]) -> Value:
    target = e.benchmark.target
    assert isinstance(target, EightGaussians)
    centres, radius = target.centres().numpy(), 3 * target.std
    exact = mode_shares(e.fresh_target(len(e["y"])), centres, radius=radius)
    return Value(choose(mode_shares(e["y"], centres, radius=radius)), choose(exact), len(e["y"]))


def _conditional_variance(e: Evaluation) -> Value:
    y = e["conditional_y"]
    return Value(conditional_variance(y), None, y.shape[0] * y.shape[1])


METRIC_FUNCTIONS: dict[str, Callable[[Evaluation], Value]] = {
    "bw_uvp_plan": _bw_uvp_plan,
    "bw_uvp_target": _bw_uvp_target,
    "bw_uvp_path": _bw_uvp_path,
    "cbw_uvp": _cbw_uvp,
    "energy_distance": _energy_distance,
    "conditional_energy_distance": _conditional_energy_distance,
    "latent_energy_distance": _latent_energy_distance,
    "energy_distance_independent": _energy_distance_independent,
    "share_of_modes_min": lambda e: _share_of_modes(e, lambda shares: float(shares.min())),
    "share_of_modes_max": lambda e: _share_of_modes(e, lambda shares: float(shares.max())),
    "conditional_variance": _conditional_variance,
    "cost_half_l2": lambda e: Value(cost_half_l2(e["x"], e["y"]), None, len(e["y"])),
    **IMAGE_METRIC_FUNCTIONS,
}
