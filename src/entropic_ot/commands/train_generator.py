"""`entropic-ot train-generator`: one StyleGAN2 generator from its resolved configuration."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from entropic_ot import distributed
from entropic_ot.data.arrays import load_prepared
from entropic_ot.device import choose_device, choose_precision, describe_device, make_rng
from entropic_ot.experiments.fit import train_steps
from entropic_ot.experiments.generator_config import TrainingJob, load_training_job
from entropic_ot.experiments.paths import PREPARED, dataset_name
from entropic_ot.experiments.provenance import fingerprint, provenance
from entropic_ot.experiments.store import LOG, PROVENANCE, RunStore
from entropic_ot.files import file_sha256, write_json
from entropic_ot.generators.export import as_bytes, contact_sheet, save_generator
from entropic_ot.generators.training import GeneratorTraining
from entropic_ot.problems.base import ArrayDistribution

GENERATOR, SAMPLES = "generator.safetensors", "samples.png"


def train_generator(config_path: Path, out: Path, work: Path) -> None:
    """Train (or go on training) and write generator, samples, log and provenance into `out`.

    `work` holds the checkpoints and the contact sheets made on the way; it outlives a killed job.
    Where torchrun launched several processes, all of them train, and the first one writes.
    """
    job = load_training_job(config_path)
    with distributed.group(choose_device(job.compute.device)) as device:
        _train(job, out, work, device=device)


def _train(job: TrainingJob, out: Path, work: Path, *, device: torch.device) -> None:
    settings, main = job.training, distributed.is_main()
    precision = choose_precision(settings.precision, device)
    name = dataset_name(job.images)
    assert name is not None  # problems of images are prepared
    array = f"{job.side}_train"
    images = ArrayDistribution(load_prepared(PREPARED / name, array), name=f"{name}/{array}")
    files = [PREPARED / name / f"{array}.npy"]
    training = GeneratorTraining(settings, images.shape, precision=precision, device=device)
    label = f"train-generator {job.name}"
    if main:
        where = distributed.described(describe_device(device))
        print(f"{label}: {where}, {precision}", file=sys.stderr, flush=True)
    mark = fingerprint(job, files, module=__name__, device=device, precision=precision)
    store = RunStore(work, fingerprint=mark)
    z_shape = (settings.sample_images, settings.z_dim)
    z = torch.randn(z_shape, generator=make_rng(settings.seed))

    def keep_samples(step: int) -> None:
        if step % settings.sample_steps == 0 or step == settings.num_steps:
            contact_sheet(work / f"samples-{step:07d}.png", as_bytes(training.samples(z)))

    with store.locked() if main else nullcontext():
        seconds = train_steps(
            training,
            lambda rng, _progress: training.step(images, rng=rng),
            steps=settings.num_steps,
            seed=settings.seed,
            store=store,
            checkpoint_seconds=job.compute.checkpoint_seconds,
            log_points=job.compute.log_points,
            label=label,
            after_step=keep_samples,
        )
        if not main:
            return
        contact_sheet(out / SAMPLES, as_bytes(training.samples(z)))
        store.publish(out, [LOG])
    record = provenance(
        job, files, device=device, precision=precision, compiled="no", seconds=seconds
    )
    write_json(out / PROVENANCE, record)
    save_generator(
        out / GENERATOR,
        training.averaged_generator(),
        source=str(files[0]),
        source_sha256=file_sha256(files[0]),
    )
