"""Where Langevin chains start: remembered states of earlier chains (Du and Mordatch, 2019)."""

from __future__ import annotations

import torch

from entropic_ot.types import Points


class ReplayBuffer:
    """Pairs (x, y) in preallocated tensors: the source point and the last state of its chain.

    x is kept with y because pi(y | x) differs from x to x: a restarted chain goes on for its own x.
    """

    def __init__(self, size: int, shape: tuple[int, ...], *, device: torch.device) -> None:
        self.x = torch.zeros(size, *shape, device=device)
        self.y = torch.zeros(size, *shape, device=device)
        self.filled = 0
        self.position = 0

    def draw(self, n: int, *, rng: torch.Generator) -> tuple[Points, Points]:
        """n stored pairs, drawn with replacement; the buffer must not be empty."""
        rows = torch.randint(self.filled, (n,), generator=rng, device=rng.device)
        return self.x[rows], self.y[rows]

    def push(self, x: Points, y: Points) -> None:
        """Write the pairs over the oldest ones."""
        rows = (self.position + torch.arange(len(x), device=self.x.device)) % len(self.x)
        self.x[rows], self.y[rows] = x.detach(), y.detach()
        self.position = int((self.position + len(x)) % len(self.x))
        self.filled = min(self.filled + len(x), len(self.x))

    def state_dict(self) -> dict[str, torch.Tensor]:
        counters = torch.tensor([self.filled, self.position])
        return {"x": self.x, "y": self.y, "counters": counters}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.x.copy_(state["x"])
        self.y.copy_(state["y"])
        self.filled, self.position = (int(c) for c in state["counters"])


class PersistentStates:
    """One chain per source point of a finite distribution, as the EgNOT paper does on images."""

    def __init__(self, initial: Points) -> None:
        self.y = initial.clone()

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"y": self.y}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.y.copy_(state["y"])
