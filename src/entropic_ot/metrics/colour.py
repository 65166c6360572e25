"""Does a translation keep the colour?"""

from __future__ import annotations

import numpy as np

from entropic_ot.data.coloured_mnist import mean_hue


def hue_error(x: np.ndarray, y: np.ndarray) -> float:
    """Mean absolute difference on the circle, in degrees, of the mean hues of paired images.

    x, y: [n, 3, h, w] in [-1, 1]. Random pairs of uniform hues give 90. An output without any
    colour counts 90, as if paired at random.
    """
    difference = mean_hue((x + 1) / 2) - mean_hue((y + 1) / 2)
    wrapped = np.abs((difference + 180) % 360 - 180)
    return float(np.where(np.isnan(wrapped), 90.0, wrapped).mean())
