"""The real images' side of distances in features: computed once, kept in a file by its content."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from entropic_ot.files import atomic_path
from entropic_ot.metrics.features import FeatureExtractor
from entropic_ot.metrics.frechet import frechet_distance
from entropic_ot.metrics.kernel_distance import kernel_distance
from entropic_ot.metrics.precision_recall import precision_recall

FORMAT = "entropic-ot real side, version 1"
SPLIT_SEED = 777
SUBSET_SEED = 778

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """A distance (or share) of generated from real images, and what it is to be read beside."""

    value: float
    num_generated: int
    num_real: int
    real_split: float
    """The same between two disjoint random halves of the real images."""
    num_split: int
    """Images in each half. As there are fewer of them, a Frechet distance's bias is larger."""


@dataclass(frozen=True, eq=False)
class RealSide:
    """Features [m, d] of the real images, and how far two halves of them are apart."""

    features: np.ndarray
    frechet_split: float
    kernel_split: float
    precision_split: float
    recall_split: float

    @property
    def num_split(self) -> int:
        """Images in each half."""
        return len(self.features) // 2

    def frechet(self, generated: np.ndarray) -> Comparison:
        """`frechet_distance` of generated features [n, d]."""
        value = frechet_distance(generated, self.features)
        return self._comparison(value, len(generated), self.frechet_split)

    def kernel(self, generated: np.ndarray) -> Comparison:
        """`kernel_distance` of generated features [n, d], with seeded subsets."""
        value = kernel_distance(generated, self.features, rng=_subset_rng())
        return self._comparison(value, len(generated), self.kernel_split)

    def precision(self, generated: np.ndarray) -> Comparison:
        """Share of generated features [n, d] within the real ones' manifold."""
        value = precision_recall(generated, self.features).precision
        return self._comparison(value, len(generated), self.precision_split)

    def recall(self, generated: np.ndarray) -> Comparison:
        """Share of real features within the manifold of generated ones [n, d]."""
        value = precision_recall(generated, self.features).recall
        return self._comparison(value, len(generated), self.recall_split)

    def _comparison(self, value: float, num_generated: int, split: float) -> Comparison:
        return Comparison(value, num_generated, len(self.features), split, self.num_split)


def split_real(features: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint random halves [n // 2, d] of real features [n, d]; ValueError when n < 8."""
    half = len(features) // 2
    if half < 4:
        raise ValueError(f"a split needs eight real images at least, found {len(features)}")
    rows = np.random.default_rng(seed).permutation(len(features))
    return features[rows[:half]], features[rows[half : 2 * half]]


def real_side(
    images: np.ndarray, extractor: FeatureExtractor, *, cache: Path | None = None
) -> RealSide:
    """The side of real images [m, 3, h, w] in [-1, 1].

    With a folder `cache` it is read from there if it was computed before from these images, by
    features of this name and these weights; else it is written there. A damaged file is computed
    anew, with a warning.
    """
    if cache is None:
        return _computed(extractor(images))
    key = _key(images, extractor)
    path = cache / f"{extractor.name}-{key[:16]}.npz"
    found = _read(path, key, len(images))
    if found is None:
        found = _computed(extractor(images))
        _write(path, key, found)
    return found


def _computed(features: np.ndarray) -> RealSide:
    a, b = split_real(features, seed=SPLIT_SEED)
    shares = precision_recall(a, b)
    return RealSide(
        features=features,
        frechet_split=frechet_distance(a, b),
        kernel_split=kernel_distance(a, b, rng=_subset_rng()),
        precision_split=shares.precision,
        recall_split=shares.recall,
    )


def _subset_rng() -> np.random.Generator:
    return np.random.default_rng(SUBSET_SEED)


def _key(images: np.ndarray, extractor: FeatureExtractor) -> str:
    """Hash of everything that a side depends on."""
    digest = hashlib.sha256()
    digest.update(f"{FORMAT} {extractor.name} {extractor.sha256} ".encode())
    digest.update(f"{images.shape} {images.dtype.str} ".encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    return digest.hexdigest()


def _write(path: Path, key: str, side: RealSide) -> None:
    arrays = {field.name: np.asarray(getattr(side, field.name)) for field in fields(side)}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, key=np.asarray(key), **arrays)  # type: ignore[arg-type]


def _read(path: Path, key: str, num_images: int) -> RealSide | None:
    """None when it is not there, or is not what was written (each array has a checksum)."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != key or len(file["features"]) != num_images:
                raise ValueError("it was written for other images or features")
            splits = {f.name: float(file[f.name]) for f in fields(RealSide) if f.type == "float"}
            return RealSide(features=file["features"], **splits)
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged file
        kind = type(error).__name__
        _log.warning("%s cannot be read (%s: %s): computing it anew", path, kind, error)
        return None
