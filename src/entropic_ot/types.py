"""Array types used in signatures: shapes are part of the contract, not checked at run time."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "batch *dim"]
"""A batch of points of R^D (vectors, images as channels x height x width, latents)."""

PerPoint = Float[Tensor, " batch"]
"""One scalar per point of a batch."""
