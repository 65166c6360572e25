"""`entropic-ot progress`: what is done, rule by rule, and how far each running training is."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from entropic_ot.commands.curves import training_folders
from entropic_ot.experiments.curves import LogFollower
from entropic_ot.experiments.params import Params, load_params
from entropic_ot.experiments.store import LOG, MODEL
from entropic_ot.progress import clock_text

FOLLOW_SECONDS = 2.0
_CLEAR = "\x1b[2J\x1b[H"
_BAR = 24


@dataclass(frozen=True)
class Running:
    """A training that a process has in hand."""

    name: str
    step: int
    """0 before the first line of its log."""
    num_steps: int
    seconds_left: float | None
    """By the speed of the last tenth of its log; None while nothing is known."""


def progress(params_path: Path, scale: str | None, *, follow: bool = False) -> None:
    """Print it once, or with `follow` again and again until interrupted."""
    params = load_params(params_path, scale=scale)
    start = _CLEAR if follow and sys.stdout.isatty() else ""
    print(start + "\n".join(lines(params)), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while follow:
            time.sleep(FOLLOW_SECONDS)
            print(start + "\n".join(lines(params)), flush=True)


def lines(params: Params) -> list[str]:
    """A line per rule, then one per running training."""
    shown = []
    for rule, files in _outputs(params).items():
        done = sum(file.exists() for file in files)
        shown.append(f"{rule:<12} {_bar(done, len(files))} {done}/{len(files)}")
    trainings = running(params)
    shown += ["", f"training now: {len(trainings) or 'none'}"]
    for one in trainings:
        left = "" if one.seconds_left is None else f", {clock_text(one.seconds_left)} left"
        percent = 100 * one.step // one.num_steps
        shown.append(f"  {one.name}: {one.step}/{one.num_steps} ({percent}%){left}")
    return shown


def _bar(done: int, total: int) -> str:
    filled = _BAR * done // max(total, 1)
    return "█" * filled + "░" * (_BAR - filled)


def _outputs(params: Params) -> dict[str, list[Path]]:
    """One file per job of `all`. Those that are there count as done, stale ones too."""
    layout, runs = params.layout, params.runs
    files = {
        "generator": [layout.generator(name) for name in params.used_generators],
        "encode": [layout.latents(*pair) for pair in params.encoded],
        "train": [layout.run(run.case, run.name) / MODEL for run in runs],
        "sample": [layout.samples(run.case, run.name) for run in runs],
        "reference": [layout.reference(plan.case, plan.name) for plan in params.references],
        "evaluate": [layout.metrics(run.case, run.name) for run in runs],
        "table": [layout.tables / "metrics.csv", layout.tables / "comparison.csv"],
        "figure": [layout.figures / f"{name}.png" for name in params.figures],
        "page": list(layout.pages.values()),
    }
    return {rule: outputs for rule, outputs in files.items() if outputs}


def running(params: Params) -> list[Running]:
    """Trainings whose folder a process holds locked."""
    steps = {f"{run.case}/{run.name}": run.config.num_steps for run in params.runs}
    locked, found = _locked_inodes(), []
    for name, (work, _) in training_folders(params).items():
        lock = work / ".lock"
        if lock.exists() and lock.stat().st_ino in locked:
            total = steps.get(name) or _generator_steps(params, name)
            found.append(_how_far(name, work / LOG, total))
    return found


def _generator_steps(params: Params, name: str) -> int:
    path = params.layout.generator_config(name.removeprefix("generators/"))
    steps: int = json.loads(path.read_text())["training"]["num_steps"]
    return steps


def _locked_inodes() -> set[int]:
    """Files that some process holds locked. Read, not tried: a training must find its lock free."""
    try:
        table = Path("/proc/locks").read_text()
    except OSError:
        return set()
    return {int(inode) for inode in re.findall(r"FLOCK .*:(\d+) \d+ \S+$", table, re.MULTILINE)}


def _how_far(name: str, log: Path, num_steps: int) -> Running:
    records, _ = LogFollower(log).read()
    if not records:
        return Running(name, 0, num_steps, None)
    return Running(name, records[-1]["step"], num_steps, _seconds_left(records, num_steps))


def _seconds_left(records: Sequence[dict[str, float]], num_steps: int) -> float | None:
    last, then = records[-1], records[-1 - max(1, len(records) // 10)] if records[1:] else None
    if then is None or last["seconds"] <= then["seconds"]:
        return None
    speed = (last["step"] - then["step"]) / (last["seconds"] - then["seconds"])
    return (num_steps - last["step"]) / speed if speed > 0 else None
