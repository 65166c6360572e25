"""`entropic-ot sample`: samples.npz of one trained run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from entropic_ot import distributed
from entropic_ot.data.leftovers import remove_leftovers
from entropic_ot.device import choose_device
from entropic_ot.experiments.build import build_run
from entropic_ot.experiments.config import RunConfig, load_run, load_sampling
from entropic_ot.experiments.sample import draw_samples
from entropic_ot.experiments.store import load_model
from entropic_ot.files import atomic_path
from entropic_ot.solvers.config import EgNOTConfig, ENOTConfig


def sample(config_path: Path, sampling_path: Path, run: Path, out: Path) -> None:
    """Load the averaged weights of `run` and write the arrays of `draw_samples`.

    Where torchrun launched several processes, they share the sampling by ENOT and EgNOT, and the
    first one writes; the other solvers sample in one.
    """
    config = load_run(config_path)
    device = choose_device(config.compute.device)
    if isinstance(config.solver, ENOTConfig | EgNOTConfig):
        with distributed.group(device) as own_device:
            _sample(config, sampling_path, run, out, device=own_device)
    elif distributed.launched()[0] == 0:
        _sample(config, sampling_path, run, out, device=device)


def _sample(
    config: RunConfig, sampling_path: Path, run: Path, out: Path, *, device: torch.device
) -> None:
    settings = load_sampling(sampling_path)
    benchmark, solver = build_run(config, device=device)
    load_model(solver, run, config_sha256=config.sha256, device=device)
    arrays = draw_samples(
        solver,
        benchmark,
        settings,
        epsilon=config.epsilon,
        label=f"sample {config.case} {config.name}",
    )
    if distributed.is_main():
        remove_leftovers(out.parent, f".{out.name}.", ".part")
        with atomic_path(out) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
