"""A large discrete plan as a stand-in for the truth where no closed form is known.

Sinkhorn between many points, with kernels instead of logarithms (40 times fewer operations), which
three devices keep stable and fast: epsilon falls in steps (Schmitzer 2019), scalings are absorbed
into the potentials (Chizat et al. 2018), and updates are over-relaxed (Thibault et al. 2021).
The plan is extended to any x as the Sinkhorn baseline's is (Pooladian and Niles-Weed 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from entropic_ot.errors import EntropicOTError
from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.config import DiscretePlanConfig
from entropic_ot.solvers.sinkhorn import (
    WARM_UP_ITERATIONS,
    decreasing,
    half_squared_distances,
)
from entropic_ot.types import Points

ABSORB_ABOVE = 50.0
"""Largest |log| of a scaling; the product of two stays far from the range of float64, e^709."""
NUM_PLAIN = 5
"""Updates without over-relaxation after each change of epsilon."""
CHECK_EVERY = 20


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
        cost = half_squared_distances(x, self.support)
        return ((self.potential - cost) / self.epsilon).softmax(1)

    def sample_conditional(self, x: Points, *, rng: torch.Generator) -> Points:
        return self.support[torch.multinomial(self.weights(x), 1, generator=rng)[:, 0]]


def solve_discrete_plan(
    problem: EOTProblem, config: DiscretePlanConfig, *, rng: torch.Generator
) -> DiscretePlan:
    """The plan between `num_points` draws of either side; needs epsilon > 0 and a CPU rng."""
    x = problem.source.sample(config.num_points, rng=rng)
    y = problem.target.sample(config.num_points, rng=rng)
    cost, epsilon = half_squared_distances(x, y), problem.epsilon
    f, g = torch.zeros(2, config.num_points, dtype=torch.float64)
    iterations = 0
    for level in decreasing(float(cost.max()), epsilon):
        last = level == epsilon
        limit = config.num_iterations if last else WARM_UP_ITERATIONS
        relaxation = config.over_relaxation if last else 1.0
        f, g, iterations = _scale(
            cost, f, g, level, limit=limit, relaxation=relaxation, tolerance=config.tolerance
        )
    if not g.isfinite().all():
        raise EntropicOTError(
            f"reference: the dual potential is not finite at epsilon = {epsilon}; "
            "lower reference.over_relaxation, or raise epsilon"
        )
    return DiscretePlan(y, g, epsilon, _marginal_error(cost, g, epsilon), iterations)


def _marginal_error(cost: torch.Tensor, g: torch.Tensor, epsilon: float) -> float:
    share = torch.zeros_like(g)
    for rows in cost.split(1024):
        share += ((g - rows) / epsilon).softmax(1).sum(0) / len(cost)
    return float((share - 1 / len(share)).abs().sum())


def _scale(
    cost: torch.Tensor,
    f: torch.Tensor,
    g: torch.Tensor,
    epsilon: float,
    *,
    limit: int,
    relaxation: float,
    tolerance: float,
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """(f, g, iterations) after Sinkhorn at one epsilon, started from f and g."""
    uniform = 1 / len(cost)
    kernel = _kernel(cost, f, g, epsilon)
    u, v = torch.ones(2, len(cost), dtype=torch.float64)
    for k in range(limit):
        power = relaxation if k >= NUM_PLAIN else 1.0
        exact = uniform / (kernel.T @ u)
        # v / exact is the ratio of the plan's target marginal to the uniform one.
        if k and k % CHECK_EVERY == 0 and float((v / exact - 1).abs().mean()) < tolerance:
            limit = k
            break
        v = v * (exact / v) ** power
        u = u * (uniform / (kernel @ v) / u) ** power
        if k % NUM_PLAIN == 0 and float(torch.cat([u, v]).log().abs().max()) > ABSORB_ABOVE:
            f, g = f + epsilon * u.log(), g + epsilon * v.log()
            kernel = _kernel(cost, f, g, epsilon)
            u, v = torch.ones(2, len(cost), dtype=torch.float64)
    return f + epsilon * u.log(), g + epsilon * v.log(), limit


def _kernel(cost: torch.Tensor, f: torch.Tensor, g: torch.Tensor, epsilon: float) -> torch.Tensor:
    return (f[:, None] + g).sub_(cost).div_(epsilon).exp_()  # in place: it is a large matrix
