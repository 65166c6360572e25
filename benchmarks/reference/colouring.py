"""Coloured digits, one picture after the other: the formula of entropic_ot.data.coloured_mnist."""

from __future__ import annotations

import numpy as np
from PIL import Image


def coloured_digits(images: np.ndarray, *, image_size: int, rng: np.random.Generator) -> np.ndarray:
    """Grey digits uint8 [n, h, w] resized, each in a random hue: uint8 [n, 3, size, size]."""
    coloured = []
    for image in images:
        resized = Image.fromarray(image).resize((image_size, image_size), Image.Resampling.BILINEAR)
        coloured.append(_one(np.asarray(resized, dtype=np.float64), rng.uniform(0.0, 360.0)))
    return np.stack(coloured)


def _one(grey: np.ndarray, hue: float) -> np.ndarray:
    """One digit [h, w] in the hue's colour, [3, h, w] red, green, blue."""
    rising = grey * ((hue % 60.0) / 60.0)
    falling, nothing = grey - rising, np.zeros_like(grey)
    sectors = [
        (grey, rising, nothing),
        (falling, grey, nothing),
        (nothing, grey, rising),
        (nothing, falling, grey),
        (rising, nothing, grey),
        (grey, nothing, falling),
    ]
    return np.rint(np.stack(sectors[round(hue / 60.0) % 6])).astype(np.uint8)
