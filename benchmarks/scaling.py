"""Seconds and memory of a training step against dimension, batch, number of steps and epsilon.

ENOT and EgNOT on Gaussians; from one base point, one quantity after the other is changed. Each
point is measured in a process of its own: the peak memory of two steps that warm up, then the
median of as many as fit into `seconds_a_point`. EgNOT's buffer holds one batch, so that it is full
at once, as it is in most of a long training.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench_config import SETTINGS, ScalingConfig, load_settings, run_config
from bench_table import markdown
from entropic_ot.device import choose_device, describe_device, make_rng
from entropic_ot.errors import EntropicOTError
from entropic_ot.experiments.build import build_benchmark, build_solver
from entropic_ot.experiments.config import GaussianProblem
from entropic_ot.experiments.provenance import git_state
from entropic_ot.files import atomic_path
from measure import PeakMemory, synchronise

SHOWN = ("method", "changed", "value", "seconds_a_step", "peak_mb")
COLUMNS = (*SHOWN, "repeats", "device", "threads", "precision", "compile", "commit", "torch")
NUM_WARM_UP = 2
MAX_REPEATS = 30

Point = dict[str, Any]
"""method, changed, value; dim, epsilon and the settings that differ from the preset."""


def points(config: ScalingConfig) -> Iterator[Point]:
    """The base point of each method, then each quantity with each of its other values."""
    for method, scaling in config.methods.items():
        base = {"dim": config.dim, "epsilon": config.epsilon}
        yield {"method": method, "changed": "base", "value": "", **base, "settings": {}}
        for quantity, values in scaling.values.items():
            for value in values:
                changed = {quantity: value}
                where = base | changed if quantity in base else base
                settings = {} if quantity in base else changed
                point = {"method": method, "changed": quantity, "value": value, **where}
                yield point | {"settings": settings}


def measure(point: Point, config: ScalingConfig) -> dict[str, object]:
    """Seconds of a step, and the most memory in use during two beyond what was before, in MB."""
    method, epsilon = str(point["method"]), float(point["epsilon"])
    scaling = config.methods[method]
    settings = scaling.settings | point["settings"]
    if "batch_size" in settings and method == "egnot":
        settings |= {"buffer_size": settings["batch_size"]}
    run = run_config(method, scaling.preset, settings, epsilon=epsilon)
    device = choose_device(run.compute.device)
    data = GaussianProblem(kind="gaussian", dim=point["dim"], source_seed=42, target_seed=43)
    benchmark = build_benchmark(data, epsilon=epsilon)
    solver = build_solver(run, benchmark.source.shape, device=device)
    problem, rng = benchmark.eot(epsilon), make_rng(0, device)

    def step() -> float:
        began = time.perf_counter()
        solver.step(problem, rng=rng, progress=0.0)
        synchronise(device)
        return time.perf_counter() - began

    memory = PeakMemory(device)
    memory.start()
    for _ in range(NUM_WARM_UP):
        step()
    peak, seconds = memory.stop(), [step()]
    while sum(seconds) < config.seconds_a_point and len(seconds) < MAX_REPEATS:
        seconds.append(step())
    return {
        "seconds_a_step": f"{statistics.median(seconds):.4g}",
        "peak_mb": f"{peak:.4g}",
        "repeats": len(seconds),
        "device": describe_device(device).rsplit(", ", 1)[0],
        "threads": torch.get_num_threads(),
        "precision": solver.precision,
        "compile": solver.compiled,
    }


def in_a_process(point: Point, settings: Path) -> dict[str, object]:
    """`measure` in a process of its own; EntropicOTError with its last words when that fails."""
    words = [sys.executable, __file__, "--settings", str(settings), "--point", json.dumps(point)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EntropicOTError(f"{point}: the measurement failed: {done.stderr.strip()[-500:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(args: argparse.Namespace) -> None:
    """Measure all points, print the table, write the file."""
    config = load_settings(args.settings).scaling
    if args.point:
        print(json.dumps(measure(json.loads(args.point), config)))
        return
    state = git_state()
    commit = f"{(state['commit'] or 'unknown')[:10]}{'+' if state['dirty'] else ''}"
    rows = []
    for point in points(config):
        row = {k: point[k] for k in ("method", "changed", "value")} | in_a_process(
            point, args.settings
        )
        rows.append({k: str(v) for k, v in (row | {"commit": commit}).items()})
        rows[-1]["torch"] = torch.__version__
        print(" ".join(rows[-1][k] for k in SHOWN), file=sys.stderr, flush=True)
    with atomic_path(args.out) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(markdown(rows, SHOWN))


def main(words: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/scaling.py",
        description=__doc__,
        epilog="Its settings: `scaling` in benchmarks/settings.yaml.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("results/scaling.csv"), metavar="PATH")
    parser.add_argument("--settings", type=Path, default=SETTINGS, metavar="PATH")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    try:
        run(parser.parse_args(words))
    except EntropicOTError as error:
        print(f"benchmarks/scaling.py: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
