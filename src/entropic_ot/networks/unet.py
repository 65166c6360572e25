"""Time-conditioned U-Net drift for images (ENOT paper, appendix on images: base width 48)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from entropic_ot.networks.image_layers import DoublingConv, NormSiLU
from entropic_ot.types import Points


def time_features(t: float, num: int, *, device: torch.device) -> torch.Tensor:
    """Sines and cosines of t at `num / 2` frequencies from 1 to 1000, [1, num]."""
    exponents = torch.linspace(0, math.log(1000.0), num // 2, device=device)
    angles = t * exponents.exp()
    return torch.cat([angles.sin(), angles.cos()])[None]


def _set_to_zero(layer: nn.Conv2d) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with group norm; scale and shift of the second from the time."""

    def __init__(self, num_in: int, num_out: int, *, num_time: int) -> None:
        super().__init__()
        self.norm1 = NormSiLU(num_in)
        self.conv1 = nn.Conv2d(num_in, num_out, 3, padding=1)
        self.time = nn.Linear(num_time, 2 * num_out)
        self.norm2 = NormSiLU(num_out)
        self.conv2 = nn.Conv2d(num_out, num_out, 3, padding=1)
        self.skip = nn.Conv2d(num_in, num_out, 1) if num_in != num_out else nn.Identity()
        _set_to_zero(self.conv2)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        h = self.conv1(self.norm1(x))
        scale, shift = self.time(time)[0].chunk(2)
        return self.skip(x) + self.conv2(self.norm2(h, scale, shift))


class UNetDrift(nn.Module):
    """f: (t, [batch, channels, h, w]) -> the same shape.

    `depth` resolutions, each half of the one before, with width, 2 width, 4 width, ... channels
    (at most 4 width); `patch` folds squares of pixels into channels first.
    """

    def __init__(self, shape: tuple[int, ...], *, width: int, depth: int, patch: int) -> None:
        super().__init__()
        channels = shape[0] * patch**2
        widths = [width * min(2**level, 4) for level in range(depth)]
        num_time = 4 * width
        self.patch, self.num_features = patch, 2 * width
        self.time = nn.Sequential(
            nn.Linear(2 * width, num_time), nn.SiLU(), nn.Linear(num_time, num_time), nn.SiLU()
        )
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        last = width
        for level, w in enumerate(widths):
            self.down.append(ResidualBlock(last, w, num_time=num_time))
            if level < depth - 1:
                self.shrink.append(nn.Conv2d(w, w, 3, stride=2, padding=1))
            last = w
        self.middle = ResidualBlock(last, last, num_time=num_time)
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(depth)):
            w = widths[level]
            self.up.append(ResidualBlock(last + w, w, num_time=num_time))
            if level > 0:
                self.grow.append(DoublingConv(w, w))
            last = w
        self.out_norm = NormSiLU(last)
        self.out = nn.Conv2d(last, channels, 3, padding=1)
        _set_to_zero(self.out)

    def forward(self, t: float, x: Points) -> Points:
        return self.at(time_features(t, self.num_features, device=x.device), x)

    def at(self, features: torch.Tensor, x: Points) -> Points:
        """f from the features of the time [1, num_features]: a function of tensors alone."""
        time = self.time(features)
        h = F.pixel_unshuffle(x, self.patch).to(memory_format=torch.channels_last)
        h = self.stem(h)
        skips = []
        for level, block in enumerate(self.down):
            h = block(h, time)
            skips.append(h)
            if level < len(self.shrink):
                h = self.shrink[level](h)
        h = self.middle(h, time)
        for level, block in enumerate(self.up):
            h = block(torch.cat([h, skips.pop()], dim=1), time)
            if level < len(self.grow):
                h = self.grow[level](h)
        h = self.out(self.out_norm(h))
        return F.pixel_shuffle(h.float(), self.patch)
