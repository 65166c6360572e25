"""Latent spaces of a frozen StyleGAN2 generator as places to transport to.

- z: the target is N(0, I), a point z stands for the image G(z) (EgNOT paper, latent form).
- whitened w: the target is the mapping network's w of z ~ N(0, I) in coordinates in which its mean
  is 0 and its covariance I, so that epsilon means about the same for each generator.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch

from entropic_ot.errors import ConfigError
from entropic_ot.generators.config import EncodingConfig, Latent
from entropic_ot.generators.encoding import (
    SETTINGS,
    EncodedSpace,
    LatentMoments,
    encode,
    encoder_of,
    image_of,
)
from entropic_ot.networks.stylegan2 import Generator
from entropic_ot.strict import from_mapping
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


ENCODER_BATCH = 64
"""Images at once of which an encoder says where their chains start."""


class EncodedStart:
    """Images -> where their chains start: the points of `latent` that they are encoded as.

    By the encoder of a latents file alone or, with `descend`, by its descent from there too, which
    gives the same points as the file's to the images that are in it.

    Raises ConfigError for z where what was encoded are w: the mapping network has no inverse.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray[Any, Any]],
        generator: Generator,
        *,
        latent: Latent,
        descend: bool,
        path: str,
    ) -> None:
        self.config = from_mapping(EncodingConfig, json.loads(str(arrays[SETTINGS])), path)
        if latent == "z" and self.config.latent != "z":
            raise ConfigError(
                f"problem.start: found chains of z that start from {path}, in which images are "
                "encoded as w, expected z. Set encoding.latent: z of this generator."
            )
        device = next(generator.parameters()).device
        mean, root = (torch.from_numpy(arrays[name]).to(device) for name in ("w_mean", "w_root"))
        self.space = EncodedSpace(self.config.latent, generator, LatentMoments(mean, root))
        self.encoder = encoder_of(arrays, generator)
        self.latent, self.descend = latent, descend

    def __call__(self, images: Points) -> Points:
        """Images [batch, channels, size, size] -> [batch, dim]; in w these are whitened."""
        size = self.config.batch_size if self.descend else ENCODER_BATCH
        return in_batches(self._start, images, batch_size=size)

    def _start(self, images: Points) -> Points:
        space = self.space
        if self.descend:
            found = encode(images, self.encoder, space.generator, space.moments, self.config)
            points = found.points
        else:
            points = space.guess(self.encoder(images))
        if self.latent == space.latent:
            return points
        return space.moments.u_of(space.w_of(points))
