"""Discriminator of StyleGAN2 (arXiv 1912.04958): residual, with minibatch standard deviation."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn

from entropic_ot.errors import ConfigError
from entropic_ot.networks.stylegan2_layers import (
    EPS,
    EqualConv,
    EqualLinear,
    activate,
    convolve_down,
)
from entropic_ot.types import PerPoint, Points


def minibatch_deviation(x: torch.Tensor, *, group_size: int) -> torch.Tensor:
    """[batch, channels, h, w] -> the same with one more channel (arXiv 1710.10196, section 3).

    Its value is the standard deviation over a group of samples, averaged over channels and pixels.
    Group j of G = batch / n is samples j, j + G, ...; n is `group_size`, or the batch if smaller.
    """
    batch, _, height, width = x.shape
    size = min(group_size, batch)
    if batch % size:
        raise ConfigError.about(
            "group_size", found=f"{group_size} for a batch of {batch}",
            expected="a divisor of the batch, or no less than it", action="Change one of the two.",
        )  # fmt: skip
    groups = x.float() if x.dtype != torch.float64 else x
    groups = groups.reshape(size, -1, *x.shape[1:])
    deviation = (groups.var(0, correction=0) + EPS).sqrt().mean((1, 2, 3))
    added = deviation.repeat(size)[:, None, None, None].expand(-1, -1, height, width)
    return torch.cat([x, added.to(x.dtype)], dim=1)


class DiscriminatorBlock(nn.Module):
    """Two 3x3 convolutions and half the size, beside a 1x1 convolution."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.conv0 = EqualConv(num_in, num_in, 3)
        self.conv1 = EqualConv(num_in, num_out, 3)
        self.skip = EqualConv(num_in, num_out, 1, bias=False)

    def forward(self, x: torch.Tensor, *, clamp: float | None) -> torch.Tensor:
        gain = math.sqrt(0.5)
        h = activate(self.conv0(x), clamp=clamp)
        h = activate(self.conv1(h, convolve_down), gain=gain, clamp=clamp)
        return cast("torch.Tensor", h + gain * self.skip(x, convolve_down))


class Discriminator(nn.Module):
    """Image [batch, img_channels, size, size] -> a logit each [batch], large for real images.

    `channels` as in GeneratorConfig: at 4x4, 8x8, ... The logit depends on the other samples of
    the group, so this is no potential; with `group_size` 1 it is a function of its image alone.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...],
        img_channels: int,
        group_size: int = 4,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.clamp, self.group_size = clamp, group_size
        self.fromrgb = EqualConv(img_channels, channels[-1], 1)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(channels[level], channels[level - 1])
            for level in range(len(channels) - 1, 0, -1)
        )
        num = channels[0]
        self.conv = EqualConv(num + 1, num, 3)
        self.fc = EqualLinear(16 * num, num)
        self.out = EqualLinear(num, 1)

    def forward(self, image: Points) -> PerPoint:
        x = image.contiguous(memory_format=torch.channels_last)
        h = activate(self.fromrgb(x), clamp=self.clamp)
        for block in self.blocks:
            h = block(h, clamp=self.clamp)
        h = minibatch_deviation(h, group_size=self.group_size)
        h = activate(self.conv(h), clamp=self.clamp)
        h = activate(self.fc(h.flatten(1)))
        return cast("torch.Tensor", self.out(h)[:, 0].to(self.out.weight.dtype))
