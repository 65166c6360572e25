"""Layers of the image networks that keep little for the backward pass and multiply little."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

EPS = 1e-5
"""Added to the variance, as nn.GroupNorm does."""


class NormSiLU(nn.GroupNorm):
    """SiLU of a group norm of one group; only its input and its output are kept.

    scale, shift [channels]: the norm is multiplied by 1 + scale, then shifted, which changes the
    norm's own weights, so that no pass over the image is made for it.
    One group: in the channels-last layout on a CPU, eight groups take ten times as long or more.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__(1, num_channels, eps=EPS)

    def forward(  # type: ignore[override]
        self,
        x: torch.Tensor,
        scale: torch.Tensor | None = None,
        shift: torch.Tensor | None = None,
    ) -> torch.Tensor:
        weight: torch.Tensor = self.weight
        bias: torch.Tensor = self.bias
        if scale is not None and shift is not None:
            weight, bias = weight * (1 + scale), bias * (1 + scale) + shift
        return _NormSiLU.apply(x, weight, bias)  # type: ignore[no-any-return]


class _NormSiLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        normed, mean, rstd = _normed(x, weight, bias)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return F.silu(normed, inplace=True).to(x.dtype, memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        normed, _, _ = _normed(x, weight, bias)
        grad = torch.ops.aten.silu_backward(_for_norm(gradients[0]), normed)
        batch, channels, height, width = x.shape
        sizes = (batch, channels, height * width, 1)
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_group_norm_backward(
            grad, _for_norm(x), mean, rstd, weight, *sizes, list(ctx.needs_input_grad)
        )
        if grad_x is not None:
            grad_x = grad_x.to(x.dtype, memory_format=torch.channels_last)
        return grad_x, grad_weight, grad_bias


def _for_norm(x: torch.Tensor) -> torch.Tensor:
    """x as the kernels of the norm take it, whatever layout a gradient comes in.

    CPU: channels last, and bfloat16 beside weights in float32. GPU: contiguous and one type.
    """
    if x.device.type == "cpu":
        return x.contiguous(memory_format=torch.channels_last)
    return (x.float() if x.dtype == torch.bfloat16 else x).contiguous()


def _normed(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Group norm, its mean and 1 / standard deviation."""
    batch, channels, height, width = x.shape
    sizes = (batch, channels, height * width, 1)
    return torch.native_group_norm(_for_norm(x), weight, bias, *sizes, EPS)


class DoublingConv(nn.Conv2d):
    """A 3x3 convolution of the image enlarged by two (nearest): [.., h, w] -> [.., 2h, 2w].

    Neighbours in the enlarged image are equal, so the 9 products of a pixel are 4 with sums of
    weights: a transposed convolution of stride 2, its 4x4 filters the 3x3 ones spread over 2x2.
    """

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__(num_in, num_out, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w = self.weight.flip(2, 3).transpose(0, 1)
        rows = F.pad(w, (0, 0, 0, 1)) + F.pad(w, (0, 0, 1, 0))
        filters = F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))
        return F.conv_transpose2d(x, filters, self.bias, stride=2, padding=1)
