"""A large discrete plan as a stand-in for the truth where no closed form is known.

Sinkhorn between many points, extended to any x as the Sinkhorn baseline's plan is (Pooladian and
Niles-Weed 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from entropic_ot.errors import EntropicOTError
from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.config import DiscretePlanConfig
from entropic_ot.solvers.scaling import (
    conditional_weights,
    draw,
    dual_potentials,
    half_squared_distances,
    marginal_error,
)
from entropic_ot.types import Points


@dataclass(frozen=True)
class DiscretePlan:
    """pi(y_j | x) proportional to exp((g_j - c(x, y_j)) / epsilon) over support points y_j."""

    support: Points
    """y_j, [J, D]."""
    potential: torch.Tensor
    """g_j, [J] in float64."""
    epsilon: float
    marginal_error: float
    """sum_j |share of y_j in the plan's target marginal - 1/J|, with exact source marginal."""
    num_iterations: int
    """Iterations at the last epsilon."""

    def weights(self, x: Points) -> torch.Tensor:
        """pi(y_j | x) for each row of x [n, D], [n, J] in float64; rows sum to 1."""
        return conditional_weights(x, self.support, self.potential, self.epsilon)

    def sample_conditional(self, x: Points, *, rng: torch.Generator) -> Points:
        return self.support[draw(self.weights(x), rng=rng)]


def solve_discrete_plan(
    problem: EOTProblem, config: DiscretePlanConfig, *, rng: torch.Generator
) -> DiscretePlan:
    """The plan between `num_points` draws of either side; needs epsilon > 0 and a CPU rng."""
    x = problem.source.sample(config.num_points, rng=rng)
    y = problem.target.sample(config.num_points, rng=rng)
    cost, epsilon = half_squared_distances(x, y), problem.epsilon
    _, g, iterations = dual_potentials(
        cost,
        epsilon,
        num_iterations=config.num_iterations,
        tolerance=config.tolerance,
        over_relaxation=config.over_relaxation,
    )
    if not g.isfinite().all():
        raise EntropicOTError(
            f"reference: the dual potential is not finite at epsilon = {epsilon}; "
            "lower reference.over_relaxation, or raise epsilon"
        )
    return DiscretePlan(y, g, epsilon, marginal_error(cost, g, epsilon), iterations)
