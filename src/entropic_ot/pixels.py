"""Images in bytes: 0 to 255 stand for [-1, 1]."""

from __future__ import annotations

import torch

from entropic_ot.types import Points


def from_bytes(values: torch.Tensor) -> Points:
    """uint8 as float32 in [-1, 1]; values of any other type are only brought to float32."""
    return values.float() / 127.5 - 1 if values.dtype == torch.uint8 else values.float()


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """[-1, 1] -> 0 to 255, the nearest; what lies outside goes to the border."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
