"""A prepared data set as points of a generator's latent space, chunk by chunk on disk."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from entropic_ot.data.arrays import load_prepared
from entropic_ot.device import make_rng
from entropic_ot.errors import DataError
from entropic_ot.experiments.fit import train_steps
from entropic_ot.experiments.store import RunStore, load_arrays
from entropic_ot.files import atomic_path
from entropic_ot.generators.config import EncodingConfig
from entropic_ot.generators.encoding import (
    ENCODER,
    SETTINGS,
    EncoderTraining,
    encode,
    image_of,
    latent_moments,
)
from entropic_ot.generators.export import as_bytes
from entropic_ot.networks.stylegan2 import Generator
from entropic_ot.pixels import from_bytes
from entropic_ot.progress import Progress

Arrays = dict[str, NDArray[Any]]
NUM_GENERATED = 64
"""Images of the generator itself that are kept beside the encoded ones."""


@dataclass(frozen=True)
class ImageEncoder:
    """A generator with its trained encoder."""

    training: EncoderTraining
    seconds: float
    """Spent in training, also by processes that were killed."""

    @classmethod
    def fit(
        cls,
        generator: Generator,
        config: EncodingConfig,
        *,
        work: Path,
        fingerprint: str,
        checkpoint_seconds: float,
        device: torch.device,
        label: str,
    ) -> ImageEncoder:
        """Train the encoder, or go on training it, with its checkpoints in `work`/encoder."""
        moments = latent_moments(generator, rng=make_rng(config.seed, device))
        training = EncoderTraining(config, generator, moments)
        store = RunStore(work / "encoder", fingerprint=fingerprint)
        seconds = train_steps(
            training,
            lambda rng, progress: training.step(rng=rng, progress=progress),
            steps=config.encoder_steps,
            seed=config.seed,
            store=store,
            checkpoint_seconds=checkpoint_seconds,
            label=f"{label}: encoder",
        )
        training.encoder.eval().requires_grad_(False)
        return cls(training, seconds)

    def __call__(self, images: NDArray[Any]) -> Arrays:
        """Images [n, channels, size, size] as w (and z), errors and, in bytes, images."""
        own = self.training
        parts = []
        for start in range(0, len(images), own.config.batch_size):
            rows = torch.from_numpy(np.array(images[start : start + own.config.batch_size]))
            pixels = from_bytes(rows).to(own.device)
            found = encode(pixels, own.encoder, own.generator, own.moments, own.config)
            z = {"z": found.points.cpu().numpy()} if own.config.latent == "z" else {}
            parts.append(
                {
                    **z,
                    "w": found.w.cpu().numpy(),
                    "error": found.error.cpu().numpy(),
                    "encoder_error": found.encoder_error.cpu().numpy(),
                    "original": as_bytes(pixels),
                    "reconstruction": as_bytes(found.reconstruction),
                }
            )
        return _joined(parts)

    @torch.no_grad()
    def summary(self) -> Arrays:
        """w_mean and w_root of the space of w, images of draws of z, the encoder, its settings."""
        own = self.training
        rng = make_rng(own.config.seed + 1, own.device)
        z = torch.randn(NUM_GENERATED, own.generator.config.z_dim, generator=rng, device=own.device)
        weights = own.encoder.state_dict()
        return {f"{ENCODER}{name}": w.cpu().numpy() for name, w in weights.items()} | {
            SETTINGS: np.array(json.dumps(dataclasses.asdict(own.config))),
            "w_mean": own.moments.mean.cpu().numpy(),
            "w_root": own.moments.root.cpu().numpy(),
            "mean_image": as_bytes(image_of(own.generator, own.moments.mean[None])),
            "generated": as_bytes(own.generator(z)),
        }


@dataclass(frozen=True)
class EncodedDataSet:
    """The contents of a latents file, and what they cost."""

    arrays: Arrays
    seconds: float
    """Of training the encoder and encoding, also by processes that were killed."""


def encode_data_set(encoder: ImageEncoder, data: Path, work: Path, *, label: str) -> EncodedDataSet:
    """The arrays of a latents file, for each array of the data set by its name, and a summary.

    <name>_w [n, w_dim], where z are encoded also <name>_z [n, z_dim], <name>_error and
    <name>_encoder_error [n], <name>_original and <name>_reconstruction uint8 [k, channels, size,
    size]; row i is row i of the data set's array.

    Chunks that are in `work` are not computed again.
    """
    config = encoder.training.config
    arrays: Arrays = {}
    seconds = encoder.seconds
    names = [f"{side}_{part}" for side in config.sides for part in ("train", "test")]
    for name in names:
        images = load_prepared(data, name)[: config.max_images]
        check_images(images, encoder.training.generator, data / f"{name}.npy")
        progress = Progress(f"{label}: {name}", len(images))
        chunks = []
        for start in range(0, len(images), config.chunk_size):
            path = work / f"{name}-{start:08d}.npz"
            rows = images[start : start + config.chunk_size]
            if not path.exists():
                began = time.perf_counter()
                found = encoder(rows)
                kept = max(0, config.kept_images - start)
                found |= {key: found[key][:kept] for key in ("original", "reconstruction")}
                found["seconds"] = np.array(time.perf_counter() - began)
                save_arrays(path, found)
            chunks.append(load_arrays(path, command="encode"))
            seconds += float(chunks[-1].pop("seconds"))
            error = {"error": float(chunks[-1]["error"].mean())}
            progress.update(start + len(rows), error)
        arrays |= {f"{name}_{key}": values for key, values in _joined(chunks).items()}
    return EncodedDataSet(arrays | encoder.summary(), seconds)


def check_images(images: NDArray[Any], generator: Generator, path: Path) -> None:
    """DataError where the images are not of the generator's size."""
    sizes = generator.config
    expected = (sizes.img_channels, sizes.resolution, sizes.resolution)
    if images.shape[1:] != expected:
        raise DataError.about(
            path, found=f"images of shape {images.shape[1:]}",
            expected=f"{expected}, which the generator makes",
            action="Prepare the data with this image_size, or choose another generator.",
        )  # fmt: skip


def save_arrays(path: Path, arrays: Arrays) -> None:
    """An .npz file, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def chunk_folder(work: Path, fingerprint: str) -> Path:
    """The folder of the chunks of this fingerprint; those of others are removed."""
    folder = work / f"chunks-{fingerprint[:16]}"
    for other in work.glob("chunks-*"):
        if other != folder:
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _joined(parts: list[Arrays]) -> Arrays:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
