"""Euler-Maruyama through an MLP drift as one node of the autograd graph.

Autograd would make some twenty nodes a step and cast the weights anew in each step. Here they are
cast once, what the backward pass needs lies in buffers made once, and the weights' gradient is
added up in float32. The mathematics is that of `dynamics.euler_maruyama` with
f = factor_k (net(t_k, x) + shortcut x), which the tests compare it with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from entropic_ot.distributed import Rows, randn
from entropic_ot.networks.mlp import MLP, linear_maps, time_powers
from entropic_ot.types import PerPoint, Points


@dataclass(frozen=True)
class Grid:
    """The N steps of a simulation, each a plain list of N numbers."""

    times: list[float]
    """t_k, the start of step k."""
    steps: list[float]
    """dt_k, its length."""
    noise_scales: list[float]
    """Standard deviation of the noise added in step k; 0: none is drawn."""
    factors: list[float]
    """f = factor_k (net(t_k, x) + shortcut x)."""
    shortcut: float = 0.0
    """The weight of x in f, the same in every step."""


def mlp_path(
    net: MLP,
    x0: Points,
    grid: Grid,
    *,
    rng: torch.Generator,
    dtype: torch.dtype,
    linear: torch.Tensor | None = None,
    observe: Callable[[int, Points], None] | None = None,
    rows: Rows | None = None,
) -> tuple[Points, PerPoint, PerPoint]:
    """(X_1 [batch, dim], energy [batch], noise_work [batch]) as in `SDEPath`.

    X_1 and the energy are differentiable in the weights; noise_work is without a gradient.

    Hidden layers are computed in `dtype`; state, noise, energy and the first layer in float32. The
    noise is drawn as `euler_maruyama` draws it. There is no gradient with respect to x0.
    `observe` and `rows` as there. `linear` [4, dim, dim] adds x A(t_k) to the network, see
    `linear_maps`.
    """
    parameters = [p for layer in (net.first, *net.hidden, net.last) for p in layer.parameters()]
    keep = torch.is_grad_enabled() and any(p.requires_grad for p in parameters)
    return _MLPPath.apply(x0, grid, rng, rows, dtype, observe, keep, linear, *parameters)  # type: ignore[no-any-return]


class _MLPPath(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x0: Points,
        grid: Grid,
        rng: torch.Generator,
        rows: Rows | None,
        dtype: torch.dtype,
        observe: Callable[[int, Points], None] | None,
        keep: bool,
        linear: torch.Tensor | None,
        *parameters: torch.Tensor,
    ) -> tuple[Points, PerPoint, PerPoint]:
        weights, biases = parameters[::2], parameters[1::2]
        cast = [w.to(dtype) for w in weights]
        cast_biases = [b.to(dtype) for b in biases]
        batch, dim = x0.shape
        num_steps, num_hidden = len(grid.times), len(weights) - 1
        inputs = x0.new_empty(num_steps if keep else 1, batch, dim + 1)
        shape = (num_steps if keep else 1, batch, weights[0].shape[0])
        before = [torch.empty(shape, dtype=dtype, device=x0.device) for _ in range(num_hidden)]
        drifts = torch.empty_like(inputs[..., :dim])
        first_bias = biases[0]
        powers = maps = None
        if linear is not None:
            powers = time_powers(grid.times, device=x0.device)
            maps = linear_maps(linear, powers)
        x, energy, noise_work = x0, x0.new_zeros(batch), x0.new_zeros(batch)
        for k in range(num_steps):
            row = k if keep else 0
            inputs[row, :, :dim], inputs[row, :, dim] = x, grid.times[k]
            a = before[0][row]
            a.copy_(torch.addmm(first_bias, inputs[row], weights[0].t()))
            for layer in range(1, num_hidden):
                h = F.silu(a)
                a = before[layer][row]
                torch.addmm(cast_biases[layer], h, cast[layer].t(), out=a)
            out = torch.addmm(cast_biases[-1], F.silu(a), cast[-1].t())
            if maps is not None:
                out = out.float().addmm_(x, maps[k])
            if grid.shortcut:
                out = out.float().add_(x, alpha=grid.shortcut)
            f = torch.mul(out, grid.factors[k], out=drifts[row])
            energy += f.square().sum(1) * (grid.steps[k] / 2)
            x = x + f * grid.steps[k]
            if grid.noise_scales[k] > 0:
                noise = randn(x.shape, rows, rng=rng, device=x.device, dtype=x.dtype)
                noise_work.add_((f * noise).sum(1), alpha=grid.noise_scales[k])
                x.add_(noise, alpha=grid.noise_scales[k])
            if observe is not None:
                observe(k + 1, x)
        if keep:
            ctx.grid, ctx.cast, ctx.shapes = grid, cast, [p.shape for p in parameters]
            ctx.save_for_backward(inputs, drifts, weights[0], powers, maps, *before)
        ctx.mark_non_differentiable(noise_work)
        return x, energy, noise_work

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_final, grad_energy, _ = gradients
        inputs, drifts, first_weight, powers, maps, *before = ctx.saved_tensors
        grid, cast = ctx.grid, ctx.cast
        dim = drifts.shape[2]
        grad_maps = None if maps is None else torch.empty_like(maps)
        sums = [inputs.new_zeros(shape) for shape in ctx.shapes]
        adjoint = grad_final.clone()
        for k in reversed(range(len(grid.times))):
            # dL/df = dt (adjoint + f dL/denergy); the adjoint is dL/dX_{k+1}.
            grad_f = torch.addcmul(adjoint, drifts[k], grad_energy[:, None])
            grad_out = grad_f.mul_(grid.steps[k] * grid.factors[k])
            if maps is not None and grad_maps is not None:
                torch.mm(inputs[k, :, :dim].t(), grad_out, out=grad_maps[k])
                adjoint.addmm_(grad_out, maps[k].t())
            if grid.shortcut:
                adjoint.add_(grad_out, alpha=grid.shortcut)
            delta = grad_out.to(cast[-1].dtype)
            for layer in reversed(range(len(before))):
                a = before[layer][k]
                _accumulate(sums, layer + 1, delta, F.silu(a))
                delta = torch.ops.aten.silu_backward(delta @ cast[layer + 1], a)
            delta = delta.float()
            _accumulate(sums, 0, delta, inputs[k])
            adjoint.addmm_(delta, first_weight[:, :dim])
        grad_linear = None
        if powers is not None and grad_maps is not None:
            grad_linear = torch.einsum("kp,kde->pde", powers, grad_maps)
        return (None,) * 7 + (grad_linear, *sums)


def _accumulate(
    sums: list[torch.Tensor], layer: int, delta: torch.Tensor, layer_in: torch.Tensor
) -> None:
    """Add one step's dL/dW = delta^T layer_in and dL/db of a layer, in float32."""
    if layer:
        sums[2 * layer] += delta.t() @ layer_in
    else:  # few columns, in float32: twice as fast this way round
        sums[0] += (layer_in.t() @ delta).t()
    sums[2 * layer + 1] += delta.float().sum(0)
