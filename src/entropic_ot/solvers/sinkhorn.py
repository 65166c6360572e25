"""Sinkhorn: discrete entropic OT between two samples (POT), extended to new source points.

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
from entropic_ot.types import Points

WARM_UP_ITERATIONS = 20
"""Iterations at each larger epsilon on the way down; only the speed depends on it."""


class Sinkhorn:
    """Solver in one step; samples are rows of its target sample."""

    compiled = "no"

    def __init__(
        self, shape: tuple[int, ...], config: SinkhornConfig | None = None, *, epsilon: float
    ) -> None:
        self.config = config or SinkhornConfig()
        self.epsilon, self.shape, self.device = epsilon, shape, torch.device("cpu")
        self.precision = "float64"
        self.target = torch.zeros(self.config.num_points, *shape)
        self.potential = torch.zeros(self.config.num_points, dtype=torch.float64)

    def step(
        self, problem: EOTProblem, *, rng: torch.Generator, progress: float
    ) -> dict[str, float]:
        """Solve the discrete problem between `num_points` points of either side."""
        x = problem.source.sample(self.config.num_points, rng=rng)
        self.target = problem.target.sample(self.config.num_points, rng=rng)
        cost = half_squared_distances(x, self.target)
        if self.epsilon == 0:
            self.potential, error = _exact_potential(cost), 0.0
        else:
            self.potential, error = self._sinkhorn_potential(cost)
        return {"marginal_error": error}

    def _sinkhorn_potential(self, cost: torch.Tensor) -> tuple[torch.Tensor, float]:
        """(epsilon log v, error of the marginals) by log-domain Sinkhorn with a falling epsilon."""
        import ot  # imported here: training on a GPU machine does without POT

        uniform = torch.full((len(cost),), 1 / len(cost), dtype=cost.dtype)
        warm, error = None, float("nan")
        for epsilon in decreasing(float(cost.max()), self.epsilon):
            last = epsilon == self.epsilon
            _, log = ot.bregman.sinkhorn_log(
                uniform,
                uniform,
                cost,
                epsilon,
                numItermax=self.config.num_iterations if last else WARM_UP_ITERATIONS,
                stopThr=self.config.tolerance,
                warmstart=None if warm is None else tuple(w / epsilon for w in warm),
                log=True,
                warn=False,
            )
            warm = (log["log_u"] * epsilon, log["log_v"] * epsilon)
            error = float(log["err"][-1]) if log["err"] else error
        if warm is None or not warm[1].isfinite().all():
            raise EntropicOTError(
                f"sinkhorn: the dual potential is not finite at epsilon = {self.epsilon}; "
                "raise epsilon or num_iterations"
            )
        return warm[1], error

    def sample(self, x: Points, *, rng: torch.Generator) -> Points:
        exponent = self.potential - half_squared_distances(x, self.target)
        if self.epsilon == 0:
            return self.target[exponent.argmax(1)]
        uniform = torch.rand(exponent.shape, generator=rng, dtype=exponent.dtype)
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
        return self.target[(exponent / self.epsilon + gumbel).argmax(1)]

    def state_dict(self) -> dict[str, Any]:
        return {"model": {"target": self.target, "potential": self.potential}, "training": {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        model = state["model"]
        self.target = model["target"].to(self.device)
        self.potential = model["potential"].to(self.device)


def half_squared_distances(x: Points, y: Points) -> torch.Tensor:
    """c(x_i, y_j) as [n, m] in float64."""
    return torch.cdist(x.flatten(1).double(), y.flatten(1).double()).square() / 2


def _exact_potential(cost: torch.Tensor) -> torch.Tensor:
    """Dual variables of the target in exact discrete OT (network simplex)."""
    import ot

    uniform = np.full(len(cost), 1 / len(cost))
    _, log = ot.emd(uniform, uniform, cost.numpy(), log=True, numItermax=1_000_000)
    return torch.from_numpy(np.asarray(log["v"]))


def decreasing(start: float, stop: float) -> list[float]:
    """start, start / 4, ... and `stop` at the end."""
    values = []
    while start > 4 * stop:
        values.append(start)
        start /= 4
    return [*values, stop]
