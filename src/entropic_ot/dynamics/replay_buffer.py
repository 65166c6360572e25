"""Where Langevin chains start: remembered states of earlier chains (Du and Mordatch, 2019)."""

from __future__ import annotations

import torch

from entropic_ot.types import Points


class ReplayBuffer:
    """Pairs (x, y) in preallocated tensors: the source point and the last state of its chain.

    x is kept with y because pi(y | x) differs from x to x: a restarted chain goes on for its own x.
    """

    def __init__(
        self,
        size: int,
        shape: tuple[int, ...],
        *,
        device: torch.device,
        source_shape: tuple[int, ...] | None = None,
    ) -> None:
        """`shape` of y; `source_shape` of x, where it is another."""
        self.x = torch.zeros(size, *(source_shape or shape), device=device)
        self.y = torch.zeros(size, *shape, device=device)
        self.filled = 0

    @property
    def pairs(self) -> tuple[Points, Points]:
        """x and y of the rows that were written."""
        return self.x[: self.filled], self.y[: self.filled]

    def rows(self, n: int, *, rng: torch.Generator) -> torch.Tensor:
        """n different rows [n] to go on with: empty ones as long as there are some, then random."""
        size = len(self.x)
        if self.filled < size:
            return (self.filled + torch.arange(n, device=self.x.device)) % size
        return torch.randperm(size, generator=rng, device=rng.device)[:n]

    def write(self, rows: torch.Tensor, x: Points, y: Points) -> None:
        """Put the pairs where they came from: no chain is ever there twice."""
        self.x[rows], self.y[rows] = x.detach(), y.detach()
        self.filled = min(self.filled + len(rows), len(self.x))

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"x": self.x, "y": self.y, "filled": torch.tensor([self.filled])}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.x.copy_(state["x"])
        self.y.copy_(state["y"])
        self.filled = int(state["filled"][0])


class PersistentStates:
    """One chain per source point of a finite distribution, as the EgNOT paper does on images."""

    def __init__(self, initial: Points) -> None:
        self.y = initial.clone()

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"y": self.y}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.y.copy_(state["y"])
