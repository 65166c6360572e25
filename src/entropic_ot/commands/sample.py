"""`entropic-ot sample`: samples.npz of one trained run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from entropic_ot.data.leftovers import remove_leftovers
from entropic_ot.device import choose_device
from entropic_ot.experiments.build import build_run
from entropic_ot.experiments.config import load_evaluation, load_run
from entropic_ot.experiments.sample import draw_samples
from entropic_ot.experiments.store import load_model
from entropic_ot.files import atomic_path


def sample(config_path: Path, evaluation_path: Path, run: Path, out: Path) -> None:
    """Load the averaged weights of `run` and write the arrays of `draw_samples`."""
    config, evaluation = load_run(config_path), load_evaluation(evaluation_path)
    device = choose_device(config.compute.device)
    benchmark, solver = build_run(config, device=device)
    load_model(solver, run, config_sha256=config.sha256, device=device)
    arrays = draw_samples(
        solver,
        benchmark,
        evaluation,
        epsilon=config.epsilon,
        label=f"sample {config.case} {config.name}",
    )
    remove_leftovers(out.parent, f".{out.name}.", ".part")
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
