"""Two-dimensional problems of the two papers' figures."""

from __future__ import annotations

import math

import torch

from entropic_ot.types import Points


class StandardNormal:
    """N(0, I) of a given point shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    def sample(self, n: int, *, rng: torch.Generator) -> Points:
        return torch.randn(n, *self.shape, generator=rng, device=rng.device)


class EightGaussians:
    """Equal mixture of eight round Gaussians on a circle (ENOT paper, section 5.1)."""

    shape = (2,)

    def __init__(self, *, radius: float, std: float) -> None:
        self.radius, self.std = radius, std

    def centres(self) -> torch.Tensor:
        """[8, 2], counter-clockwise from (radius, 0)."""
        angles = torch.arange(8) * (math.pi / 4)
        return self.radius * torch.stack([angles.cos(), angles.sin()], dim=1)

    def sample(self, n: int, *, rng: torch.Generator) -> Points:
        mode = torch.randint(8, (n,), generator=rng, device=rng.device)
        noise = torch.randn(n, 2, generator=rng, device=rng.device)
        return self.centres().to(rng.device)[mode] + self.std * noise


class SwissRoll:
    """Spiral (u cos u, u sin u), u = 1.5 pi (1 + 2 U), plus noise, all times `scale`.

    Columns 0 and 2 of the usual three-dimensional Swiss roll (EgNOT paper, section 5.1).
    """

    shape = (2,)

    def __init__(self, *, noise: float, scale: float) -> None:
        self.noise, self.scale = noise, scale

    def sample(self, n: int, *, rng: torch.Generator) -> Points:
        u = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=rng, device=rng.device))
        spiral = torch.stack([u * u.cos(), u * u.sin()], dim=1)
        noise = torch.randn(n, 2, generator=rng, device=rng.device)
        return self.scale * (spiral + self.noise * noise)
