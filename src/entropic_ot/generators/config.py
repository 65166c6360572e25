"""The settings of generators, as they stand in params.yaml; this module does not import torch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

from entropic_ot.errors import ConfigError
from entropic_ot.strict import at_least, not_negative, positive, seeds, share, share_below_one

Transform = Literal[
    "flip", "translation", "rotation", "scale", "cutout", "brightness", "saturation", "contrast"
]
Side = Literal["source", "target"]
Latent = Literal["w", "z"]


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Random transforms of all that the discriminator sees (arXiv 2006.06676, 2006.10738)."""

    kind: Literal["none", "diffaugment", "ada"]
    """none; diffaugment: every transform on every image; ada: each transform on each image with a
    probability p, which adapts to how far the discriminator overfits."""
    transforms: tuple[Transform, ...]
    """Which: only those that the data does not tell from itself. For digits of every hue, turned
    or mirrored ones are other digits, and colours are what is to be learned."""
    ada_target: float
    """ada: p rises while the mean sign of the discriminator on real images is above this (0.6)."""
    ada_interval: int
    """ada: steps between changes of p (4)."""
    ada_images: int
    """ada: images in which p could rise from 0 to 1 (500000)."""

    def __post_init__(self) -> None:
        at_least(1, self, "ada_interval", "ada_images")
        share(self, "ada_target")
        _no_repeats(self.transforms, "transforms")
        if (self.kind == "none") != (not self.transforms):
            raise ConfigError(
                f"transforms: found {list(self.transforms)} with kind {self.kind!r}, expected [] "
                f"with none and at least one of {', '.join(get_args(Transform))} otherwise"
            )


@dataclass(frozen=True, kw_only=True)
class GeneratorTrainingConfig:
    """Training of a StyleGAN2 generator (arXiv 1912.04958)."""

    channels: tuple[int, ...]
    """Of the generator at 4x4, 8x8, ...: one number for each resolution up to the images'."""
    discriminator_channels: tuple[int, ...]
    """Of the discriminator, likewise."""
    z_dim: int
    """Dimension of the latent z ~ N(0, I)."""
    w_dim: int
    """Dimension of the intermediate latent w, and width of the mapping."""
    mapping_layers: int
    """Fully connected layers from z to w."""
    noise: Literal["random", "none"]
    """random: noise is added in every layer, as in the paper, and the finished generator keeps one
    draw of it. none: all of an image is in its z."""
    precision: Literal["auto", "float32", "bfloat16"]
    """Of the convolutions. auto: bfloat16 where the hardware multiplies it natively. With few
    channels float32 is faster on a CPU (docs/generators.md)."""
    num_steps: int
    """Updates of the generator, and of the discriminator."""
    batch_size: int
    """Images in a batch, real and generated."""
    group_size: int
    """Images in a group of the discriminator's minibatch standard deviation (4); 1: none."""
    generator_learning_rate: float
    """Adam's step size for the generator (0.002)."""
    discriminator_learning_rate: float
    """Adam's step size for the discriminator (0.002)."""
    adam_beta1: float
    """Adam's decay of the mean gradient (0)."""
    adam_beta2: float
    """Adam's decay of the mean squared gradient (0.99)."""
    ema_images: float
    """Images in which the average of the generator's weights forgets half of what it was."""
    r1_gamma: float
    """gamma of the penalty gamma/2 |grad D|^2 on real images, summed over pixels; 0: none."""
    r1_interval: int
    """Steps from one R1 penalty to the next, which is as much larger (16)."""
    path_length_weight: float
    """Weight of the path length penalty of the generator (2); 0: none."""
    path_length_interval: int
    """Steps from one path length penalty to the next, which is as much larger (4)."""
    style_mixing: float
    """Probability that the layers after a random one get the w of another z (0.9); 0: never."""
    horizontal_flips: bool
    """Every real image is mirrored with probability 1/2; only where mirrored ones are as real."""
    augmentation: AugmentationConfig
    """Transforms of what the discriminator sees."""
    sample_images: int
    """Generated images on a contact sheet."""
    sample_steps: int
    """Steps between contact sheets."""
    seed: int
    """Seed of the weights and of all draws."""

    def __post_init__(self) -> None:
        at_least(1, self, "z_dim", "w_dim", "mapping_layers", "num_steps", "batch_size")
        at_least(1, self, "group_size", "r1_interval", "path_length_interval")
        at_least(1, self, "sample_images", "sample_steps")
        seeds(self, "seed")
        positive(self, "generator_learning_rate", "discriminator_learning_rate", "ema_images")
        share_below_one(self, "adam_beta1", "adam_beta2")
        not_negative(self, "r1_gamma", "path_length_weight")
        share(self, "style_mixing")
        for name in ("channels", "discriminator_channels"):
            found = getattr(self, name)
            if not 2 <= len(found) <= 9 or min(found) < 1:
                raise ConfigError(
                    f"{name}: found {list(found)}, expected 2 to 9 positive integers, one for "
                    "each resolution 4, 8, 16, ..."
                )
        if len(self.channels) != len(self.discriminator_channels):
            raise ConfigError(
                f"discriminator_channels: found {len(self.discriminator_channels)} resolutions, "
                f"expected {len(self.channels)} as in channels. Change one of the two."
            )
        if self.batch_size % min(self.group_size, self.batch_size):
            raise ConfigError(
                f"group_size: found {self.group_size} for batch_size {self.batch_size}, expected "
                "a divisor of it, or no less than it. Change one of the two."
            )

    @property
    def resolution(self) -> int:
        """Height and width of the images."""
        return int(4 * 2 ** (len(self.channels) - 1))


@dataclass(frozen=True, kw_only=True)
class EncodingConfig:
    """How images become points of a latent space: an encoder, then descent on each point."""

    latent: Latent
    """The points: w, whitened; or z, whose w is what the mapping network makes of it."""
    sides: tuple[Side, ...]
    """Which side of the data set is encoded, or both."""
    max_images: int | None
    """Images of each array that are encoded, the first ones; null: all."""
    width: int
    """Channels of the encoder's first convolution; they double wherever the image halves."""
    encoder_steps: int
    """Updates of the encoder, on generated images alone."""
    encoder_batch_size: int
    """Images in a batch of these."""
    encoder_learning_rate: float
    """Adam's step size for the encoder, which falls to zero along a cosine."""
    num_steps: int
    """Adam steps on the point of each image; 0: what the encoder says."""
    learning_rate: float
    """Their size in standard deviations of w or z; it falls to zero along a cosine."""
    penalty: float
    """Weight beside the mean squared error of a pixel: of m, the mean square of the whitened w, or
    of (m - 1)^2 with that of z. Keeps the point where the generator knows it."""
    batch_size: int
    """Images that are encoded at once: bounds the memory."""
    chunk_size: int
    """Images after which what is done is kept on disk."""
    kept_images: int
    """Images of each array that are kept with their reconstructions, for the figure."""
    seed: int
    """Seed of the encoder's weights and training."""

    def __post_init__(self) -> None:
        if not self.sides:
            raise ConfigError("sides: found [], expected source, target or both")
        _no_repeats(self.sides, "sides")
        if self.max_images is not None:
            at_least(1, self, "max_images")
        at_least(1, self, "width", "encoder_steps", "encoder_batch_size")
        at_least(1, self, "batch_size", "chunk_size")
        at_least(0, self, "num_steps", "kept_images")
        seeds(self, "seed")
        positive(self, "encoder_learning_rate", "learning_rate")
        not_negative(self, "penalty")


def _no_repeats(values: tuple[str, ...], name: str) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise ConfigError(f"{name}: {value!r} stands {count} times; keep one of them")
