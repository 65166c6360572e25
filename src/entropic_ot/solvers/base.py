"""What every solver does, and the pieces they share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from entropic_ot.distributed import average_gradients
from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.config import Schedule
from entropic_ot.types import Points


class Solver(Protocol):
    """Learns a plan step by step and samples y given x from it.

    `state_dict` has two parts: "model" is all that `sample` needs, "training" is what only
    `step` needs (optimisers, chains). Sampling never changes either.
    """

    device: torch.device
    shape: tuple[int, ...]
    """Of one point of the target."""
    epsilon: float
    precision: str
    """Type of the numbers in which most of the work is done, for the records."""

    @property
    def compiled(self) -> str:
        """Mode of torch.compile in use, "no" where there is none, for the records."""
        ...

    def step(
        self, problem: EOTProblem, *, rng: torch.Generator, progress: float
    ) -> dict[str, float]:
        """One outer step; `progress` in [0, 1) is the share of the training done so far."""
        ...

    def sample(self, x: Points, *, rng: torch.Generator) -> Points:
        """One y from the learned pi(. | x) for each row of x."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class AveragedModule:
    """A network and the exponential moving average of its weights, which is what is evaluated.

    The decay is min(decay, (1 + n) / (10 + n)) at update n, so that early averages forget the
    initial weights.
    """

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        self.module, self.decay = module, decay
        self.average = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self.num_updates = 0

    @torch.no_grad()
    def update(self) -> None:
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for name, value in self.module.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The module with the averaged weights, without gradients; restored afterwards."""
        weights = {k: v.clone() for k, v in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        try:
            with frozen(self.module):
                yield self.module
        finally:
            self.module.load_state_dict(weights)

    def model_state(self) -> dict[str, torch.Tensor]:
        return dict(self.average)

    def training_state(self) -> dict[str, Any]:
        weights = {k: v.detach() for k, v in self.module.state_dict().items()}
        return {"weights": weights, "num_updates": self.num_updates}

    def load(self, model: dict[str, torch.Tensor], training: dict[str, Any] | None) -> None:
        self.module.load_state_dict(model if training is None else training["weights"])
        for name, value in model.items():
            self.average[name].copy_(value)
        self.num_updates = 0 if training is None else int(training["num_updates"])


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No gradient to the weights inside: the backward pass to the input costs half as much."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)


def decayed(learning_rate: float, schedule: Schedule, progress: float) -> float:
    """The learning rate at this progress in [0, 1): constant, or falling to zero."""
    if schedule == "linear":
        return learning_rate * (1 - progress)
    if schedule == "cosine":
        return learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return learning_rate


def adam(module: AveragedModule, *, beta1: float) -> torch.optim.Adam:
    """The optimiser of the weights that are trained, with torch's defaults but for `beta1`.

    Solvers make it when they first need it: an optimiser imports torch's compiler, which takes as
    long as torch itself, and whoever only samples needs none.
    """
    return torch.optim.Adam(module.module.parameters(), betas=(beta1, 0.999))


def apply_gradients(
    optimizer: torch.optim.Optimizer, loss: torch.Tensor, *, learning_rate: float
) -> None:
    """One optimiser step at this learning rate on `loss`, averaged over the processes."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    average_gradients(p for group in optimizer.param_groups for p in group["params"])
    optimizer.step()
