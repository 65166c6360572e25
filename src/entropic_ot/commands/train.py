"""`entropic-ot train`: one run from its resolved configuration to a checkpoint."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from entropic_ot import distributed
from entropic_ot.device import choose_device, describe_device
from entropic_ot.experiments.build import build_run
from entropic_ot.experiments.config import RunConfig, load_run
from entropic_ot.experiments.fit import fit
from entropic_ot.experiments.paths import Layout
from entropic_ot.experiments.provenance import fingerprint, provenance
from entropic_ot.experiments.store import PROVENANCE, RunStore
from entropic_ot.files import write_json
from entropic_ot.solvers.config import SinkhornConfig


def train(config_path: Path, out: Path, work: Path) -> None:
    """Train (or go on training) and publish checkpoint, state, log and provenance into `out`.

    `work` holds the checkpoints while training; it outlives a killed job and is resumed from when
    configuration, code, data and device are still the same. Where torchrun launched several
    processes, all of them train, Sinkhorn excepted, and the first one writes.
    """
    config = load_run(config_path)
    device = choose_device(config.compute.device)
    if not isinstance(config.solver, SinkhornConfig):
        with distributed.group(device) as own_device:
            _train(config, out, work, device=own_device)
    elif distributed.launched()[0] == 0:
        _train(config, out, work, device=device)


def _train(config: RunConfig, out: Path, work: Path, *, device: torch.device) -> None:
    main = distributed.is_main()
    files = Layout(config.scale).data_files(config.problem)
    benchmark, solver = build_run(config, device=device)
    problem = benchmark.eot(config.epsilon)
    device, precision = solver.device, solver.precision  # Sinkhorn and LightSB have their own
    label = f"train {config.case} {config.name}"
    if main:
        where = distributed.described(describe_device(device))
        print(f"{label}: {where}, {precision}", file=sys.stderr, flush=True)
    mark = fingerprint(config, files, module=__name__, device=device, precision=precision)
    store = RunStore(work, fingerprint=mark)
    with store.locked() if main else nullcontext():
        seconds = fit(
            solver,
            problem,
            steps=config.num_steps,
            seed=config.seed,
            store=store,
            checkpoint_seconds=config.compute.checkpoint_seconds,
            log_points=config.compute.log_points,
            label=label,
        )
        if not main:
            return
        store.publish(out)
    record = provenance(
        config,
        files,
        device=device,
        precision=precision,
        compiled=solver.compiled,
        seconds=seconds,
    )
    write_json(out / PROVENANCE, record)
