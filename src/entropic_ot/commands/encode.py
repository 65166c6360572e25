"""`entropic-ot encode`: the images of a prepared data set as points of a latent space."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from entropic_ot.device import choose_device, describe_device
from entropic_ot.experiments.encode import (
    ImageEncoder,
    chunk_folder,
    encode_data_set,
    save_arrays,
)
from entropic_ot.experiments.generator_config import load_encoding_job
from entropic_ot.experiments.provenance import fingerprint, provenance
from entropic_ot.experiments.store import RunStore
from entropic_ot.files import write_json
from entropic_ot.networks.stylegan2_file import load_generator


def encode(config_path: Path, generator_path: Path, data: Path, out: Path, work: Path) -> None:
    """Encode (or go on encoding) and write one .npz file (`experiments.encode` says what is in it).

    Its provenance is written beside it, with the ending .json.

    `work` holds the encoder and the chunks that are done; it outlives a killed job.
    """
    job = load_encoding_job(config_path)
    config = job.encoding
    device = choose_device(job.compute.device)
    generator = load_generator(generator_path, device=device)
    label = f"encode {data.name} by {job.name}"
    print(f"{label}: {describe_device(device)}, float32", file=sys.stderr, flush=True)
    names = [f"{side}_{part}.npy" for side in config.sides for part in ("train", "test")]
    files = [generator_path, *(data / name for name in names)]
    mark = fingerprint(job, files, module=__name__, device=device, precision="float32")
    with RunStore(work, fingerprint=mark).locked():
        encoder = ImageEncoder.fit(
            generator,
            config,
            work=work,
            fingerprint=mark,
            checkpoint_seconds=job.compute.checkpoint_seconds,
            device=device,
            label=label,
        )
        encoded = encode_data_set(encoder, data, chunk_folder(work, mark), label=label)
    record = provenance(
        job, files, device=device, precision="float32", compiled="no", seconds=encoded.seconds
    )
    write_json(out.with_suffix(".json"), record)
    save_arrays(out, encoded.arrays)
    for name in names:
        errors = encoded.arrays[f"{name.removesuffix('.npy')}_error"]
        print(
            f"{out}: {name}: {len(errors)} images, mean squared error of a pixel "
            f"{errors.mean():.4f}, median {np.median(errors):.4f}"
        )
