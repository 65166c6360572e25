"""Layers of StyleGAN2 (arXiv 1912.04958) in plain PyTorch operations.

All are twice differentiable and run in float64, float32 and under bfloat16 autocast. Images are
[batch, channels, h, w], channels last in memory. Parameters have the names and shapes of the
published networks.

An image with zeros all around is filtered and resampled as one signal on the whole plane, which is
cut to size once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.2
EPS = 1e-8


def blur_kernel(like: torch.Tensor) -> torch.Tensor:
    """[4, 4]: the outer product of (1, 3, 3, 1)/8 with itself, which sums to 1."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=like.dtype, device=like.device) / 8
    return torch.outer(row, row)


def _per_channel(x: torch.Tensor) -> torch.Tensor:
    return blur_kernel(x).expand(x.shape[1], 1, 4, 4)


def upsample(x: torch.Tensor) -> torch.Tensor:
    """Twice the height and width: zeros between the pixels, then 4 times the blur."""
    return F.conv_transpose2d(x, 4 * _per_channel(x), stride=2, padding=1, groups=x.shape[1])


def downsample(x: torch.Tensor) -> torch.Tensor:
    """Half the height and width: the blur, then every second pixel."""
    return F.conv2d(x, _per_channel(x), stride=2, padding=1, groups=x.shape[1])


def convolve(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Correlation with `weight` [out, in, k, k], k odd; the size stays."""
    return F.conv2d(x, weight, padding=weight.shape[2] // 2)


def convolve_up(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Zeros between the pixels, convolution with `weight` [out, in, k, k], 4 times the blur.

    A convolution, so that the weight is mirrored, where `convolve` is a correlation.
    """
    if weight.shape[2] == 1:  # commutes with the blur, and is cheaper on the small image
        return upsample(F.conv2d(x, weight))
    grown = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return F.conv2d(grown, 4 * _per_channel(grown), padding=1, groups=grown.shape[1])


def convolve_down(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The blur, correlation with `weight` [out, in, k, k], then every second pixel."""
    if weight.shape[2] == 1:
        return F.conv2d(downsample(x), weight)
    blurred = F.conv2d(x, _per_channel(x), padding=2, groups=x.shape[1])
    return F.conv2d(blurred, weight, stride=2)


def modulated_convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    styles: torch.Tensor,
    *,
    demodulate: bool = True,
    up: bool = False,
) -> torch.Tensor:
    """Convolution with w'_oik = s_i w_oik / sqrt(sum_ik (s_i w_oik)^2 + eps), s per sample.

    Equations 1 and 3 of the paper; the division only if `demodulate`. s_i scales the input and the
    root the output, so that the whole batch shares the weight `weight` [out, in, k, k].
    `styles` is [batch, in].
    """
    h = x * styles[:, :, None, None].to(x.dtype)
    h = convolve_up(h, weight) if up else convolve(h, weight)
    if demodulate:
        squares = styles.square() @ weight.square().sum((2, 3)).t()
        h = h * (squares + EPS).rsqrt()[:, :, None, None].to(h.dtype)
    return h


def activate(x: torch.Tensor, *, gain: float = 1.0, clamp: float | None = None) -> torch.Tensor:
    """gain √2 leaky_relu(x), within ± gain clamp."""
    h = F.leaky_relu(x, SLOPE) * (math.sqrt(2) * gain)
    return h if clamp is None else h.clamp(-clamp * gain, clamp * gain)


def add_bias(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """x [batch, channels, h, w] + bias [channels], in the precision of x."""
    return x + bias[:, None, None].to(x.dtype)


class EqualLinear(nn.Module):
    """x W^T + b; what is stored is W/(m/√in) and b/m, so that all weights learn at one rate.

    m is `rate`, the learning rate relative to that of other layers (arXiv 1710.10196, section 4.1,
    and 1812.04948, appendix C). `bias` is the stored bias at the start. Under autocast too it
    computes in the precision of its weights: the mapping in bfloat16 would cost a tenth of the
    gradient in z, and saves no time.
    """

    def __init__(self, num_in: int, num_out: int, *, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_out, num_in) / rate)
        self.bias = nn.Parameter(torch.full((num_out,), bias))
        self.weight_gain, self.bias_gain = rate / math.sqrt(num_in), rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.weight * self.weight_gain, self.bias * self.bias_gain
            return F.linear(x.to(weight.dtype), weight, bias)


class EqualConv(nn.Module):
    """Convolution whose stored weight is √(in k²) times the one that acts."""

    def __init__(self, num_in: int, num_out: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_out, num_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(num_out)) if bias else None
        self.gain = 1 / math.sqrt(num_in * kernel**2)

    def forward(
        self,
        x: torch.Tensor,
        convolution: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = convolve,
    ) -> torch.Tensor:
        """`convolution`: convolve, convolve_up or convolve_down."""
        h = convolution(x, self.weight * self.gain)
        return h if self.bias is None else add_bias(h, self.bias)
