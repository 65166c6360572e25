"""The networks in the default memory layout, with the project's names of the weights.

They are written out here, not imported, so that a faster network in src does not make the reference
faster as well. Same shapes: vectors [batch, dim], images [batch, channels, height, width].
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from entropic_ot.networks.config import NetworkConfig


class MLP(nn.Module):
    """Linear, SiLU, ..., Linear."""

    def __init__(self, num_in: int, num_out: int, config: NetworkConfig) -> None:
        super().__init__()
        self.first = nn.Linear(num_in, config.width)
        self.hidden = nn.ModuleList(
            nn.Linear(config.width, config.width) for _ in range(config.depth - 1)
        )
        self.last = nn.Linear(config.width, num_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.first(x))
        for layer in self.hidden:
            x = F.silu(layer(x))
        return self.last(x)


class MLPPotential(nn.Module):
    """g(y), [batch]."""

    def __init__(self, shape: tuple[int, ...], config: NetworkConfig) -> None:
        super().__init__()
        self.net = MLP(shape[0], 1, config)

    def forward(self, y: Tensor) -> Tensor:
        return self.net(y)[:, 0]


class MLPDrift(nn.Module):
    """f(t, x), [batch, dim]; the time is one more column of the input."""

    def __init__(self, shape: tuple[int, ...], config: NetworkConfig) -> None:
        super().__init__()
        self.net = MLP(shape[0] + 1, shape[0], config)

    def forward(self, t: float, x: Tensor) -> Tensor:
        times = torch.tensor(t, device=x.device).repeat(len(x))[:, None]
        return self.net(torch.cat((x, times), dim=1))


class ResidualBlock(nn.Module):
    """Two convolutions with group norm; the time gives scale and shift of the second norm."""

    def __init__(self, num_in: int, num_out: int, num_time: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(1, num_in)
        self.conv1 = nn.Conv2d(num_in, num_out, 3, padding=1)
        self.time = nn.Linear(num_time, 2 * num_out)
        self.norm2 = nn.GroupNorm(1, num_out)
        self.conv2 = nn.Conv2d(num_out, num_out, 3, padding=1)
        self.skip = nn.Conv2d(num_in, num_out, 1) if num_in != num_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        h = self.norm2(h)
        h = h * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class UNetDrift(nn.Module):
    """f(t, x) on images."""

    def __init__(self, shape: tuple[int, ...], config: NetworkConfig) -> None:
        super().__init__()
        width, depth = config.width, config.depth
        widths = [width * min(2**level, 4) for level in range(depth)]
        num_time = 4 * width
        self.patch, self.num_features = config.patch, 2 * width
        self.time = nn.Sequential(
            nn.Linear(2 * width, num_time), nn.SiLU(), nn.Linear(num_time, num_time), nn.SiLU()
        )
        self.stem = nn.Conv2d(shape[0] * config.patch**2, width, 3, padding=1)
        self.down = nn.ModuleList(
            ResidualBlock(a, b, num_time) for a, b in zip([width, *widths], widths, strict=False)
        )
        self.shrink = nn.ModuleList(nn.Conv2d(w, w, 3, stride=2, padding=1) for w in widths[:-1])
        self.middle = ResidualBlock(widths[-1], widths[-1], num_time)
        upwards = widths[::-1]
        self.up = nn.ModuleList(
            ResidualBlock(a + b, b, num_time)
            for a, b in zip([upwards[0], *upwards], upwards, strict=False)
        )
        self.grow = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for w in upwards[:-1])
        self.out_norm = nn.GroupNorm(1, width)
        self.out = nn.Conv2d(width, shape[0] * config.patch**2, 3, padding=1)

    def forward(self, t: float, x: Tensor) -> Tensor:
        exponents = torch.linspace(0, math.log(1000.0), self.num_features // 2, device=x.device)
        angles = t * exponents.exp()
        time = self.time(torch.cat((angles.sin(), angles.cos()))[None])
        h = self.stem(F.pixel_unshuffle(x, self.patch))
        skips = []
        for level, block in enumerate(self.down):
            h = block(h, time)
            skips.append(h)
            if level < len(self.shrink):
                h = self.shrink[level](h)
        h = self.middle(h, time)
        for level, block in enumerate(self.up):
            h = block(torch.cat((h, skips.pop()), dim=1), time)
            if level < len(self.grow):
                h = self.grow[level](F.interpolate(h, scale_factor=2, mode="nearest"))
        return F.pixel_shuffle(self.out(F.silu(self.out_norm(h))), self.patch)


class DownBlock(nn.Module):
    """Residual block, then average pooling by two unless it is the last."""

    def __init__(self, num_in: int, num_out: int, shrink: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_in, num_in, 3, padding=1)
        self.conv2 = nn.Conv2d(num_in, num_out, 3, padding=1)
        self.skip = nn.Conv2d(num_in, num_out, 1, bias=False)
        self.shrink = shrink

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.silu(self.conv1(F.silu(x))))
        h = 0.7071 * (self.skip(x) + h)
        return F.avg_pool2d(h, 2) if self.shrink else h


class ResNetPotential(nn.Module):
    """g(y) on images, ENOT's."""

    def __init__(self, shape: tuple[int, ...], config: NetworkConfig) -> None:
        super().__init__()
        self.patch = config.patch
        widths = [config.width * min(2**level, 8) for level in range(config.depth + 1)]
        self.stem = nn.Conv2d(shape[0] * config.patch**2, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(
            DownBlock(widths[i], widths[i + 1], i < config.depth - 1) for i in range(config.depth)
        )
        self.last = nn.Linear(widths[-1] * _cells(shape, config), 1)

    def forward(self, y: Tensor) -> Tensor:
        h = self.stem(F.pixel_unshuffle(y, self.patch))
        for block in self.blocks:
            h = block(h)
        return self.last(F.silu(h).flatten(1))[:, 0]


class ConvPotential(nn.Module):
    """g(y) on images, EgNOT's: strided convolutions."""

    def __init__(self, shape: tuple[int, ...], config: NetworkConfig) -> None:
        super().__init__()
        self.patch = config.patch
        widths = [config.width * 2**level for level in range(config.depth)]
        layers: list[nn.Module] = [nn.Conv2d(shape[0] * config.patch**2, widths[0], 3, padding=1)]
        layers.append(nn.SiLU())
        for a, b in itertools.pairwise(widths):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.SiLU()]
        self.features = nn.Sequential(*layers)
        self.last = nn.Linear(widths[-1] * _cells(shape, config), 1)

    def forward(self, y: Tensor) -> Tensor:
        return self.last(self.features(F.pixel_unshuffle(y, self.patch)).flatten(1))[:, 0]


def _cells(shape: tuple[int, ...], config: NetworkConfig) -> int:
    """Pixels at the coarsest resolution."""
    factor = config.patch * 2 ** (config.depth - 1)
    return (shape[1] // factor) * (shape[2] // factor)


POTENTIALS = {"mlp": MLPPotential, "resnet": ResNetPotential, "conv": ConvPotential}
DRIFTS = {"mlp": MLPDrift, "unet": UNetDrift}
