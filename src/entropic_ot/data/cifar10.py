"""CIFAR-10: 50000 training and 10000 test images of ten classes, 32 x 32 pixels (Krizhevsky 2009).

As four arrays, which fetch_cifar10.py makes and which are known by their sha256.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from entropic_ot.data.sources import RemoteFile
from entropic_ot.errors import DataError

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SIDE_PIXELS = 32
NUM_PER_CLASS = {"train": 5000, "test": 1000}

ARRAYS = (
    RemoteFile(
        "train_images.npy",
        "cca17af9c1cff570c8c91fdb9f8bfc450d62dc4ff73ba6fb849b2b49e0c668f2",
        153_600_128,
        (),
    ),
    RemoteFile(
        "train_labels.npy",
        "fad921ba16b0efeebb54393d1351545d1fe1a357f6f81324c821e3e11b956c70",
        50_128,
        (),
    ),
    RemoteFile(
        "test_images.npy",
        "efbfa3b24c4f91c6febe8a57d87b6448f2c1226d8b2aa24d14db1eea85ad46c6",
        30_720_128,
        (),
    ),
    RemoteFile(
        "test_labels.npy",
        "19004b019bd095265b4ce6637c9ff979c66abcbc8e658a665f791b487cdea5eb",
        10_128,
        (),
    ),
)
"""uint8 [n, 3, 32, 32] (red, green, blue) and uint8 [n]."""


def load_class(folder: Path, part: str, name: str) -> NDArray[np.uint8]:
    """The images of one class, uint8 [n, 3, 32, 32], in the order of the data set.

    Args:
        folder: where the arrays are.
        part: "train" or "test".
        name: one of ``CLASSES``.

    Raises:
        DataError: the arrays are missing or are no arrays.
    """
    try:
        images = np.load(folder / f"{part}_images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / f"{part}_labels.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise misfit(folder, f"no readable array ({error})", "the arrays of CIFAR-10") from error
    chosen: NDArray[np.uint8] = images[labels == CLASSES.index(name)]
    return chosen


def misfit(where: object, found: str, expected: str) -> DataError:
    """The error for files that are not CIFAR-10's."""
    return DataError.about(
        where,
        found=found,
        expected=expected,
        action="Delete it and fetch it again with `entropic-ot fetch cifar10`.",
    )
