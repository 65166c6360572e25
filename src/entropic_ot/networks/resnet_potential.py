"""Potentials for images: residual nets (ENOT) and a plain convolutional net (EgNOT).

Neither has normalisation over the batch: g(y) must be a function of y alone.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from entropic_ot.types import PerPoint, Points


def linear_of_image(layer: nn.Linear, h: torch.Tensor) -> torch.Tensor:
    """`layer` of each flattened image [channels, h, w], read in the channels-last order.

    h.flatten(1) would copy h, and its gradient would come back in the other layout.
    """
    weight = layer.weight.view(-1, *h.shape[1:]).permute(0, 2, 3, 1).flatten(1)
    return F.linear(h.permute(0, 2, 3, 1).flatten(1), weight, layer.bias)


def _stem(shape: tuple[int, ...], *, width: int, patch: int) -> nn.Conv2d:
    """Folded pixels to `width` channels."""
    return nn.Conv2d(shape[0] * patch**2, width, 3, padding=1)


def _widths(width: int, depth: int) -> list[int]:
    """Channels before and after each of `depth` blocks: doubled, up to eight times `width`."""
    return [width * min(2**level, 8) for level in range(depth + 1)]


class DownBlock(nn.Module):
    """Residual block, then average pooling by two."""

    def __init__(self, num_in: int, num_out: int, *, shrink: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_in, num_in, 3, padding=1)
        self.conv2 = nn.Conv2d(num_in, num_out, 3, padding=1)
        self.skip = nn.Conv2d(num_in, num_out, 1, bias=False)
        self.shrink = shrink

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv2(F.silu(self.conv1(F.silu(x))))
        h = (h + self.skip(x)) * 0.7071
        return F.avg_pool2d(h, 2) if self.shrink else h


class ResNetPotential(nn.Module):
    """g: [batch, channels, h, w] -> [batch]; width doubles at each of `depth` resolutions."""

    def __init__(self, shape: tuple[int, ...], *, width: int, depth: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.stem = _stem(shape, width=width, patch=patch)
        widths = _widths(width, depth)
        self.blocks = nn.ModuleList(
            DownBlock(widths[i], widths[i + 1], shrink=i < depth - 1) for i in range(depth)
        )
        factor = patch * 2 ** (depth - 1)
        self.last = nn.Linear(widths[-1] * (shape[1] // factor) * (shape[2] // factor), 1)

    def forward(self, y: Points) -> PerPoint:
        h = F.pixel_unshuffle(y, self.patch).to(memory_format=torch.channels_last)
        h = self.stem(h)
        for block in self.blocks:
            h = block(h)
        return linear_of_image(self.last, F.silu(h)).float().squeeze(1)


class LocalPotential(nn.Module):
    """g(y): the mean over all places of a function of the neighbourhood, at `depth` resolutions.

    A field of experts (Roth and Black, CVPR 2005): every place of every image is an example, so a
    few hundred images teach it a texture, and nothing about where in the image anything is.
    """

    def __init__(self, shape: tuple[int, ...], *, width: int, depth: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.stem = _stem(shape, width=width, patch=patch)
        widths = _widths(width, depth)
        self.blocks = nn.ModuleList(
            DownBlock(widths[i], widths[i + 1], shrink=False) for i in range(depth)
        )
        self.readouts = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths[1:])

    def forward(self, y: Points) -> PerPoint:
        h = F.pixel_unshuffle(y, self.patch).to(memory_format=torch.channels_last)
        h, means = self.stem(h), []
        for level, (block, readout) in enumerate(zip(self.blocks, self.readouts, strict=True)):
            h = block(F.avg_pool2d(h, 2) if level else h)
            means.append(readout(F.silu(h)).float().flatten(1).mean(1))
        return torch.stack(means).sum(0)


class ConvPotential(nn.Module):
    """Strided convolutions with SiLU: the small energy network of the EgNOT paper's images."""

    def __init__(self, shape: tuple[int, ...], *, width: int, depth: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        layers: list[nn.Module] = [
            _stem(shape, width=width, patch=patch),
            nn.SiLU(),
        ]
        last = width
        for _ in range(depth - 1):
            layers += [nn.Conv2d(last, 2 * last, 4, stride=2, padding=1), nn.SiLU()]
            last = 2 * last
        self.features = nn.Sequential(*layers)
        factor = patch * 2 ** (depth - 1)
        self.last = nn.Linear(last * (shape[1] // factor) * (shape[2] // factor), 1)

    def forward(self, y: Points) -> PerPoint:
        h = F.pixel_unshuffle(y, self.patch).to(memory_format=torch.channels_last)
        return linear_of_image(self.last, self.features(h)).float().squeeze(1)
