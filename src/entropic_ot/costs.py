"""Transport costs. The convention is the same for both methods: c(x, y) = 1/2 |x - y|^2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from entropic_ot.types import PerPoint, Points


class Cost(Protocol):
    """A ground cost c(x, y), one value per pair of rows."""

    def __call__(self, x: Points, y: Points) -> PerPoint: ...


@dataclass(frozen=True)
class HalfSquaredEuclidean:
    """c(x, y) = 1/2 |x - y|^2, summed (not averaged) over all coordinates of a point."""

    def __call__(self, x: Points, y: Points) -> PerPoint:
        return (x - y).flatten(1).square().sum(1) / 2
