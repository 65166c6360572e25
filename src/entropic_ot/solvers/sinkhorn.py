"""Sinkhorn: discrete entropic OT between two samples, extended to new source points.

The baseline that a user would pick. With the dual variables v of the discrete plan, the
conditional plan of any x is pi(y_j | x) proportional to v_j exp(-c(x, y_j) / epsilon)
(Pooladian and Niles-Weed, 2021); epsilon = 0 takes the argmax with the exact dual potential.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from entropic_ot.errors import EntropicOTError
from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.config import SinkhornConfig
from entropic_ot.solvers.scaling import (
    conditional_weights,
    draw,
    dual_potentials,
    exponents,
    half_squared_distances,
    marginal_error,
)
from entropic_ot.types import Points


class Sinkhorn:
    """Solver in one step; samples are rows of its target sample."""

    compiled = "no"

    def __init__(
        self, shape: tuple[int, ...], config: SinkhornConfig | None = None, *, epsilon: float
    ) -> None:
        self.config = config or SinkhornConfig()
        self.epsilon, self.shape, self.device = epsilon, shape, torch.device("cpu")
        self.precision = "float64"
        self.target: torch.Tensor | None = None
        """y_j, [num_points, *shape], once there is a plan."""
        self.potential: torch.Tensor | None = None
        """epsilon log v_j, [num_points] in float64."""

    def step(
        self, problem: EOTProblem, *, rng: torch.Generator, progress: float
    ) -> dict[str, float]:
        """Solve the discrete problem between `num_points` points of either side."""
        x = problem.source.sample(self.config.num_points, rng=rng)
        self.target = problem.target.sample(self.config.num_points, rng=rng)
        cost = half_squared_distances(x, self.target)
        if self.epsilon == 0:
            self.potential = _exact_potential(cost)
            return {"marginal_error": 0.0}
        _, potential, _ = dual_potentials(
            cost,
            self.epsilon,
            num_iterations=self.config.num_iterations,
            tolerance=self.config.tolerance,
            over_relaxation=self.config.over_relaxation,
        )
        if not potential.isfinite().all():
            raise EntropicOTError(
                f"sinkhorn: the dual potential is not finite at epsilon = {self.epsilon}; "
                "lower over_relaxation, or raise epsilon"
            )
        self.potential = potential
        return {"marginal_error": marginal_error(cost, potential, self.epsilon)}

    def sample(self, x: Points, *, rng: torch.Generator) -> Points:
        if self.potential is None or self.target is None:
            raise EntropicOTError("Sinkhorn: found no plan to sample, expected one. Train first.")
        if self.epsilon == 0:
            return self.target[exponents(x, self.target, self.potential).argmax(1)]
        weights = conditional_weights(x, self.target, self.potential, self.epsilon)
        return self.target[draw(weights, rng=rng)]

    def state_dict(self) -> dict[str, Any]:
        return {"model": {"target": self.target, "potential": self.potential}, "training": {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        model = state["model"]
        self.target = model["target"].to(self.device)
        self.potential = model["potential"].to(self.device)


def _exact_potential(cost: torch.Tensor) -> torch.Tensor:
    """Dual variables of the target in exact discrete OT (POT's network simplex)."""
    import ot  # here: training on a GPU machine does without POT

    uniform = np.full(len(cost), 1 / len(cost))
    _, log = ot.emd(uniform, uniform, cost.numpy(), log=True, numItermax=1_000_000)
    return torch.from_numpy(np.asarray(log["v"]))
