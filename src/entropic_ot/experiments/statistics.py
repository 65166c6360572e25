"""Means over seeds, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Share of the intervals that hold the true mean, where values are normal."""


@dataclass(frozen=True)
class MeanOverSeeds:
    """A mean and how well the seeds determine it."""

    mean: float
    half_width: float | None
    """Half of the 95 % interval of the mean; None for one seed, which says nothing about it."""
    num_seeds: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper end; None for one seed."""
        if self.half_width is None:
            return None
        return self.mean - self.half_width, self.mean + self.half_width

    def __str__(self) -> str:
        if self.half_width is None:
            return f"{self.mean:.3g} (1 seed)"
        return with_half_width(self.mean, self.half_width)


def mean_over_seeds(values: Sequence[float]) -> MeanOverSeeds:
    """The mean of one value per seed, with half_width = t s / √n.

    s is the sample standard deviation (n - 1 below) and t the 97.5 % quantile of Student's t with
    n - 1 degrees of freedom. Values that are not finite make the half-width NaN.

    Raises:
        ValueError: there are no values.
    """
    from scipy.special import stdtrit  # inside: training and sampling do without scipy

    if not values:
        raise ValueError("values: found none, expected one per seed")
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return MeanOverSeeds(mean, None, 1)
    if not np.isfinite(values).all():
        return MeanOverSeeds(mean, math.nan, n)
    quantile = float(stdtrit(n - 1, (1 + LEVEL) / 2))
    return MeanOverSeeds(mean, quantile * float(np.std(values, ddof=1)) / math.sqrt(n), n)


def with_half_width(mean: float, half_width: float) -> str:
    """ "0.074 ± 0.012": two digits of the half-width, and as many decimals of the mean."""
    if not (math.isfinite(mean) and math.isfinite(half_width)) or half_width == 0:
        return f"{mean:.3g} ± {half_width:.2g}"
    decimals = max(0, 1 - math.floor(math.log10(half_width)))
    return f"{mean:.{decimals}f} ± {half_width:.{decimals}f}"
