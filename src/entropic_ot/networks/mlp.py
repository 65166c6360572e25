"""Fully connected potential and drift for vectors (both papers, Gaussians: 3 layers of 512)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


NUM_POWERS = 4
"""1, t, t^2, t^3: the powers of the time in A(t)."""


def time_powers(times: Sequence[float], *, device: torch.device) -> torch.Tensor:
    """t_k^p, p = 0 .. 3: [len(times), NUM_POWERS]; one tensor for all times of a path."""
    return torch.tensor([[t**p for p in range(NUM_POWERS)] for t in times], device=device)


def linear_maps(coefficients: torch.Tensor, powers: torch.Tensor) -> torch.Tensor:
    """A(t_k) = sum_p t_k^p coefficients_p [NUM_POWERS, dim, dim] at N times: [N, dim, dim].

    For all steps of a path at once: a small tensor of each step's own would make a GPU wait.
    """
    return torch.einsum("kp,pde->kde", powers, coefficients)


def mlp_gradient(
    y: Points,
    into: torch.Tensor,
    first_bias: torch.Tensor,
    weights: list[torch.Tensor],
    biases: list[torch.Tensor],
    end: torch.Tensor,
    back: torch.Tensor,
) -> Points:
    """Gradient of an MLP with one output at y [batch, dim], float32; no graph is made.

    The first layer is computed in float32 by `into` [dim, width], the hidden ones in the type of
    `weights`, and the way back ends with `end` [1, width] and `back` [width, dim] in that type.
    """
    before = [torch.addmm(first_bias, y, into).to(back.dtype)]
    for weight, bias in zip(weights, biases, strict=True):
        before.append(nn.functional.linear(nn.functional.silu(before[-1]), weight, bias))
    delta = torch.ops.aten.silu_backward(end.expand_as(before[-1]), before[-1])
    for weight, a in zip(reversed(weights), reversed(before[:-1]), strict=True):
        delta = torch.ops.aten.silu_backward(delta @ weight, a)
    return (delta @ back).float()


class MLPPotential(nn.Module):
    """g: [batch, dim] -> [batch]."""

    def __init__(self, dim: int, *, width: int, depth: int) -> None:
        super().__init__()
        self.net = MLP(dim, 1, width=width, depth=depth)

    def input_gradient(
        self, *, dtype: torch.dtype, evaluate: Callable[..., Points] = mlp_gradient
    ) -> Callable[[Points], Points]:
        """y -> grad g(y) [batch, dim], float32, with the weights as they are now.

        The weights are cast to `dtype` once for as many evaluations as a Langevin chain makes.
        `evaluate`: `mlp_gradient`, or what a compiler has made of it.
        """
        first, hidden, last = self.net.first, self.net.hidden, self.net.last
        into = first.weight.detach().t()
        first_bias = first.bias.detach()
        back = first.weight.detach().to(dtype)
        parameters = [p.detach().to(dtype) for p in hidden.parameters()]
        weights, biases = parameters[::2], parameters[1::2]
        end = last.weight.detach().to(dtype)

        @torch.no_grad()
        def gradient(y: Points) -> Points:
            return evaluate(y, into, first_bias, weights, biases, end, back)

        return gradient

    def forward(self, y: Points) -> PerPoint:
        return self.net(y).squeeze(1)


class MLPDrift(nn.Module):
    """f: (t, [batch, dim]) -> [batch, dim]; t is one time, or one for each row [batch, 1]."""

    def __init__(self, dim: int, *, width: int, depth: int) -> None:
        super().__init__()
        self.net = MLP(dim + 1, dim, width=width, depth=depth)

    def forward(self, t: float | torch.Tensor, x: Points) -> Points:
        times = t if isinstance(t, torch.Tensor) else x.new_full((len(x), 1), t)
        return self.net(torch.cat([x, times], dim=1))


class QuadraticMLPPotential(MLPPotential):
    """g(y) = MLP(y) + 1/2 y^T S y with S symmetric, zero at the start.

    The potential of a Gaussian plan is quadratic, so between distributions that are not far from
    Gaussian the network has little left to learn.
    """

    def __init__(self, dim: int, *, width: int, depth: int) -> None:
        super().__init__(dim, width=width, depth=depth)
        self.quadratic = nn.Parameter(torch.zeros(dim, dim))

    def symmetric(self) -> torch.Tensor:
        """S [dim, dim]."""
        return (self.quadratic + self.quadratic.t()) / 2

    def forward(self, y: Points) -> PerPoint:
        with torch.autocast(y.device.type, enabled=False):
            form = ((y @ self.symmetric()) * y).sum(1) / 2
        return super().forward(y) + form

    def input_gradient(
        self, *, dtype: torch.dtype, evaluate: Callable[..., Points] = mlp_gradient
    ) -> Callable[[Points], Points]:
        network = super().input_gradient(dtype=dtype, evaluate=evaluate)
        symmetric = self.symmetric().detach()
        return lambda y: network(y).addmm_(y, symmetric)


class LinearMLPDrift(MLPDrift):
    """f(t, x) = MLP(t, x) + x A(t), the linear map being zero at the start.

    The companion of QuadraticMLPPotential: the drift of a Gaussian plan is linear in x.
    """

    def __init__(self, dim: int, *, width: int, depth: int) -> None:
        super().__init__(dim, width=width, depth=depth)
        self.linear = nn.Parameter(torch.zeros(NUM_POWERS, dim, dim))

    def forward(self, t: float | torch.Tensor, x: Points) -> Points:
        with torch.autocast(x.device.type, enabled=False):
            if isinstance(t, torch.Tensor):
                scaled = torch.cat([t**p * x for p in range(NUM_POWERS)], dim=1)
                mapped = scaled @ self.linear.flatten(0, 1)
            else:
                mapped = x @ linear_maps(self.linear, time_powers([t], device=x.device))[0]
        return super().forward(t, x) + mapped
