"""Euler-Maruyama for dX = f(t, X) dt + sqrt(epsilon) dW on t in [0, 1]."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from entropic_ot.distributed import Rows, randn
from entropic_ot.types import PerPoint, Points

Observer = Callable[[int, Points], None]
"""Is shown (k, X_k) after each step k = 1, ..., num_steps, so that states need not be kept."""


class Drift(Protocol):
    """f(t, x): one time for the whole batch."""

    def __call__(self, t: float, x: Points) -> Points: ...


@dataclass(frozen=True)
class SDEPath:
    """A simulated path: its states and its energy."""

    states: list[Points]
    """X at the grid times, each [batch, *dim]; only [X_0, X_1] when `keep_states` was False."""
    energy: PerPoint
    """1/2 sum_k |f(t_k, X_k)|^2 dt_k, one value per path (eps times the KL to the prior)."""
    noise_work: PerPoint
    """sum_k f(t_k, X_k) . (the noise added in step k), the Ito integral of f sqrt(epsilon) dW."""

    @property
    def final(self) -> Points:
        return self.states[-1]


def time_grid(num_steps: int, *, power: float = 1.0) -> list[float]:
    """t_k = 1 - (1 - k / num_steps)^power, k = 0 .. num_steps: uniform for power 1.

    A power above 1 makes the steps shorter towards t = 1, where the drift of a plan whose
    conditional variance is v changes on the time scale v / epsilon.
    """
    return [1 - (1 - k / num_steps) ** power for k in range(num_steps + 1)]


def noise_scales(
    times: Sequence[float], *, epsilon: float, noise_last_step: bool = True
) -> list[float]:
    """Standard deviation sqrt(epsilon dt_k) of each step's noise; 0 in the last one if so asked."""
    scales = [math.sqrt(epsilon * (end - start)) for start, end in itertools.pairwise(times)]
    return scales if noise_last_step else [*scales[:-1], 0.0]


def euler_maruyama(
    drift: Drift,
    x0: Points,
    *,
    epsilon: float,
    num_steps: int,
    rng: torch.Generator,
    power: float = 1.0,
    noise_last_step: bool = True,
    keep_states: bool = False,
    observe: Observer | None = None,
    rows: Rows | None = None,
) -> SDEPath:
    """X_{k+1} = X_k + f(t_k, X_k) dt_k + sqrt(epsilon dt_k) xi_k on `time_grid`.

    noise_last_step: False leaves the noise out of the last step, as the ENOT paper does on images
    (the last drift then lands on the sample itself). Differentiable through the whole path.
    rows: where x0 is the share of one process of a batch.
    Error: the covariance at t = 1 is off by O(dt) (tested).
    """
    times = time_grid(num_steps, power=power)
    scales = noise_scales(times, epsilon=epsilon, noise_last_step=noise_last_step)
    x, states = x0, [x0]
    energy, noise_work = x0.new_zeros(2, len(x0))
    for k, (start, end) in enumerate(itertools.pairwise(times)):
        dt = end - start
        f = drift(start, x)
        energy = energy + f.flatten(1).square().sum(1) * (dt / 2)
        x = x + f * dt
        if scales[k] > 0:
            noise = randn(x.shape, rows, rng=rng, device=x.device, dtype=x.dtype)
            noise_work = noise_work + scales[k] * (f * noise).flatten(1).sum(1)
            x = x + scales[k] * noise
        if observe is not None:
            observe(k + 1, x)
        if keep_states:
            states.append(x)
    return SDEPath(states if keep_states else [x0, x], energy, noise_work)
