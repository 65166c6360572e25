"""`entropic-ot reference`: the large discrete plans that conditional samples are compared with."""

from __future__ import annotations

import time
from pathlib import Path

from entropic_ot.device import make_rng
from entropic_ot.experiments.build import build_benchmark
from entropic_ot.experiments.config import load_reference
from entropic_ot.experiments.provenance import git_state
from entropic_ot.experiments.reference_plans import save_reference_plans, solve_reference_plans


def reference(config_path: Path, out: Path) -> None:
    """Solve two independent plans and write them with a record of how well they did."""
    config = load_reference(config_path)
    problem = build_benchmark(config.problem, epsilon=config.epsilon).eot(config.epsilon)
    start = time.monotonic()
    plans = solve_reference_plans(problem, config.settings, rng=make_rng(config.settings.seed))
    seconds = time.monotonic() - start
    both = (plans.plan, plans.other)
    record = {
        **git_state(),
        "num_points": config.settings.num_points,
        "converged": [p.num_iterations < config.settings.num_iterations for p in both],
    }
    save_reference_plans(out, plans, record=record)
    print(
        f"reference {config.case} {config.name}: two plans of {len(plans.plan.support)} points, "
        f"{' and '.join(str(p.num_iterations) for p in both)} iterations in {seconds:.1f} s, "
        f"target marginals met to {' and '.join(f'{p.marginal_error:.2g}' for p in both)}",
        flush=True,
    )
