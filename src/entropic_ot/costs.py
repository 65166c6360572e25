"""Transport costs, the same for both methods: 1/2 |x - y|^2, of points or of decoded ones."""

from __future__ import annotations

from collections.abc import Callable
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


@dataclass(frozen=True)
class DecodedHalfSquaredEuclidean:
    """c(x, z) = 1/2 |x - G(z)|^2 for a point x and a latent z (EgNOT paper, latent form).

    `decode` is G: [batch, z_dim] -> points of the shape of x; its parameters get no gradient.
    """

    decode: Callable[[Points], Points]

    def __call__(self, x: Points, y: Points) -> PerPoint:
        return HalfSquaredEuclidean()(x, self.decode(y))
