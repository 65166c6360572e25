"""Latent spaces of a frozen StyleGAN2 generator as places to transport to.

- z: the target is N(0, I), a point z stands for the image G(z) (EgNOT paper, latent form).
- w: the target is the mapping network's w of z ~ N(0, I), moved and scaled to mean 0 and mean
  variance 1, so that epsilon means about the same for each generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch

from entropic_ot.device import make_rng
from entropic_ot.networks.stylegan2 import Generator
from entropic_ot.types import Points

NUM_MOMENT_POINTS = 10_000
MOMENT_SEED = 0
DECODE_BATCH = 256
"""Images made at once where a whole sample is decoded."""


class LatentDecoder:
    """z [batch, z_dim] -> G(z) [batch, channels, height, width], noise constant.

    Differentiable in z. `precision` is that of the convolutions; the image is float32.
    """

    def __init__(self, generator: Generator, *, precision: str) -> None:
        self.generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.autocast = precision == "bfloat16"

    def __call__(self, z: Points) -> Points:
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.autocast):
            return cast("Points", self.generator(z)).float()


@dataclass(frozen=True)
class WScale:
    """w = mean + std * point: how points of the standardised space w become w."""

    mean: torch.Tensor
    """[w_dim]."""
    std: float
    """Root of the mean variance over the coordinates."""

    def to_points(self, w: torch.Tensor) -> Points:
        return (w - self.mean.to(w.device)) / self.std

    def to_w(self, points: Points) -> torch.Tensor:
        return self.mean.to(points.device) + self.std * points


@torch.no_grad()
def w_scale(generator: Generator) -> WScale:
    """Mean and scale of w over NUM_MOMENT_POINTS draws of z with a fixed seed."""
    z = torch.randn(NUM_MOMENT_POINTS, generator.config.z_dim, generator=make_rng(MOMENT_SEED))
    w = generator.mapping(z.to(next(generator.parameters()).device)).float()
    return WScale(w.mean(0), float(w.var(0).mean().sqrt()))


class WDecoder:
    """Points of the standardised space w [batch, w_dim] -> images."""

    def __init__(self, decoder: LatentDecoder, scale: WScale) -> None:
        self.decoder, self.scale = decoder, scale

    def __call__(self, points: Points) -> Points:
        generator = self.decoder.generator
        ws = self.scale.to_w(points)[:, None].expand(-1, generator.config.num_ws, -1)
        with torch.autocast(points.device.type, torch.bfloat16, enabled=self.decoder.autocast):
            return cast("Points", generator.synthesis(ws)).float()


class MappedNormal:
    """The generator's own w, standardised: a distribution on [w_dim]."""

    def __init__(self, generator: Generator, scale: WScale) -> None:
        self.generator, self.scale = generator, scale

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.generator.config.w_dim,)

    @torch.no_grad()
    def sample(self, n: int, *, rng: torch.Generator) -> Points:
        z = torch.randn(n, self.generator.config.z_dim, generator=rng, device=rng.device)
        return self.scale.to_points(self.generator.mapping(z).float())


@torch.no_grad()
def decode_all(decode: LatentDecoder | WDecoder, points: Points) -> Points:
    """Images of any number of points, in batches."""
    return torch.cat([decode(batch) for batch in points.split(DECODE_BATCH)])
