"""Fully connected potential and drift for vectors (both papers, Gaussians: 3 layers of 512)."""

from __future__ import annotations

import torch
from torch import nn

from entropic_ot.types import PerPoint, Points


class MLP(nn.Module):
    """Linear - SiLU - ... - Linear. The first layer stays in float32 under autocast.

    In bfloat16 the coordinates of the input themselves would be rounded to 8 bits.
    """

    def __init__(self, num_in: int, num_out: int, *, width: int, depth: int) -> None:
        super().__init__()
        self.first = nn.Linear(num_in, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.last = nn.Linear(width, num_out)

    def forward(self, x: Points) -> Points:
        with torch.autocast(x.device.type, enabled=False):
            h = nn.functional.silu(self.first(x))
        for layer in self.hidden:
            h = nn.functional.silu(layer(h))
        return self.last(h).float()


class MLPPotential(nn.Module):
    """g: [batch, dim] -> [batch]."""

    def __init__(self, dim: int, *, width: int, depth: int) -> None:
        super().__init__()
        self.net = MLP(dim, 1, width=width, depth=depth)

    def forward(self, y: Points) -> PerPoint:
        return self.net(y).squeeze(1)


class MLPDrift(nn.Module):
    """f: (t, [batch, dim]) -> [batch, dim]; t is appended to the input."""

    def __init__(self, dim: int, *, width: int, depth: int) -> None:
        super().__init__()
        self.net = MLP(dim + 1, dim, width=width, depth=depth)

    def forward(self, t: float, x: Points) -> Points:
        return self.net(torch.cat([x, x.new_full((len(x), 1), t)], dim=1))
