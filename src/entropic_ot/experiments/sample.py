"""From a trained solver to the arrays that metrics and figures read."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from entropic_ot import distributed
from entropic_ot.device import make_rng
from entropic_ot.dynamics.euler_maruyama import noise_scales, time_grid
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.build import Benchmark, LatentSide, as_array
from entropic_ot.experiments.config import SamplingConfig
from entropic_ot.experiments.moments import (
    EulerSteps,
    PathMoments,
    Sampler,
    bridge_moments,
    conditional_moments,
    interior_times,
)
from entropic_ot.generators.latent_space import in_batches
from entropic_ot.problems.base import Distribution, FiniteDistribution
from entropic_ot.problems.mixture import MixturePlan
from entropic_ot.progress import Progress
from entropic_ot.solvers.base import Solver
from entropic_ot.solvers.egnot import EgNOT
from entropic_ot.solvers.enot import ENOT
from entropic_ot.types import Points

NUM_BRIDGE_STEPS = 10
"""Steps of the bridges that stand for the paths of methods without a process."""
MOMENT_SEED, PATH_SEED, GENERATED_SEED, LATENT_TARGET_SEED = 1, 2, 3, 4
"""Added to the evaluation's seed: draws of their own, which leave all other arrays as they are.
Those of a generator are the same for all runs, whatever numbers their solvers have used."""
NO_IMAGES = ("latent_y", "latent_target")


def test_points(distribution: Distribution, n: int, *, rng: torch.Generator) -> Points:
    """The first n rows of a finite test set (all, if it has fewer), or n fresh draws."""
    if isinstance(distribution, FiniteDistribution):
        rows = torch.arange(min(n, len(distribution)), device=rng.device)
        return distribution.at(rows)
    return distribution.sample(n, rng=rng)


def sample_all(
    sample: Sampler, x: Points, *, rng: torch.Generator, batch_size: int, label: str
) -> Points:
    """`sample` over x in batches, with progress."""
    parts = []
    progress = Progress(label, len(x), show=distributed.shown())
    for batch in x.split(batch_size):
        parts.append(sample(batch, rng=rng))
        progress.update(sum(map(len, parts)))
    return torch.cat(parts)


def shared(solver: Solver) -> Sampler:
    """`sample`, each process its rows of a batch; all have all samples afterwards."""
    if distributed.world_size() == 1 or not isinstance(solver, ENOT | EgNOT):
        return solver.sample

    def sample(x: Points, *, rng: torch.Generator) -> Points:
        rows = distributed.rows(len(x))
        return rows.gather(solver.sample(rows.own(x), rng=rng, rows=rows))

    return sample


def draw_samples(
    solver: Solver,
    benchmark: Benchmark,
    config: SamplingConfig,
    *,
    epsilon: float,
    label: str,
) -> dict[str, np.ndarray]:
    """The arrays of samples.npz; the random numbers depend on the evaluation's seed alone.

    Several processes share the sampling, but not that of a path whose moments are asked for.

    x, y [n, *dim]: pairs of the learned plan for test points x.
    target [n', *dim]: test points of the target. conditional_x [m, *dim] and
    conditional_y [m, k, *dim]: k samples for each of the first m test points.
    path [T + 1, p, *dim] at the times path_t [T + 1]: the learned SDE from the first p test
    points (ENOT), or the Brownian bridge between the first p sampled pairs (other methods).
    With `num_path_times`: mean path_mean [T', D] and covariance path_covariance [T', D, D] of X_t
    at the times path_moment_t [T'] = j / num_path_times, 0 < j < num_path_times, over all n pairs:
    of the process that drew y (ENOT), or of bridges between x and y.
    With `num_conditional_moments`: conditional_mean [m', D] and conditional_covariance [m', D, D]
    of y given each row of conditional_moment_x [m', D].
    For a latent problem x, y, target, path and the conditional arrays are images (path in the space
    w only), `latent_y` [n, dim] are the sampled latents behind y, `latent_target` [n, dim]
    draws of the target that the solver sees, and `generated` [n, *dim] images G(z), z ~ N(0, I),
    the same in all runs of the same n and seed.
    For a mixture: the exact plan's component means conditional_mode_means [m, K, D] and weights
    conditional_mode_weights [m, K] given each row of conditional_x.
    """
    if len(benchmark.test_source.shape) != 1 or benchmark.latent is not None:
        for key in ("num_conditional_moments", "num_path_times"):
            if getattr(config, key):
                raise ConfigError(
                    f"evaluation.{key}: found {getattr(config, key)} for points of shape "
                    f"{benchmark.test_source.shape}, expected 0: moments are kept of vectors only"
                )
    rng = make_rng(config.seed, solver.device)
    x = test_points(benchmark.test_source, config.num_samples, rng=rng)
    target = test_points(benchmark.test_target, config.num_samples, rng=rng)
    path_moments = PathMoments(interior_times(config.num_path_times))
    sample = _observed(solver, path_moments, config)
    y = sample_all(sample, x, rng=rng, batch_size=config.batch_size, label=f"{label} plan")
    few = x[: config.num_conditional]
    repeated = few.repeat_interleave(config.num_per_source, dim=0)
    many = sample_all(
        shared(solver),
        repeated,
        rng=rng,
        batch_size=config.batch_size,
        label=f"{label} conditional",
    )
    arrays = {
        "x": x,
        "y": y,
        "target": target,
        "conditional_x": few,
        "conditional_y": many.reshape(len(few), config.num_per_source, *y.shape[1:]),
    }
    if x.shape == y.shape:
        few_x, few_y = x[: config.num_paths], y[: config.num_paths]
        arrays["path"] = _path(solver, few_x, few_y, rng=rng, epsilon=epsilon)
    if benchmark.latent is not None:
        arrays = _decoded(arrays, benchmark, benchmark.latent, config, device=solver.device)
    out = {name: as_array(points) for name, points in arrays.items()}
    if arrays["y"].dim() == 4:  # images: 16 bits are enough for figures and metrics
        images = {name: array for name, array in out.items() if name not in NO_IMAGES}
        out |= {name: array.astype(np.float16) for name, array in images.items()}
    times = solver.times if isinstance(solver, ENOT) else time_grid(NUM_BRIDGE_STEPS)
    out["path_t"] = np.array(times, dtype=np.float32)
    if config.num_path_times:
        if not isinstance(solver, ENOT):
            rng = make_rng(config.seed + PATH_SEED, solver.device)
            bridge_moments(
                x, y, path_moments, epsilon=epsilon, batch_size=config.batch_size, rng=rng
            )
        out |= path_moments.arrays()
    if isinstance(benchmark.plan, MixturePlan):
        out["conditional_mode_means"] = as_array(benchmark.plan.conditional_means(few))
        out["conditional_mode_weights"] = as_array(benchmark.plan.conditional_weights(few))
    if config.num_conditional_moments:
        out |= _conditional_moments(solver, benchmark, config, label=label)
    return out


def _decoded(
    arrays: dict[str, Points],
    benchmark: Benchmark,
    latent: LatentSide,
    config: SamplingConfig,
    *,
    device: torch.device,
) -> dict[str, Points]:
    """The images behind the points of a latent problem, and what they are compared with."""
    n, few = len(arrays["x"]), len(arrays["conditional_x"])
    rows, batch_size = torch.arange(n, device=device), config.batch_size

    def images(points: Points, num_leading: int) -> Points:
        flat = in_batches(latent.decode, points.flatten(0, num_leading - 1), batch_size=batch_size)
        return flat.reshape(*points.shape[:num_leading], *flat.shape[1:])

    # Drawn on the CPU, whose numbers are the same beside every device.
    z = torch.randn(n, latent.z_dim, generator=make_rng(config.seed + GENERATED_SEED))
    own_rng = make_rng(config.seed + LATENT_TARGET_SEED, device)

    source = latent.source_images
    assert isinstance(source, FiniteDistribution)
    out = {
        "x": source.at(rows),
        "y": images(arrays["y"], 1),
        "latent_y": arrays["y"],
        "latent_target": benchmark.target.sample(n, rng=own_rng),
        "target": test_points(latent.target_images, n, rng=own_rng),
        "generated": in_batches(latent.generator, z.to(device), batch_size=batch_size),
        "conditional_x": source.at(rows[:few]),
        "conditional_y": images(arrays["conditional_y"], 2),
    }
    if "path" in arrays:
        out["path"] = images(arrays["path"], 2)
    return out


def _observed(solver: Solver, moments: PathMoments, config: SamplingConfig) -> Sampler:
    """`sample`; that of ENOT adds the states of its process to the moments."""
    if not isinstance(solver, ENOT) or not config.num_path_times:
        return shared(solver)
    scales = noise_scales(
        solver.times, epsilon=solver.epsilon, noise_last_step=solver.config.noise_last_step
    )
    rng = make_rng(config.seed + PATH_SEED, solver.device)
    steps = EulerSteps(moments, solver.times, scales, rng=rng)

    def sample(x: Points, *, rng: torch.Generator) -> Points:
        return solver.sample(x, rng=rng, observe=steps.from_start(x.to(solver.device)))

    return sample


def _conditional_moments(
    solver: Solver, benchmark: Benchmark, config: SamplingConfig, *, label: str
) -> dict[str, np.ndarray]:
    rng = make_rng(config.seed + MOMENT_SEED, solver.device)
    x = test_points(benchmark.test_source, config.num_conditional_moments, rng=rng)
    mean, covariance = conditional_moments(
        shared(solver),
        x,
        num_per_source=config.num_per_moment,
        batch_size=config.batch_size,
        rng=rng,
        label=f"{label} moments",
    )
    return {
        "conditional_moment_x": as_array(x),
        "conditional_mean": mean,
        "conditional_covariance": covariance,
    }


def _path(
    solver: Solver, x: Points, y: Points, *, rng: torch.Generator, epsilon: float
) -> torch.Tensor:
    if isinstance(solver, ENOT):
        return solver.path(x, rng=rng)
    return brownian_bridge(x, y, num_steps=NUM_BRIDGE_STEPS, epsilon=epsilon, rng=rng)


def brownian_bridge(
    x: Points, y: Points, *, num_steps: int, epsilon: float, rng: torch.Generator
) -> torch.Tensor:
    """States [num_steps + 1, batch, *dim] of the bridge of variance epsilon from x to y."""
    states, times = [x], np.linspace(0, 1, num_steps + 1)
    for t, t_next in itertools.pairwise(times[:-1]):
        share = (t_next - t) / (1 - t)
        variance = epsilon * (t_next - t) * (1 - t_next) / (1 - t)
        noise = torch.randn(x.shape, generator=rng, device=x.device)
        states.append(states[-1] + share * (y - states[-1]) + variance**0.5 * noise)
    return torch.stack([*states, y])
