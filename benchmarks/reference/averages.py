"""The averaged copy of a network's weights, one tensor after the other."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of weights; the decay at update n is min(decay, (1+n)/(10+n))."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay, self.num_updates = copy.deepcopy(network), decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for old, new in zip(self.network.parameters(), network.parameters(), strict=True):
            old.copy_(decay * old + (1 - decay) * new)


def first_moments(optimizer: torch.optim.Optimizer) -> Tensor:
    """Adam's running mean of the gradients, all weights in one vector."""
    moments = [
        optimizer.state[p]["exp_avg"] for group in optimizer.param_groups for p in group["params"]
    ]
    return torch.cat([m.flatten() for m in moments])
