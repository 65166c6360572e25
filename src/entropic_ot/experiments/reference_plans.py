"""Two independent large discrete plans: a stand-in for the truth, and what shows its error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from entropic_ot.errors import DataError
from entropic_ot.experiments.build import as_array
from entropic_ot.experiments.store import load_arrays
from entropic_ot.files import atomic_path
from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.config import DiscretePlanConfig
from entropic_ot.solvers.discrete_plan import DiscretePlan, solve_discrete_plan


@dataclass(frozen=True)
class ReferencePlans:
    """Plans of the same problem and size between independent draws of its points."""

    plan: DiscretePlan
    """What samples are compared with."""
    other: DiscretePlan
    """Its distance to `plan` is that between two estimates of the truth with as many points."""


def solve_reference_plans(
    problem: EOTProblem, config: DiscretePlanConfig, *, rng: torch.Generator
) -> ReferencePlans:
    """Both plans, the second between the draws that follow those of the first."""
    first = solve_discrete_plan(problem, config, rng=rng)
    return ReferencePlans(first, solve_discrete_plan(problem, config, rng=rng))


def save_reference_plans(path: Path, plans: ReferencePlans, *, record: dict[str, Any]) -> None:
    """support [2, J, D], potential [2, J], epsilon, marginal_error [2], num_iterations [2]."""
    both = (plans.plan, plans.other)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            support=np.stack([as_array(plan.support) for plan in both]),
            potential=np.stack([plan.potential.numpy() for plan in both]),
            epsilon=np.float64(plans.plan.epsilon),
            marginal_error=np.array([plan.marginal_error for plan in both]),
            num_iterations=np.array([plan.num_iterations for plan in both]),
            record=np.array(json.dumps(record)),
        )


def load_reference_plans(path: Path) -> ReferencePlans:
    """What `save_reference_plans` wrote; DataError when it is missing, damaged or of one plan."""
    arrays = load_arrays(path, command="reference")
    try:
        if arrays["support"].ndim != 3 or len(arrays["support"]) != 2:
            raise ValueError(f"support has shape {list(arrays['support'].shape)}, not [2, J, D]")
        first, second = (_plan(arrays, number) for number in range(2))
    except (KeyError, ValueError, IndexError) as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {error}), expected the two plans "
            "that `entropic-ot reference` writes. Delete it and run the rule again."
        ) from None
    return ReferencePlans(first, second)


def _plan(arrays: dict[str, np.ndarray], number: int) -> DiscretePlan:
    return DiscretePlan(
        torch.from_numpy(arrays["support"][number]),
        torch.from_numpy(arrays["potential"][number]),
        float(arrays["epsilon"]),
        float(arrays["marginal_error"][number]),
        int(arrays["num_iterations"][number]),
    )
