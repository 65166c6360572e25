"""MNIST, or its 5000-digit subset, from wherever it can be had."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from entropic_ot.data import mnist
from entropic_ot.data.fetch import MissingFilesError, fetch_files

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MnistSource:
    """Fetched, checked files.

    Attributes:
        name: which data set they are.
        folder: where they lie; the argument for :func:`mnist.load_mnist`.
        files: their paths.
    """

    name: mnist.MnistName
    folder: Path
    files: tuple[Path, ...]


def fetch_mnist(destination: Path) -> MnistSource:
    """Put the four canonical IDX files of MNIST into ``destination``.

    Raises:
        ChecksumError: one of them is there with other contents.
        MissingFilesError: one of them could not be obtained.
    """
    paths = fetch_files(mnist.MNIST_FILES, destination)
    return MnistSource(name="mnist", folder=destination, files=paths)


def fetch_mnist_5k(destination: Path) -> MnistSource:
    """Put the 5000-digit subset into ``destination``; raises as :func:`fetch_mnist` does."""
    paths = fetch_files((mnist.MNIST_5K_FILE,), destination)
    return MnistSource(name="mnist_5k", folder=destination, files=paths)


def fetch_mnist_or_5k(destination: Path) -> MnistSource:
    """Fetch MNIST, or where that cannot be had the 5000-digit subset, with a warning.

    Raises:
        ChecksumError: a file is there with other contents; the subset is then not tried.
        MissingFilesError: neither could be obtained; lists the sources of both.
    """
    try:
        return fetch_mnist(destination)
    except MissingFilesError as full:
        try:
            source = fetch_mnist_5k(destination)
        except MissingFilesError as subset:
            raise MissingFilesError(f"{full}\nNor could the subset mnist_5k:\n{subset}") from full
        _log.warning("mnist is replaced by its subset mnist_5k of 5000 digits, because %s", full)
        return source
