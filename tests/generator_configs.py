"""Tiny generators, for tests."""

from __future__ import annotations

from typing import Any

from entropic_ot.generators.config import (
    AugmentationConfig,
    EncodingConfig,
    GeneratorTrainingConfig,
)

NO_AUGMENTATION: dict[str, Any] = {
    "kind": "none",
    "transforms": (),
    "ada_target": 0.6,
    "ada_interval": 2,
    "ada_images": 100,
}


def augmentation(**changed: Any) -> AugmentationConfig:
    """No augmentation, with some keys changed."""
    return AugmentationConfig(**(NO_AUGMENTATION | changed))


def training_config(**changed: Any) -> GeneratorTrainingConfig:
    """A training of images of 16 pixels in which each optional part is used."""
    given: dict[str, Any] = {
        "channels": (8, 8, 4),
        "discriminator_channels": (8, 8, 4),
        "z_dim": 6,
        "w_dim": 6,
        "mapping_layers": 2,
        "noise": "random",
        "precision": "float32",
        "num_steps": 10,
        "batch_size": 4,
        "group_size": 2,
        "generator_learning_rate": 2e-3,
        "discriminator_learning_rate": 2e-3,
        "adam_beta1": 0.0,
        "adam_beta2": 0.99,
        "ema_images": 20.0,
        "r1_gamma": 1.0,
        "r1_interval": 3,
        "path_length_weight": 2.0,
        "path_length_interval": 2,
        "style_mixing": 0.9,
        "horizontal_flips": True,
        "augmentation": augmentation(kind="ada", transforms=("translation", "brightness")),
        "sample_images": 4,
        "sample_steps": 4,
        "seed": 0,
    }
    return GeneratorTrainingConfig(**(given | changed))


def encoding_config(**changed: Any) -> EncodingConfig:
    """An encoding that takes seconds."""
    given: dict[str, Any] = {
        "latent": "w",
        "sides": ("target",),
        "max_images": 12,
        "width": 8,
        "encoder_steps": 60,
        "encoder_batch_size": 16,
        "encoder_learning_rate": 3e-3,
        "num_steps": 60,
        "learning_rate": 0.1,
        "penalty": 1e-4,
        "batch_size": 8,
        "chunk_size": 5,
        "kept_images": 3,
        "seed": 0,
    }
    return EncodingConfig(**(given | changed))
