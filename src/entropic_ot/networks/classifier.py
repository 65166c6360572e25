"""A small convolutional digit classifier: the independent judge of translated digits."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class DigitClassifier(nn.Module):
    """Grey digits [batch, 1, size, size] in [-1, 1] -> logits [batch, 10]."""

    def __init__(self, *, image_size: int, width: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
        )
        self.last = nn.Sequential(nn.Dropout(0.25), nn.Linear(64 * width, 10))

    def forward(self, grey: torch.Tensor) -> torch.Tensor:
        return self.last(self.features(grey).flatten(1))

    @torch.no_grad()
    def labels(self, images: torch.Tensor) -> torch.Tensor:
        """Classes of coloured images [batch, 3, h, w] in [-1, 1]: [batch] integers."""
        self.eval()
        return self(self._grey(images)).argmax(1)

    @torch.no_grad()
    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer sees of images [batch, 3, h, w] in [-1, 1]: [batch, 64 width]."""
        self.eval()
        return self.features(self._grey(images)).flatten(1)

    def _grey(self, images: torch.Tensor) -> torch.Tensor:
        """[batch, 1, size, size]: the largest channel, which colouring leaves at the grey value.

        Images of another size are resized to the classifier's.
        """
        grey = images.amax(1, keepdim=True).clamp(-1, 1)
        if grey.shape[-1] != self.image_size:
            size = (self.image_size, self.image_size)
            grey = F.interpolate(grey, size=size, mode="bilinear", antialias=True)
        return grey
