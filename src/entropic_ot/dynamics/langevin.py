"""Unadjusted Langevin dynamics."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from entropic_ot.distributed import Rows
from entropic_ot.types import Points

Score = Callable[[Points], Points]
"""y -> grad log p(y)."""


def unadjusted_langevin(
    score: Score,
    y0: Points,
    *,
    step_size: float,
    num_steps: int,
    rng: torch.Generator,
    rows: Rows | None = None,
) -> Points:
    """y <- y + (eta / 2) grad log p(y) + sqrt(eta) xi, num_steps times; eta = step_size.

    On N(0, v) its stationary variance is v / (1 - eta / (4 v)): biased upwards, by O(eta).
    `y0` [batch, *dim] is not changed. The state stays in the dtype of `y0`. rows: where y0 is the
    share of one process of a batch.
    """
    y = y0.clone()
    rows = rows or Rows(len(y))
    noise = rows.room(y)
    own = noise[rows.index]
    scale = math.sqrt(step_size)
    for _ in range(num_steps):
        noise.normal_(generator=rng)
        y.add_(score(y), alpha=step_size / 2).add_(own, alpha=scale)
    return y
