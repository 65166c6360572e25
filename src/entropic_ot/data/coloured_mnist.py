r"""Coloured MNIST: one digit on each side, every picture in one random hue.

The colouring is that of the ENOT authors' data. For a hue angle :math:`H \in [0, 360)` and a
pixel of intensity :math:`V`, with the ramp :math:`a = V (H \bmod 60) / 60`, the sector
:math:`i = \mathrm{round}(H / 60) \bmod 6` (halves to even) chooses (red, green, blue)::

    i = 0: (V,     a,     0)        i = 3: (0,     V - a, V)
    i = 1: (V - a, V,     0)        i = 4: (a,     0,     V)
    i = 2: (0,     V,     a)        i = 5: (V,     0,     V - a)

This is HSV with full saturation, except that HSV takes the floor of H / 60 where the authors
round. So what is *seen* is the HSV hue :math:`60 i + (H \bmod 60)`, modulo 360: H itself in the
first half of each sixth of the circle and H + 60 in the second half. That map permutes half
sixths, so the seen hue is uniform on the circle as well. Files and functions here speak of the
seen hue wherever they do not say "drawn".

One departure: the authors reseed for each digit, so their i-th 2 and i-th 3 share a hue. Here
each side and split has a random stream of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from entropic_ot.data.arrays import staged_folder, write_meta
from entropic_ot.data.mnist import NUM_CLASSES, load_mnist
from entropic_ot.errors import ConfigError, DataError

_VALUE_RANGE = "uint8 0..255 stands for [-1, 1]: x / 127.5 - 1"
_BLOCK_ROWS = 1024
# For each sector, which of the planes V, a, V - a, 0 becomes red, green and blue.
_V, _A, _V_MINUS_A, _ZERO = range(4)
_PLANES_OF_SECTOR = np.array(
    [
        (_V, _A, _ZERO),
        (_V_MINUS_A, _V, _ZERO),
        (_ZERO, _V, _A),
        (_ZERO, _V_MINUS_A, _V),
        (_A, _ZERO, _V),
        (_V, _ZERO, _V_MINUS_A),
    ]
)


def draw_hues(num: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw hue angles in degrees, uniform on [0, 360); shape [num]."""
    return rng.uniform(0.0, 360.0, size=num)


def seen_hue(drawn: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The HSV hue, in degrees, of a picture coloured with the angle ``drawn``; same shape."""
    angle = np.asarray(drawn, dtype=np.float64)
    return (60.0 * _sector(angle) + angle % 60.0) % 360.0


def _sector(drawn: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(drawn / 60.0).astype(np.int64) % 6


def colour(grey: NDArray[np.uint8], drawn: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Colour each grey picture by its drawn hue angle (formula at the top of this module).

    Args:
        grey: uint8 [n, height, width], 0 is background.
        drawn: degrees in [0, 360), shape [n].

    Returns:
        uint8 [n, 3, height, width], channels red, green, blue, rounded to the nearest integer.
    """
    assert grey.dtype == np.uint8
    assert drawn.shape == grey.shape[:1]
    coloured = np.empty((len(grey), 3, *grey.shape[1:]), dtype=np.uint8)
    for start in range(0, len(grey), _BLOCK_ROWS):  # bounds the float64 intermediates
        rows = slice(start, start + _BLOCK_ROWS)
        angle = np.asarray(drawn[rows], dtype=np.float64)
        value = grey[rows].astype(np.float64)
        ramp = value * ((angle % 60.0) / 60.0)[:, None, None]
        planes = np.stack([value, ramp, value - ramp, np.zeros_like(value)], axis=1)
        chosen = _PLANES_OF_SECTOR[_sector(angle)]
        coloured[rows] = np.rint(planes[np.arange(len(angle))[:, None], chosen])
    return coloured


def mean_hue(images: NDArray[Any]) -> NDArray[np.float32]:
    """Hue of each picture's mean colour; bright pixels count in proportion to their intensity.

    A grey offset, such as a background that is not quite black, does not change the estimate.

    Args:
        images: [n, 3, height, width], red, green and blue. uint8, or floats in any range where
            equal channels mean grey, such as [-1, 1].

    Returns:
        float32 [n], degrees in [0, 360); NaN for a picture whose mean colour is exactly grey, as
        that has no hue.
    """
    mean = images.mean(axis=(2, 3), dtype=np.float64)
    red, green, blue = mean.T
    largest, smallest = mean.max(axis=1), mean.min(axis=1)
    chroma = largest - smallest
    with np.errstate(invalid="ignore", divide="ignore"):
        sixths = np.select(
            [largest == red, largest == green],
            [(green - blue) / chroma, 2.0 + (blue - red) / chroma],
            4.0 + (red - green) / chroma,
        )
    # The second modulo: a tiny negative angle becomes 360 in the first or in float32.
    hue = np.asarray((60.0 * sixths) % 360.0, dtype=np.float32) % np.float32(360.0)
    return np.where(chroma > 0.0, hue, np.float32(np.nan)).astype(np.float32)


def resize(grey: NDArray[np.uint8], image_size: int) -> NDArray[np.uint8]:
    """Resize grey pictures with Pillow's bilinear filter, as the authors' data are.

    Pillow widens the filter when it makes pictures smaller, and works in integers, so that the
    result does not depend on the machine.

    Args:
        grey: uint8 [n, height, width].
        image_size: new side in pixels, at least 1.

    Returns:
        uint8 [n, image_size, image_size].
    """
    from PIL import Image

    if grey.shape[1:] == (image_size, image_size):
        return grey.copy()
    resized = np.empty((len(grey), image_size, image_size), dtype=np.uint8)
    for row, picture in enumerate(grey):
        image = Image.fromarray(np.ascontiguousarray(picture))
        resized[row] = np.asarray(
            image.resize((image_size, image_size), Image.Resampling.BILINEAR), dtype=np.uint8
        )
    return resized


def prepare_coloured_mnist(
    raw: Path, out: Path, *, image_size: int, source_digit: int, target_digit: int, seed: int
) -> None:
    """Write the two sides of the coloured-digit problem as memory-mappable arrays.

    ``out`` gets, all of them or none: {source,target}_{train,test}.npy, uint8
    [n, 3, image_size, image_size] standing for [-1, 1] by x / 127.5 - 1;
    hue_{source,target}_{train,test}.npy, float32 [n], the seen hue in degrees; meta.json.
    Train and test are MNIST's own split (or that of the subset, see ``load_mnist``).

    Args:
        raw: folder of MNIST as fetched.
        out: folder to write to; created if needed.
        image_size: side in pixels.
        source_digit: digit of the source side, 0 to 9.
        target_digit: digit of the target side, 0 to 9.
        seed: of the hues; one stream for each side and split.

    Raises:
        ConfigError: a digit or the image size is out of range.
        DataError: ``raw`` does not hold MNIST, or not these digits.
    """
    _check_image_size(image_size)
    for name, digit in (("source_digit", source_digit), ("target_digit", target_digit)):
        if digit not in range(NUM_CLASSES):
            raise ConfigError.about(
                name, found=repr(digit), expected="0 to 9", action="Choose a digit that MNIST has."
            )
    data = load_mnist(raw)
    parts = {
        "train": (data.train_images, data.train_labels),
        "test": (data.test_images, data.test_labels),
    }
    counts = {}
    with staged_folder(out) as staging:
        for side, digit in enumerate((source_digit, target_digit)):
            for split, (part, (images, labels)) in enumerate(parts.items()):
                name = f"{('source', 'target')[side]}_{part}"
                grey = _of_digit(images, labels, digit, where=raw)
                drawn = draw_hues(len(grey), np.random.default_rng([seed, side, split]))
                np.save(staging / f"{name}.npy", colour(resize(grey, image_size), drawn))
                np.save(staging / f"hue_{name}.npy", _float32_degrees(seen_hue(drawn)))
                counts[name] = len(grey)
        meta = {
            "data": data.name,
            "source_digit": source_digit,
            "target_digit": target_digit,
            "image_size": image_size,
            "seed": seed,
            "counts": counts,
            "value_range": _VALUE_RANGE,
        }
        write_meta(staging, meta)


def _of_digit(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], digit: int, *, where: Path
) -> NDArray[np.uint8]:
    chosen: NDArray[np.uint8] = images[labels == digit]
    if len(chosen) == 0:
        raise DataError.about(
            where,
            found=f"no picture of the digit {digit}",
            expected="some in the training and in the test set",
            action="Fetch MNIST again.",
        )
    return chosen


def _float32_degrees(degrees: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to float32 and keep the result below 360."""
    return degrees.astype(np.float32) % np.float32(360.0)


def _check_image_size(image_size: int) -> None:
    if image_size < 1:
        raise ConfigError.about(
            "image_size",
            found=repr(image_size),
            expected="at least 1 pixel",
            action="The experiments use 32 or 16.",
        )
