"""`entropic-ot convert`: a published StyleGAN2-ADA pickle into safetensors."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from entropic_ot.data.checksums import verify_file
from entropic_ot.data.stylegan2 import PICKLES
from entropic_ot.experiments.provenance import provenance
from entropic_ot.experiments.store import PROVENANCE
from entropic_ot.files import write_json
from entropic_ot.networks.convert_stylegan2 import convert_generator


def convert(pickle_path: Path, out: Path) -> None:
    """Write the generator in the pickle as safetensors; nothing in the pickle is executed.

    The provenance is written beside it; the sha256 of the pickle stands there and in the header.
    A pickle with the name of a published one whose checksum is known must have that one.
    """
    began = time.perf_counter()
    if pickle_path.name in PICKLES:
        verify_file(PICKLES[pickle_path.name], pickle_path.parent)
    config = convert_generator(pickle_path, out)
    record = provenance(
        None,
        [pickle_path],
        device=torch.device("cpu"),
        precision="float32",
        compiled="no",
        seconds=time.perf_counter() - began,
    )
    write_json(out.with_name(PROVENANCE), record)
    print(f"{pickle_path}: sha256 {record['data_sha256'][str(pickle_path)]}")
    print(
        f"{out}: generator of {config.resolution}x{config.resolution} images with "
        f"{config.img_channels} channels, {config.architecture}, from z of {config.z_dim} numbers"
    )
