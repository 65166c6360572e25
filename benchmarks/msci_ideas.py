"""What ENOT's settings do to single cells (MSCI) in 100 dimensions, at the held-out day.

Each idea changes one thing of the runs of scale paper; both settings, the metric of the
tables (`energy_distance`), the mean over the settings for each seed. Needs the single cells (see
docs/data.md). The outcome stands in docs/decisions/0015.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import Any

import numpy as np

from entropic_ot.device import choose_device
from entropic_ot.experiments.build import build_run
from entropic_ot.experiments.config import EvaluationConfig, RunConfig
from entropic_ot.experiments.evaluate import METRIC_FUNCTIONS
from entropic_ot.experiments.evaluation import Evaluation
from entropic_ot.experiments.fit import fit
from entropic_ot.experiments.params import load_params
from entropic_ot.experiments.sample import draw_samples
from entropic_ot.experiments.statistics import mean_over_seeds, with_half_width

IDEAS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "twice the steps": {"num_steps": 800},
    "twice the batch": {"batch_size": 1024},
    "longer average": {"ema_decay": 0.99},
    "20 Euler steps": {"num_euler_steps": 20},
}
"""Name -> what is changed; num_steps is of the run, the rest of the solver."""


def changed(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    """The run with these settings."""
    changes = dict(changes)
    steps = changes.pop("num_steps", config.num_steps)
    solver = dataclasses.replace(config.solver, **changes)
    return dataclasses.replace(config, num_steps=steps, solver=solver)


def distance(config: RunConfig, evaluation: EvaluationConfig, label: str) -> tuple[float, float]:
    """(energy distance at the held-out day, seconds of training) of one run."""
    benchmark, solver = build_run(config, device=choose_device(config.compute.device))
    problem = benchmark.eot(config.epsilon)
    seconds = fit(
        solver, problem, steps=config.num_steps, seed=config.seed, label=label, show=lambda _: None
    )
    sampling = dataclasses.replace(evaluation.sampling, num_conditional=1, num_per_source=2)
    samples = draw_samples(solver, benchmark, sampling, epsilon=config.epsilon, label=label)
    value = METRIC_FUNCTIONS["energy_distance"](
        Evaluation(samples, benchmark, config.epsilon, evaluation)
    )
    return value.value, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=IDEAS, default=list(IDEAS), help="these ideas")
    parser.add_argument("--seeds", type=int, default=5, help="the first so many")
    args = parser.parse_args()
    params = load_params("params.yaml", scale="paper")
    runs = [
        run.config
        for run in params.runs
        if run.case.startswith("msci-d100")
        and run.config.method == "enot"
        and run.config.seed < args.seeds
    ]
    if not runs:
        sys.exit("no single cells: docs/data.md says where to put them")
    for idea in args.only:
        by_seed: dict[int, list[float]] = {}
        times = []
        for run in runs:
            config = changed(run, IDEAS[idea])
            value, seconds = distance(config, params.evaluations[run.case], f"{idea} {run.name}")
            by_seed.setdefault(config.seed, []).append(value)
            times.append(seconds)
            print(f"  {idea}, {run.case}, seed {config.seed}: {value:.4f}, {seconds:.0f} s")
        found = mean_over_seeds([float(np.mean(values)) for values in by_seed.values()])
        shown = with_half_width(found.mean, found.half_width or 0.0)
        print(f"{idea}: {shown}, {min(times):.0f} to {max(times):.0f} s", flush=True)


if __name__ == "__main__":
    main()
