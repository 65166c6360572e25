"""Features of real images: computed once, kept in files that their contents name."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
from functools import cache as remember
from pathlib import Path

import numpy as np
import torch

from entropic_ot import pixels
from entropic_ot.files import atomic_path
from entropic_ot.metrics import features
from entropic_ot.metrics.features import FeatureExtractor
from entropic_ot.networks import classifier, efficientnet_lite

FORMAT = "entropic-ot real side, version 2"

_log = logging.getLogger(__name__)


def real_features(
    images: np.ndarray, extractor: FeatureExtractor, *, cache: Path | None = None
) -> np.ndarray:
    """Features [m, d] of images [m, 3, h, w] in [-1, 1].

    With a folder `cache` they are read from there if they were computed before from these images,
    by features of this name, these weights and this source code, on such a device; else they are
    written there. A damaged file is computed anew, with a warning; where none can be written, a
    warning says so, and that is all. Several processes may do this at once: a file appears whole,
    and all of them would write the same. Files there may be deleted at any time.
    """
    if cache is None:
        return extractor(images)
    key = _key(images, extractor)
    path = cache / f"{extractor.name}-{key[:16]}.npz"
    found = _read(path, key, len(images))
    if found is None:
        found = extractor(images)
        _write(path, key, found)
    return found


def split_real(features: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint random halves [n // 2, d] of real features [n, d]; ValueError when n < 8."""
    half = len(features) // 2
    if half < 4:
        raise ValueError(f"a split needs eight real images at least, found {len(features)}")
    rows = np.random.default_rng(seed).permutation(len(features))
    return features[rows[:half]], features[rows[half : 2 * half]]


def _key(images: np.ndarray, extractor: FeatureExtractor) -> str:
    """Hash of everything that the features depend on."""
    digest = hashlib.sha256()
    digest.update(f"{FORMAT} {_code_sha256()} {extractor.name} {extractor.sha256} ".encode())
    digest.update(f"{torch.__version__} {_version('torch-fidelity')} ".encode())
    digest.update(f"{extractor.device.type} {images.shape} {images.dtype.str} ".encode())
    digest.update(np.ascontiguousarray(images).reshape(-1).data)
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


@remember
def _code_sha256() -> str:
    """Of the files that turn images into features: resizing, rounding and the networks."""
    digest = hashlib.sha256()
    for module in (features, pixels, classifier, efficientnet_lite):
        assert module.__file__ is not None
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()


def _write(path: Path, key: str, found: np.ndarray) -> None:
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, key=np.asarray(key), features=found)
    except OSError as error:  # the features are there all the same
        _log.warning("%s cannot be kept for the next time: %s", path, error.strerror or error)


def _read(path: Path, key: str, num_images: int) -> np.ndarray | None:
    """None when it is not there, or is not what was written (each array has a checksum)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found: np.ndarray = file["features"]
            if str(file["key"]) != key or len(found) != num_images:
                raise ValueError("it was written for other images or features")
            return found
    except FileNotFoundError:
        return None
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged file
        kind = type(error).__name__
        _log.warning("%s cannot be read (%s: %s): computing it anew", path, kind, error)
        return None
