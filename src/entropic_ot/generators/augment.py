"""Transforms of all that a discriminator sees, so that it cannot learn few images by heart.

StyleGAN2-ADA (arXiv 2006.06676, appendix B) and DiffAugment (arXiv 2006.10738). Real and generated
images go through the same random transforms, and gradients flow back to the generated ones. The
geometric transforms of an image are one affine map; what comes in at its border is the reflection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from entropic_ot.distributed import Rows
from entropic_ot.generators.config import Transform
from entropic_ot.types import Points

GEOMETRIC: tuple[Transform, ...] = ("flip", "translation", "rotation", "scale")
COLOUR: tuple[Transform, ...] = ("brightness", "saturation", "contrast")
LARGEST_SHIFT = 1 / 8
"""Of `translation`, as a share of the image's side: uniform up to it in both directions."""
LOG2_SCALE_STD = 0.2
BRIGHTNESS = 0.5
"""Largest change, where black is -1 and white 1."""
CUTOUT = 0.5
"""Side of the square that is set to 0, as a share of the image's."""

Draw = Callable[[int], torch.Tensor]
"""count -> [count, batch] uniform on [0, 1)."""


def augment(
    images: Points,
    transforms: Sequence[Transform],
    *,
    probability: float,
    rng: torch.Generator,
    rows: Rows | None = None,
) -> Points:
    """Each transform on each image [batch, channels, size, size] with this probability.

    The draws do not depend on the probability, which decides only where they are used. rows: where
    the images are the share of one process of a batch.
    """
    share = rows or Rows(len(images))

    def draw(count: int) -> torch.Tensor:
        everyone = torch.rand(count, share.total, generator=rng, device=images.device)
        return everyone[:, share.index]

    for name in COLOUR:
        if name in transforms:
            images = _recoloured(images, name, probability, draw)
    if any(name in transforms for name in GEOMETRIC):
        matrices = _affine(images, transforms, probability, draw)
        grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
        images = F.grid_sample(
            images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
    if "cutout" in transforms:
        images = images * _window(images, probability, draw)
    return images


def _affine(
    images: Points, transforms: Sequence[Transform], probability: float, draw: Draw
) -> torch.Tensor:
    """[batch, 2, 3]: the product of the chosen maps in coordinates where the image is [-1, 1]^2."""
    identity = torch.eye(3, device=images.device).expand(len(images), 3, 3)
    total = identity
    for name in GEOMETRIC:
        if name not in transforms:
            continue
        used, first, second = draw(3)
        matrix = identity.clone()
        if name == "flip":
            matrix[:, 0, 0] = torch.where(first < 0.5, -1.0, 1.0)
        elif name == "translation":
            matrix[:, 0, 2] = (2 * first - 1) * 2 * LARGEST_SHIFT
            matrix[:, 1, 2] = (2 * second - 1) * 2 * LARGEST_SHIFT
        elif name == "rotation":
            cosine, sine = (2 * math.pi * first).cos(), (2 * math.pi * first).sin()
            matrix[:, 0, 0], matrix[:, 0, 1] = cosine, -sine
            matrix[:, 1, 0], matrix[:, 1, 1] = sine, cosine
        else:
            normal = math.sqrt(2) * torch.erfinv((2 * first - 1).clamp(-0.999, 0.999))
            matrix[:, 0, 0] = matrix[:, 1, 1] = 2 ** (LOG2_SCALE_STD * normal)
        total = torch.where((used < probability)[:, None, None], matrix, identity) @ total
    return total[:, :2]


def _recoloured(images: Points, name: Transform, probability: float, draw: Draw) -> Points:
    """Brightness adds; saturation scales the distance to grey, contrast that to the mean."""
    used, amount = draw(2)[:, :, None, None, None]
    if name == "brightness":
        changed = images + (2 * amount - 1) * BRIGHTNESS
    else:
        axes = (1,) if name == "saturation" else (1, 2, 3)
        centre = images.mean(axes, keepdim=True)
        factor = 2 * amount if name == "saturation" else amount + 0.5
        changed = centre + (images - centre) * factor
    return torch.where(used < probability, changed, images)


def _window(images: Points, probability: float, draw: Draw) -> torch.Tensor:
    """[batch, 1, size, size]: 0 in a square whose centre is anywhere, else 1."""
    used, row, column = draw(3)[:, :, None]
    size = images.shape[2]
    pixel = (torch.arange(size, device=images.device) + 0.5) / size
    inside_rows = (pixel - row).abs() < CUTOUT / 2
    inside_columns = (pixel - column).abs() < CUTOUT / 2
    inside = inside_rows[:, :, None] & inside_columns[:, None, :] & (used < probability)[..., None]
    return (~inside)[:, None].to(images.dtype)
