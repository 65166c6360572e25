"""Images as points of a generator's space of w: an encoder first, then descent on each w.

Points of that space are written as u, w = mean + L u with L L^T the covariance of w: there u has
mean 0 and covariance I, so that one step size suits all directions, and the mean of u^2 says how
far a point lies from what the generator was trained on (1 in the mean over its own samples).
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

from entropic_ot.generators.config import EncodingConfig
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


class Encoder(nn.Module):
    """Image [batch, channels, size, size] -> u [batch, w_dim]: halved to 4x4, then two layers."""

    def __init__(self, *, img_channels: int, resolution: int, w_dim: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(img_channels, width, 3, padding=1)
        levels = round(math.log2(resolution / 4))
        widths = [min(width * 2**level, 512) for level in range(levels + 1)]
        self.halvings = nn.ModuleList(
            nn.Conv2d(widths[level], widths[level + 1], 4, stride=2, padding=1)
            for level in range(levels)
        )
        self.hidden = nn.Linear(16 * widths[-1], 256)
        self.out = nn.Linear(256, w_dim)

    def forward(self, image: Points) -> Points:
        h = F.silu(self.first(image.contiguous(memory_format=torch.channels_last)))
        for halving in self.halvings:
            h = F.silu(halving(h))
        return cast("torch.Tensor", self.out(F.silu(self.hidden(h.flatten(1)))))


ENCODER = "encoder."
"""Before the names of an encoder's weights in a latents file."""


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
        w_dim=sizes.w_dim,
        width=len(state["first.weight"]),
    )
    encoder.load_state_dict(state)
    device = next(generator.parameters()).device
    return encoder.to(device, memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload,no-any-return]


class EncoderTraining:
    """An encoder learns u from images that the generator makes of known u.

    Its loss is the mean squared error of u plus that of the pixels of the image that its u makes,
    each as a share of the error of the mean, u = 0.
    """

    def __init__(
        self, config: EncodingConfig, generator: Generator, moments: LatentMoments
    ) -> None:
        self.config, self.generator, self.moments = config, generator, moments
        self.device = moments.mean.device
        sizes = generator.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            encoder = Encoder(
                img_channels=sizes.img_channels,
                resolution=sizes.resolution,
                w_dim=sizes.w_dim,
                width=config.width,
            )
        self.encoder = encoder.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.encoder.parameters())

    def step(self, *, rng: torch.Generator, progress: float) -> dict[str, float]:
        """One update on a batch of new images."""
        config, generator = self.config, self.generator
        z_shape = (config.encoder_batch_size, generator.config.z_dim)
        with torch.no_grad():
            w = generator.mapping(torch.randn(z_shape, generator=rng, device=self.device))
            u, images = self.moments.u_of(w), image_of(generator, w)
            of_mean = pixel_error(image_of(generator, self.moments.mean[None]), images).mean()
        found = self.encoder(images.clamp(-1, 1))
        error = (found - u).square().mean() / u.square().mean()
        pixels = pixel_error(image_of(generator, self.moments.w_of(found)), images).mean() / of_mean
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
    """Images as w [n, w_dim], the images of these w, and mean squared errors of a pixel [n]."""

    w: Points
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
    """The w of each image: Adam on pixel error + penalty mean(u^2), from what the encoder says.

    Nothing is drawn, and an image's w does not depend on the others but for rounding.
    """
    with torch.no_grad():
        start = encoder(images)
        encoder_error = pixel_error(image_of(generator, moments.w_of(start)), images)
    u = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([u])
    for step in range(config.num_steps):
        for group in optimizer.param_groups:
            group["lr"] = decayed(config.learning_rate, "cosine", step / config.num_steps)
        optimizer.zero_grad(set_to_none=True)
        error = pixel_error(image_of(generator, moments.w_of(u)), images)
        loss = error.sum() + config.penalty * u.square().mean(1).sum()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        w = moments.w_of(u)
        reconstruction = image_of(generator, w)
        error = pixel_error(reconstruction, images)
    return Encoded(w.detach(), reconstruction, error, encoder_error)
