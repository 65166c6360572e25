"""Images as points of a generator's latent space: an encoder first, then descent on each point.

Points of the space of w are written as u, w = mean + L u with L L^T the covariance of w: there u
has mean 0 and covariance I, so that one step size suits all directions, and the mean of u^2 says
how far a point lies from what the generator was trained on (1 in the mean over its own samples).
Points of z have that by themselves; their images depend on the direction of z alone, since the
mapping network divides by its norm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from entropic_ot.generators.config import EncodingConfig, Latent
from entropic_ot.networks.seeds import seeded
from entropic_ot.networks.stylegan2 import Generator
from entropic_ot.solvers.base import decayed
from entropic_ot.types import PerPoint, Points

NUM_FOR_MOMENTS = 10_000
RIDGE = 1e-3
"""Added to the covariance of w, in mean variances of a coordinate: it may have no inverse."""


@dataclass(frozen=True)
class LatentMoments:
    """w = mean + L u: mean [w_dim], L [w_dim, w_dim] lower triangular."""

    mean: torch.Tensor
    root: torch.Tensor

    def w_of(self, u: Points) -> Points:
        """u [batch, w_dim] -> w."""
        return self.mean + u @ self.root.T

    def u_of(self, w: Points) -> Points:
        """w [batch, w_dim] -> u."""
        return cast(
            "torch.Tensor",
            torch.linalg.solve_triangular(self.root, (w - self.mean).T, upper=False).T,
        )


@torch.no_grad()
def latent_moments(generator: Generator, *, rng: torch.Generator) -> LatentMoments:
    """Mean and root of the covariance of w for z ~ N(0, I)."""
    z = torch.randn(NUM_FOR_MOMENTS, generator.config.z_dim, generator=rng, device=rng.device)
    w = generator.mapping(z).double()
    covariance = w.T.cov()
    ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), device=w.device)
    root = torch.linalg.cholesky(covariance + ridge)
    return LatentMoments(w.mean(0).float(), root.float())


def image_of(generator: Generator, w: Points) -> Points:
    """The image of w [batch, w_dim], the same for every layer, with the stored noise."""
    ws = w[:, None].expand(-1, generator.config.num_ws, -1)
    return cast("torch.Tensor", generator.synthesis(ws, noise="const"))


def pixel_error(images: Points, others: Points) -> PerPoint:
    """Mean over channels and pixels of the squared difference, for values in [-1, 1]."""
    return (images - others).square().mean((1, 2, 3))


@dataclass(frozen=True)
class EncodedSpace:
    """Where images are encoded: points [batch, dim] are u of the space of w, or z."""

    latent: Latent
    generator: Generator
    moments: LatentMoments

    @property
    def dim(self) -> int:
        sizes = self.generator.config
        return sizes.w_dim if self.latent == "w" else sizes.z_dim

    def w_of(self, points: Points) -> Points:
        """The w of each point."""
        if self.latent == "w":
            return self.moments.w_of(points)
        return cast("Points", self.generator.mapping(points))

    def image_of(self, points: Points) -> Points:
        """What the generator makes of each point."""
        return image_of(self.generator, self.w_of(points))

    def of_draw(self, z: Points, w: Points) -> Points:
        """The points of latents z and their w."""
        return self.moments.u_of(w) if self.latent == "w" else z

    def guess(self, answer: Points) -> Points:
        """What an encoder answers, as points: z gets mean square 1, which leaves its image."""
        if self.latent == "w":
            return answer
        return answer * answer.square().mean(1, keepdim=True).clamp(min=1e-12).rsqrt()

    def penalty(self, points: Points) -> PerPoint:
        """How far points lie from what the generator was trained on, as EncodingConfig says."""
        mean_square = points.square().mean(1)
        return mean_square if self.latent == "w" else (mean_square - 1).square()


class Encoder(nn.Module):
    """Image [batch, channels, size, size] -> point [batch, dim]: halved to 4x4, then two layers."""

    def __init__(self, *, img_channels: int, resolution: int, dim: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(img_channels, width, 3, padding=1)
        levels = round(math.log2(resolution / 4))
        widths = [min(width * 2**level, 512) for level in range(levels + 1)]
        self.halvings = nn.ModuleList(
            nn.Conv2d(widths[level], widths[level + 1], 4, stride=2, padding=1)
            for level in range(levels)
        )
        self.hidden = nn.Linear(16 * widths[-1], 256)
        self.out = nn.Linear(256, dim)

    def forward(self, image: Points) -> Points:
        h = F.silu(self.first(image.contiguous(memory_format=torch.channels_last)))
        for halving in self.halvings:
            h = F.silu(halving(h))
        return cast("torch.Tensor", self.out(F.silu(self.hidden(h.flatten(1)))))


ENCODER = "encoder."
"""Before the names of an encoder's weights in a latents file."""
SETTINGS = "encoding"
"""Name of the encoding's settings in a latents file, as JSON."""


def encoder_of(arrays: Mapping[str, np.ndarray], generator: Generator) -> Encoder:
    """The trained encoder in a latents file, frozen, on the generator's device."""
    state = {
        name.removeprefix(ENCODER): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(ENCODER)
    }
    sizes = generator.config
    encoder = Encoder(
        img_channels=sizes.img_channels,
        resolution=sizes.resolution,
        dim=len(state["out.bias"]),
        width=len(state["first.weight"]),
    )
    encoder.load_state_dict(state)
    device = next(generator.parameters()).device
    return encoder.to(device, memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload,no-any-return]


class EncoderTraining:
    """An encoder learns points from images that the generator makes of known points.

    Its loss is the mean squared error of a point plus that of the pixels of the image that its
    point makes, as shares of the mean square of points and of the error of the mean w.
    """

    def __init__(
        self, config: EncodingConfig, generator: Generator, moments: LatentMoments
    ) -> None:
        self.config, self.generator, self.moments = config, generator, moments
        self.space = EncodedSpace(config.latent, generator, moments)
        self.device = moments.mean.device
        sizes = generator.config
        with seeded(config.seed):
            encoder = Encoder(
                img_channels=sizes.img_channels,
                resolution=sizes.resolution,
                dim=self.space.dim,
                width=config.width,
            )
        self.encoder = encoder.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.encoder.parameters())

    def step(self, *, rng: torch.Generator, progress: float) -> dict[str, float]:
        """One update on a batch of new images."""
        config, generator = self.config, self.generator
        z_shape = (config.encoder_batch_size, generator.config.z_dim)
        with torch.no_grad():
            z = torch.randn(z_shape, generator=rng, device=self.device)
            w = generator.mapping(z)
            points, images = self.space.of_draw(z, w), image_of(generator, w)
            of_mean = pixel_error(image_of(generator, self.moments.mean[None]), images).mean()
        found = self.space.guess(self.encoder(images.clamp(-1, 1)))
        error = (found - points).square().mean() / points.square().mean()
        pixels = pixel_error(self.space.image_of(found), images).mean() / of_mean
        for group in self.optimizer.param_groups:
            group["lr"] = decayed(config.encoder_learning_rate, "cosine", progress)
        self.optimizer.zero_grad(set_to_none=True)
        (error + pixels).backward()
        self.optimizer.step()
        return {"latent_error": float(error.detach()), "pixel_error": float(pixels.detach())}

    def state_dict(self) -> dict[str, Any]:
        """As a solver's: "model" for encoding, "training" for `step`."""
        training = {"optimizer": self.optimizer.state_dict()}
        return {"model": self.encoder.state_dict(), "training": training}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.encoder.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["training"]["optimizer"])


@dataclass(frozen=True)
class Encoded:
    """Images as points, the images of these, and mean squared errors of a pixel [n]."""

    points: Points
    """[n, dim] of `EncodedSpace`."""
    w: Points
    """Theirs, [n, w_dim]."""
    reconstruction: Points
    error: PerPoint
    encoder_error: PerPoint
    """Before the descent."""


def encode(
    images: Points,
    encoder: nn.Module,
    generator: Generator,
    moments: LatentMoments,
    config: EncodingConfig,
) -> Encoded:
    """The point of each image: Adam on pixel error + penalty, from what the encoder says.

    Nothing is drawn, and an image's point does not depend on the others but for rounding.
    """
    space = EncodedSpace(config.latent, generator, moments)
    with torch.no_grad():
        start = space.guess(encoder(images))
        encoder_error = pixel_error(space.image_of(start), images)
    points = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([points])
    for step in range(config.num_steps):
        for group in optimizer.param_groups:
            group["lr"] = decayed(config.learning_rate, "cosine", step / config.num_steps)
        optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad():
            error = pixel_error(space.image_of(points), images)
            loss = error.sum() + config.penalty * space.penalty(points).sum()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        w = space.w_of(points)
        reconstruction = image_of(generator, w)
        error = pixel_error(reconstruction, images)
    return Encoded(points.detach(), w.detach(), reconstruction, error, encoder_error)
