"""Latent spaces of a frozen StyleGAN2 generator as places to transport to.

- z: the target is N(0, I), a point z stands for the image G(z) (EgNOT paper, latent form).
- whitened w: the target is the mapping network's w of z ~ N(0, I) in coordinates in which its mean
  is 0 and its covariance I, so that epsilon means about the same for each generator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch

from entropic_ot.generators.encoding import image_of
from entropic_ot.networks.stylegan2 import Generator
from entropic_ot.types import Points

Coordinates = Callable[[Points], Points]
Decode = Callable[[Points], Points]
"""Points of a latent space [batch, dim] -> images [batch, channels, height, width], float32."""


def decode_z(generator: Generator, *, precision: str) -> Decode:
    """z -> G(z), noise constant; differentiable in z. `precision` is that of the convolutions."""

    def decode(z: Points) -> Points:
        with torch.autocast(z.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return cast("Points", generator(z)).float()

    return decode


def decode_w(generator: Generator, w_of: Coordinates, *, precision: str) -> Decode:
    """Whitened points u -> the image of w_of(u), the same w for every layer, noise constant."""

    def decode(u: Points) -> Points:
        w = w_of(u)
        with torch.autocast(u.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return image_of(generator, w).float()

    return decode


class MappedNormal:
    """u_of(mapping(z)) for z ~ N(0, I): the generator's own w, whitened; points are [w_dim]."""

    def __init__(self, generator: Generator, u_of: Coordinates) -> None:
        self.generator, self.u_of = generator, u_of

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.generator.config.w_dim,)

    @torch.no_grad()
    def sample(self, n: int, *, rng: torch.Generator) -> Points:
        z = torch.randn(n, self.generator.config.z_dim, generator=rng, device=rng.device)
        return self.u_of(self.generator.mapping(z).float())


@torch.no_grad()
def in_batches(function: Callable[[Points], Points], points: Points, *, batch_size: int) -> Points:
    """`function` of any number of points, `batch_size` at once; no graph is made."""
    return torch.cat([function(batch) for batch in points.split(batch_size)])
