"""`entropic-ot train`: one run from its resolved configuration to a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path

from entropic_ot.device import choose_device, describe_device
from entropic_ot.experiments.build import build_run
from entropic_ot.experiments.config import load_run
from entropic_ot.experiments.fit import fit
from entropic_ot.experiments.paths import Layout
from entropic_ot.experiments.provenance import fingerprint, provenance
from entropic_ot.experiments.store import PROVENANCE, RunStore
from entropic_ot.files import write_json


def train(config_path: Path, out: Path, work: Path) -> None:
    """Train (or go on training) and publish checkpoint, state, log and provenance into `out`.

    `work` holds the checkpoints while training; it outlives a killed job and is resumed from when
    configuration, code, data and device are still the same.
    """
    config = load_run(config_path)
    device = choose_device(config.compute.device)
    files = Layout(config.scale).data_files(config.problem)
    benchmark, solver = build_run(config, device=device)
    problem = benchmark.eot(config.epsilon)
    device, precision = solver.device, solver.precision  # Sinkhorn and LightSB have their own
    label = f"train {config.case} {config.name}"
    print(f"{label}: {describe_device(device)}, {precision}", file=sys.stderr, flush=True)
    mark = fingerprint(config, files, module=__name__, device=device, precision=precision)
    store = RunStore(work, fingerprint=mark)
    with store.locked():
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
