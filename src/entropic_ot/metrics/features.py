"""Features of images, in which their distances are measured; each names its weights."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from entropic_ot.data.checksums import obtain_files
from entropic_ot.data.weights import EFFICIENTNET_LITE0, INCEPTION
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.metrics.registry import TORCH_FIDELITY
from entropic_ot.networks.classifier import DigitClassifier
from entropic_ot.networks.efficientnet_lite import IMAGE_SIZE, EfficientNetLite0
from entropic_ot.pixels import from_bytes, to_bytes

CPU = torch.device("cpu")
BATCH = 64
SMALL_BATCH = 8
"""Of networks that resize to 224 pixels or more: what fits the caches of a processor. There it and
the channels-last layout make EfficientNet three times as fast as 64 images in the other layout."""


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """A network that turns images into vectors.

    Attributes:
        name: of the features: lenet, effnet, inception.
        sha256: of the weights.
        embed: bytes [batch, 3, h, w] -> features [batch, d].
        batch_size: images that it is given at once.
        device: where `embed` computes: it gets bytes there.
    """

    name: str
    sha256: str
    embed: Callable[[torch.Tensor], torch.Tensor]
    batch_size: int = BATCH
    device: torch.device = CPU

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Images [n, 3 or 1, h, w] in [-1, 1], rounded to bytes -> features [n, d] in float32.

        Raises:
            DataError: another shape, or a value that is no finite number.
        """
        parts = in_batches_of_rgb(images, self.batch_size)
        with full_float32():
            found = [self.embed(to_bytes(part).to(self.device)).float().cpu() for part in parts]
        return torch.cat(found).numpy()


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Convolutions of float32 on CUDA without TF32, whose 10 bits would show in the distances."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def in_batches_of_rgb(images: np.ndarray, batch_size: int) -> Iterator[torch.Tensor]:
    """`as_rgb` of so many images at once: no more of them are held in 32 bits.

    Raises:
        DataError: as `as_rgb`.
    """
    for start in range(0, max(len(images), 1), batch_size):
        yield as_rgb(images[start : start + batch_size])


def as_rgb(images: np.ndarray) -> torch.Tensor:
    """Images [n, 3 or 1, h, w] as float32 [n, 3, h, w]; a single channel is repeated.

    Raises:
        DataError: another shape, or a value that is no finite number.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise _bad_images(f"shape {images.shape}")
    if not np.isfinite(images).all():
        raise _bad_images("values that are no finite numbers")
    return torch.from_numpy(images).float().expand(-1, 3, -1, -1)


def _bad_images(found: str) -> DataError:
    return DataError.about(
        "images",
        found=found,
        expected="finite numbers of shape [n, 3, h, w] or [n, 1, h, w] in [-1, 1]",
        action="Look at the samples before measuring them.",
    )


def lenet_features(classifier: DigitClassifier, *, device: torch.device = CPU) -> FeatureExtractor:
    """The last hidden layer of the project's own digit classifier: it does not see colour.

    The classifier itself is moved to the device.
    """
    sha256 = state_sha256(classifier)
    classifier.to(device)

    def embed(images: torch.Tensor) -> torch.Tensor:
        return classifier.embed(from_bytes(images))

    return FeatureExtractor("lenet", sha256, embed, device=device)


def effnet_features(weights: Path, *, device: torch.device = CPU) -> FeatureExtractor:
    """The last hidden layer of EfficientNet-Lite0, images resized to 224 x 224 (bilinear).

    The weights are fetched into the folder `weights` when they are not there.
    """
    path = obtain_files((EFFICIENTNET_LITE0,), weights)[0]
    network = EfficientNetLite0()
    network.load_published(torch.load(path, map_location="cpu", weights_only=True))
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.to(device)

    def embed(images: torch.Tensor) -> torch.Tensor:
        size = (IMAGE_SIZE, IMAGE_SIZE)
        resized = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True)
        scaled = ((resized - 127) / 128).contiguous(memory_format=torch.channels_last)
        return network.embed(scaled)

    return FeatureExtractor("effnet", EFFICIENTNET_LITE0.sha256, embed, SMALL_BATCH, device)


def inception_features(weights: Path, *, device: torch.device = CPU) -> FeatureExtractor:
    """The pool layer of the Inception of FID, by torch-fidelity and from its published weights.

    Raises:
        MissingFilesError: the weights are not in the folder `weights` and cannot be fetched.
        ConfigError: torch-fidelity is not installed.
    """
    path = obtain_files((INCEPTION,), weights)[0]
    try:
        import_torchvision()
        from torch_fidelity import FeatureExtractorInceptionV3
    except ImportError as error:
        raise ConfigError.about(
            "fid",
            found=f"no package {error.name}",
            expected=TORCH_FIDELITY,
            action=f"`pip install '{TORCH_FIDELITY}'`, or measure fd_effnet, which needs no other "
            "package.",
        ) from error
    network = FeatureExtractorInceptionV3("fid", ["2048"], feature_extractor_weights_path=str(path))
    network.eval().to(device)

    def embed(images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = network(images)[0]
        return features

    return FeatureExtractor("inception", INCEPTION.sha256, embed, SMALL_BATCH, device)


def import_torchvision() -> None:
    """Import torchvision; its CUDA build, which finds no operators beside a CPU torch, too.

    There the two operators that it registers at import are declared, not defined: what calls them
    fails, and the rest works.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in ("nms", "qnms"):
            _DECLARED.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401


_DECLARED = torch.library.Library("torchvision", "FRAGMENT")


def state_sha256(module: torch.nn.Module) -> str:
    """Hash of a network's parameters and buffers: their names, shapes, types and values."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(array.shape)} {array.dtype};".encode())
        digest.update(array.numpy().tobytes())
    return digest.hexdigest()
