"""One generator, fully resolved: what its training and its encoding read (a JSON file each)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.config import (
    ComputeConfig,
    ProblemConfig,
    has_images,
    read_mapping,
    to_json,
)
from entropic_ot.generators.config import EncodingConfig, GeneratorTrainingConfig, Side
from entropic_ot.strict import from_mapping


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


class _Job:
    @property
    def sha256(self) -> str:
        """Hash of everything in here."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class TrainingJob(_Job):
    """results/<scale>/config/generators/<name>.json: all that a training depends on."""

    scale: str
    """smoke, laptop or paper: the folder of the results."""
    name: str
    """Name in params.yaml."""
    images: ProblemConfig
    """The problem of images whose one side it learns."""
    side: Side
    """Which side."""
    training: GeneratorTrainingConfig
    """Network and training."""
    compute: ComputeConfig
    """Device and precision."""


@dataclass(frozen=True, kw_only=True)
class EncodingJob(_Job):
    """results/<scale>/config/generators/<name>-encoding.json; no training depends on it."""

    scale: str
    """smoke, laptop or paper: the folder of the results."""
    name: str
    """Name in params.yaml."""
    encoding: EncodingConfig
    """How images become points of its latent space."""
    compute: ComputeConfig
    """Device and precision."""


def training_job(
    name: str, source: TrainedGenerator, *, scale: str, compute: ComputeConfig
) -> TrainingJob:
    """What the training of one entry of `generators` reads."""
    return TrainingJob(
        scale=scale,
        name=name,
        images=source.images,
        side=source.side,
        training=source.training,
        compute=compute,
    )


def load_training_job(path: Path) -> TrainingJob:
    """The settings in results/<scale>/config/generators/<name>.json; ConfigError on any misfit."""
    return from_mapping(TrainingJob, read_mapping(path), str(path))


def load_encoding_job(path: Path) -> EncodingJob:
    """As load_training_job, of <name>-encoding.json."""
    return from_mapping(EncodingJob, read_mapping(path), str(path))
