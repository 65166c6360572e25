"""`entropic-ot reference`: the large discrete plan that conditional samples are compared with."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch

from entropic_ot.device import make_rng
from entropic_ot.errors import DataError
from entropic_ot.experiments.build import as_array, build_benchmark
from entropic_ot.experiments.config import load_reference
from entropic_ot.experiments.evaluate import load_arrays
from entropic_ot.experiments.provenance import git_state
from entropic_ot.experiments.store import atomic_path
from entropic_ot.solvers.discrete_plan import DiscretePlan, solve_discrete_plan


def reference(config_path: Path, out: Path) -> None:
    """Solve and write support [J, D], potential [J], epsilon and a record of how well it did."""
    config = load_reference(config_path)
    problem = build_benchmark(config.problem, epsilon=config.epsilon).eot(config.epsilon)
    start = time.monotonic()
    plan = solve_discrete_plan(problem, config.settings, rng=make_rng(config.settings.seed))
    seconds = time.monotonic() - start
    record = {
        **git_state(),
        "marginal_error": plan.marginal_error,
        "num_iterations": plan.num_iterations,
        "num_points": config.settings.num_points,
        "converged": plan.num_iterations < config.settings.num_iterations,
    }
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            support=as_array(plan.support),
            potential=plan.potential.numpy(),
            epsilon=np.float64(plan.epsilon),
            record=np.array(json.dumps(record)),
        )
    print(
        f"reference {config.case} {config.name}: {len(plan.support)} points, "
        f"{plan.num_iterations} iterations in {seconds:.1f} s, "
        f"target marginal met to {plan.marginal_error:.2g}",
        flush=True,
    )


def load_plan(path: Path) -> DiscretePlan:
    """The plan in a file that `reference` wrote; DataError when it is missing or damaged."""
    arrays = load_arrays(path, command="reference")
    try:
        record = json.loads(str(arrays["record"]))
        return DiscretePlan(
            torch.from_numpy(arrays["support"]),
            torch.from_numpy(arrays["potential"]),
            float(arrays["epsilon"]),
            float(record["marginal_error"]),
            int(record["num_iterations"]),
        )
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {error}), expected the plan that "
            "`entropic-ot reference` writes. Delete it and run the rule again."
        ) from None
