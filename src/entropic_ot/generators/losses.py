"""The losses of StyleGAN2, each by itself (arXiv 1912.04958; R1: arXiv 1801.04406)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from entropic_ot.distributed import Rows, randn
from entropic_ot.types import PerPoint, Points


def discriminator_loss(real_logits: PerPoint, fake_logits: PerPoint) -> torch.Tensor:
    """-log sigmoid(D(real)) - log(1 - sigmoid(D(fake))), mean over the batch."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: PerPoint) -> torch.Tensor:
    """-log sigmoid(D(fake)), mean over the batch: the loss that does not saturate."""
    return F.softplus(-fake_logits).mean()


def r1_penalty(
    discriminator: Callable[[Points], PerPoint], images: Points, *, gamma: float
) -> torch.Tensor:
    """gamma/2 E |grad D(x)|^2 at these images, the square summed over channels and pixels."""
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return 0.5 * gamma * gradient.float().square().sum((1, 2, 3)).mean()


def path_lengths(
    images: Points, ws: torch.Tensor, *, rng: torch.Generator, rows: Rows | None = None
) -> PerPoint:
    """|J^T y| for each image, J its derivative by w and y ~ N(0, I) / side (section 3.2).

    ws [batch, num_ws, w_dim]: the square is summed over w_dim and averaged over the layers. rows:
    where the batch is the share of one process.
    """
    direction = randn(images.shape, rows, rng=rng, device=images.device)
    direction = direction / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * direction).sum(), ws, create_graph=True)
    return gradient.float().square().sum(2).mean(1).sqrt()
