"""Means over seeds, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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


def clearly_best(found: Mapping[str, MeanOverSeeds], *, lower_is_better: bool | None) -> str | None:
    """The one name whose interval lies wholly on the better side of the next best's, if any does.

    This is what tables print in bold. A single seed has no interval, so it is never clear; means
    that are not finite are left out. None also where no direction is better.
    """
    if lower_is_better is None:
        return None
    sign = 1 if lower_is_better else -1
    finite = {name: mean for name, mean in found.items() if math.isfinite(mean.mean)}
    if len(finite) < 2:
        return None
    first, second = sorted(finite, key=lambda name: sign * finite[name].mean)[:2]
    ours, next_one = finite[first].interval, finite[second].interval
    if ours is None or next_one is None:
        return None
    return first if max(sign * end for end in ours) < min(sign * end for end in next_one) else None


def floor_text(floor: float | None, std: float | None) -> str:
    """ "0 ± 0.00043": a floor with the spread of exact samplers around it, where that is known."""
    if floor is None:
        return "–"
    return f"{floor:.3g}" if std is None else f"{floor:.3g} ± {std:.2g}"


def with_half_width(mean: float, half_width: float) -> str:
    """ "0.074 ± 0.012": two digits of the half-width, and as many decimals of the mean."""
    if not (math.isfinite(mean) and math.isfinite(half_width)) or half_width == 0:
        return f"{mean:.3g} ± {half_width:.2g}"
    decimals = max(0, 1 - math.floor(math.log10(half_width)))
    return f"{mean:.{decimals}f} ± {half_width:.{decimals}f}"
