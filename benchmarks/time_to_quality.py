"""Seconds of training until the Gaussian plan is good, for ENOT and EgNOT.

The plan of the averaged weights is compared with the closed form (bw_uvp_plan, in %) every few
steps; the seconds that this takes are not counted. What is reported is the first evaluation from
which on all are below a threshold: not the best moment of the training.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench_config import SETTINGS, QualityConfig, QualityMethod, load_settings, run_config
from entropic_ot.device import choose_device, describe_device, make_rng
from entropic_ot.errors import ConfigError, EntropicOTError
from entropic_ot.experiments.build import Benchmark, as_array, build_benchmark, build_solver
from entropic_ot.experiments.provenance import git_state
from entropic_ot.experiments.sample import sample_all
from entropic_ot.files import atomic_path
from entropic_ot.metrics.bures import bw_uvp_of_samples
from entropic_ot.problems.gaussian import GaussianPlan
from entropic_ot.solvers.base import Solver
from entropic_ot.strict import nearest
from measure import synchronise

COLUMNS = (
    *("method", "step", "train_seconds", "bw_uvp_plan", "floor", "num_samples"),
    *("device", "threads", "commit", "torch"),
)
EVALUATION_SEED = 12345


@dataclass(frozen=True)
class Point:
    """One evaluation."""

    step: int
    seconds: float
    """Of training, evaluations left out."""
    bw_uvp_plan: float


def time_below(points: Sequence[Point], threshold: float) -> float | None:
    """Training seconds at the first evaluation from which on all are below `threshold`."""
    reached = None
    for point in points:
        if not point.bw_uvp_plan < threshold:  # also when it is not a number
            reached = None
        elif reached is None:
            reached = point.seconds
    return reached


def plan_error(
    solver: Solver, benchmark: Benchmark, method: QualityMethod, *, exact: bool = False
) -> float:
    """bw_uvp_plan of the solver's averaged weights, or of an exact sampler (the floor)."""
    assert isinstance(benchmark.plan, GaussianPlan)
    rng = make_rng(EVALUATION_SEED, solver.device)
    x = benchmark.test_source.sample(method.num_samples, rng=rng)
    if exact:
        y = benchmark.plan.sample_conditional(x, rng=rng)
    else:
        y = sample_all(solver.sample, x, rng=rng, batch_size=method.batch_size, label="evaluation")
    truth = benchmark.plan.joint_covariance
    pairs = np.concatenate([as_array(x), as_array(y)], axis=1)
    return bw_uvp_of_samples(pairs, np.zeros(len(truth)), truth)


def train(name: str, config: QualityConfig, device: torch.device) -> tuple[list[Point], float]:
    """The evaluations of one training, and the floor."""
    method = config.methods[name]
    benchmark = build_benchmark(config.data, epsilon=config.epsilon)
    run = run_config(name, method.preset, method.settings, epsilon=config.epsilon, seed=config.seed)
    solver = build_solver(run, benchmark.source.shape, device=device)
    problem, rng = benchmark.eot(config.epsilon), make_rng(config.seed, device)
    floor = plan_error(solver, benchmark, method, exact=True)
    points, seconds = [], 0.0
    for start in range(0, method.num_steps, method.evaluate_every):
        stop = min(start + method.evaluate_every, method.num_steps)
        synchronise(device)
        began = time.perf_counter()
        for step in range(start, stop):
            solver.step(problem, rng=rng, progress=step / method.num_steps)
        synchronise(device)
        seconds += time.perf_counter() - began
        points.append(Point(stop, seconds, plan_error(solver, benchmark, method)))
        _say(
            f"{name}: step {stop}/{method.num_steps}, {seconds:.1f} s of training, "
            f"bw_uvp_plan {points[-1].bw_uvp_plan:.3g} % (floor {floor:.2g} %)"
        )
    return points, floor


def write(
    path: Path,
    results: dict[str, tuple[list[Point], float]],
    shared: dict[str, object],
    num_samples: dict[str, int],
) -> None:
    """One row an evaluation, tidy."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name, (points, floor) in results.items():
            for p in points:
                writer.writerow(
                    {
                        "method": name,
                        "step": p.step,
                        "train_seconds": f"{p.seconds:.4g}",
                        "bw_uvp_plan": f"{p.bw_uvp_plan:.4g}",
                        "floor": f"{floor:.4g}",
                        "num_samples": num_samples[name],
                        **shared,
                    }
                )


def run(args: argparse.Namespace) -> None:
    """Train each chosen method, print its times, write all evaluations."""
    config = load_settings(args.settings).time_to_quality
    names = args.only or list(config.methods)
    for name in names:
        if name not in config.methods:
            raise ConfigError(f"--only: unknown method {name!r}; {nearest(name, config.methods)}")
    device = choose_device("auto")
    results = {name: train(name, config, device) for name in names}
    state = git_state()
    shared: dict[str, object] = {
        "device": describe_device(device).rsplit(", ", 1)[0],
        "threads": torch.get_num_threads(),
        "commit": f"{(state['commit'] or 'unknown')[:10]}{'+' if state['dirty'] else ''}",
        "torch": torch.__version__,
    }
    write(args.out, results, shared, {name: config.methods[name].num_samples for name in names})
    for name, (points, floor) in results.items():
        for threshold in config.thresholds:
            seconds = time_below(points, threshold)
            reached = "not reached" if seconds is None else f"{seconds:.1f} s of training"
            print(f"{name}: bw_uvp_plan below {threshold:g} % and staying there: {reached}")
        print(f"{name}: last value {points[-1].bw_uvp_plan:.3g} %, floor {floor:.2g} %")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(words: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/time_to_quality.py",
        description=__doc__,
        epilog="Its settings: `time_to_quality` in benchmarks/settings.yaml.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="enot, egnot or both")
    parser.add_argument("--out", type=Path, default=Path("results/time_to_quality.csv"))
    parser.add_argument("--settings", type=Path, default=SETTINGS, metavar="PATH")
    try:
        run(parser.parse_args(words))
    except EntropicOTError as error:
        _say(f"benchmarks/time_to_quality.py: error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
