"""`entropic-ot convert`: a published StyleGAN2-ADA pickle into safetensors."""

from __future__ import annotations

from pathlib import Path

from entropic_ot.networks.convert_stylegan2 import convert_generator


def convert(pickle_path: Path, out: Path) -> None:
    """Write the generator in the pickle as safetensors; nothing in the pickle is executed."""
    config = convert_generator(pickle_path, out)
    print(
        f"{out}: generator of {config.resolution}x{config.resolution} images with "
        f"{config.img_channels} channels, {config.architecture}, from z of {config.z_dim} numbers"
    )
