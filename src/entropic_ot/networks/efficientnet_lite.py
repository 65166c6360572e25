"""EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation and with ReLU6)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

IMAGE_SIZE = 224
NUM_FEATURES = 1280
NORM_EPS = 1e-3
_STAGES = (  # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: ceil(size / stride) outputs, an odd pixel last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (_padding(size, kernel, stride) for size in x.shape[2:])
        return super().forward(F.pad(x, (*width, *height)))


def _padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after one axis."""
    num_outputs = -(-size // stride)
    total = max((num_outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm and, unless `linear`, ReLU6."""

    def __init__(
        self,
        num_in: int,
        num_out: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = SameConv(num_in, num_out, kernel, stride=stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(num_out, eps=NORM_EPS)
        self.linear = linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x))
        return x if self.linear else F.relu6(x)


class InvertedBottleneck(nn.Module):
    """1x1 expansion (left out at expansion 1), depthwise convolution, linear 1x1 projection."""

    def __init__(
        self, num_in: int, num_out: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        width = num_in * expansion
        self.expand = ConvNorm(num_in, width, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(width, width, kernel, stride=stride, groups=width)
        self.project = ConvNorm(width, num_out, 1, linear=True)
        self.residual = stride == 1 and num_in == num_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


class EfficientNetLite0(nn.Module):
    """Images [batch, 3, h, w], bytes v as (v - 127) / 128 -> ImageNet logits [batch, 1000]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, stride=2)
        blocks, num_in = [], 32
        for kernel, first_stride, expansion, num_out, num_blocks in _STAGES:
            for i in range(num_blocks):
                stride = first_stride if i == 0 else 1
                blocks.append(
                    InvertedBottleneck(
                        num_in, num_out, kernel=kernel, stride=stride, expansion=expansion
                    )
                )
                num_in = num_out
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(num_in, NUM_FEATURES, 1)
        self.last = nn.Linear(NUM_FEATURES, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.embed(x))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """What the last layer sees, averaged over pixels: [batch, 1280]."""
        features: torch.Tensor = self.head(self.blocks(self.stem(x))).mean((2, 3))
        return features

    def load_published(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the state dict of efficientnet-lite0-57934424.pth; RuntimeError if names differ."""
        self.load_state_dict({_own_name(name): value for name, value in state.items()})


_OUTER = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.norm",
    "_conv_head": "head.conv",
    "_bn1": "head.norm",
    "_fc": "last",
}
_IN_BLOCK = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


def _own_name(published: str) -> str:
    """stem.norm.bias for _bn0.bias, blocks.3.expand.norm.bias for _blocks.3._bn0.bias."""
    match = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(_\w+)\.(\w+)", published)
    if match is None:
        return published
    block, layer, field = match.groups()
    if block is None:
        return f"{_OUTER.get(layer, layer)}.{field}"
    return f"blocks.{block}.{_IN_BLOCK.get(layer, layer)}.{field}"
