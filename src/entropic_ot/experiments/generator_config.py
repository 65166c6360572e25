"""One generator, fully resolved: what its training, conversion and encoding read (a JSON file)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.config import (
    ComputeConfig,
    ProblemConfig,
    _read,
    has_images,
    to_json,
)
from entropic_ot.generators.config import EncodingConfig, GeneratorTrainingConfig, Side
from entropic_ot.strict import convert, from_mapping


@dataclass(frozen=True, kw_only=True)
class TrainedGenerator:
    """A generator that is trained here on one side of a data set of images."""

    kind: Literal["trained"]
    """Where it comes from."""
    images: ProblemConfig
    """The problem of images whose one side it learns."""
    side: Side
    """Which side."""
    training: GeneratorTrainingConfig
    """Network and training."""
    encoding: EncodingConfig
    """How images become points of its latent space."""

    def __post_init__(self) -> None:
        if not has_images(self.images):
            raise ConfigError(
                f"images: found the problem {self.images.kind}, whose points are vectors, expected "
                "one of images, such as coloured_mnist, or arrays with an image_size"
            )
        size = getattr(self.images, "image_size", None)
        if size is not None and size != self.training.resolution:
            raise ConfigError(
                f"training.channels: found {len(self.training.channels)} resolutions, which make "
                f"images of {self.training.resolution} pixels, expected images of {size} as "
                "images.image_size says. Give one number for each of 4, 8, 16, ..."
            )


@dataclass(frozen=True, kw_only=True)
class ConvertedGenerator:
    """A generator of a published StyleGAN2-ADA pickle."""

    kind: Literal["converted"]
    """Where it comes from."""
    pickle: str
    """Path of the pickle (.pkl); it is read as data, nothing in it is executed."""
    encoding: EncodingConfig
    """How images become points of its latent space."""

    def __post_init__(self) -> None:
        if not self.pickle:
            raise ConfigError("pickle: found an empty path, expected that of a .pkl file")


GeneratorSource = TrainedGenerator | ConvertedGenerator


@dataclass(frozen=True, kw_only=True)
class GeneratorJob:
    """results/<scale>/config/generators/<name>.json."""

    scale: str
    """smoke, laptop or paper: the folder of the results."""
    name: str
    """Name in params.yaml."""
    source: GeneratorSource
    """Training or pickle."""
    compute: ComputeConfig
    """Device and precision."""

    @property
    def sha256(self) -> str:
        """Hash of everything in here."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()


def generator_source(data: Any, path: str) -> GeneratorSource:
    """An entry of `generators` in params.yaml; ConfigError names the key path of a misfit."""
    source: GeneratorSource = convert(GeneratorSource, data, path)
    return source


def load_generator_job(path: Path) -> GeneratorJob:
    """The settings in results/<scale>/config/generators/<name>.json; ConfigError on any misfit."""
    return from_mapping(GeneratorJob, _read(path), str(path))
