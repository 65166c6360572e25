"""A generator in a safetensors file, however it was made; apart from what makes such files, so that
a change of that makes no training stale."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from entropic_ot.errors import ConfigError, DataError
from entropic_ot.networks.stylegan2 import Generator, GeneratorConfig
from entropic_ot.tensor_file import digest

FORMAT = "entropic-ot StyleGAN2 generator, version 1"


def load_generator(path: Path, *, device: torch.device | str = "cpu") -> Generator:
    """The generator in a file that was converted or trained, frozen (no parameter has a gradient).

    Raises:
        DataError: missing, damaged, or another file.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise DataError.about(
                    path, found=f"format {metadata.get('format')!r}", expected=repr(FORMAT),
                    action="`entropic-ot convert` and `train-generator` write such files.",
                )  # fmt: skip
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        # Files from before there was a sha256 are read as they are.
        if "sha256" in metadata and metadata["sha256"] != digest(metadata, tensors):
            raise ValueError("its contents have another sha256 than it says")
        header = json.loads(metadata["header"])
        names = [field.name for field in dataclasses.fields(GeneratorConfig)]
        given = {name: header[name] for name in names}
        config = GeneratorConfig(**given | {"channels": tuple(given["channels"])})
        with torch.device("meta"):
            generator = Generator(config)
        generator.load_state_dict(tensors, assign=True)
    except (
        SafetensorError,
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        ConfigError,
    ) as error:
        raise DataError.about(
            path, found=f"{type(error).__name__}: {error}", expected="a whole generator",
            action="Delete it and make it again.",
        ) from None  # fmt: skip
    return generator.requires_grad_(False).eval()
