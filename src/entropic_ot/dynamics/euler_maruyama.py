"""Euler-Maruyama for dX = f(t, X) dt + sqrt(epsilon) dW on t in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

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
    """1/2 sum_k |f(t_k, X_k)|^2 dt, one value per path (eps times the KL to the prior)."""

    @property
    def final(self) -> Points:
        return self.states[-1]


def euler_maruyama(
    drift: Drift,
    x0: Points,
    *,
    epsilon: float,
    num_steps: int,
    rng: torch.Generator,
    noise_last_step: bool = True,
    keep_states: bool = False,
    observe: Observer | None = None,
) -> SDEPath:
    """X_{k+1} = X_k + f(t_k, X_k) dt + sqrt(epsilon dt) xi_k, dt = 1 / num_steps.

    noise_last_step: False leaves the noise out of the last step, as the ENOT paper does on images
    (the last drift then lands on the sample itself). Differentiable through the whole path.
    Error: the covariance at t = 1 is off by O(dt) (tested).
    """
    dt = 1.0 / num_steps
    x, states = x0, [x0]
    energy = torch.zeros(len(x0), device=x0.device)
    for k in range(num_steps):
        f = drift(k * dt, x)
        energy = energy + f.flatten(1).square().sum(1) * (dt / 2)
        x = x + f * dt
        if epsilon > 0 and (noise_last_step or k < num_steps - 1):
            noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
            x = x + math.sqrt(epsilon * dt) * noise
        if observe is not None:
            observe(k + 1, x)
        if keep_states:
            states.append(x)
    return SDEPath(states if keep_states else [x0, x], energy)
