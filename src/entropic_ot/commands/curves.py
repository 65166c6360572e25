"""`entropic-ot curves`: TensorBoard's curves of trainings, finished or running."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.curves import Curves
from entropic_ot.experiments.generator_config import TrainedGenerator
from entropic_ot.experiments.params import Params, load_params
from entropic_ot.experiments.store import LOG

FOLLOW_SECONDS = 2.0


def curves(
    params_path: Path,
    scale: str | None,
    patterns: Sequence[str],
    *,
    out: Path | None = None,
    follow: bool = False,
    serve: bool = False,
) -> None:
    """Write event files of the trainings that match `patterns` (all, if there are none).

    With `follow`, go on until interrupted; with `serve`, show them by TensorBoard meanwhile.
    """
    params = load_params(params_path, scale=scale)
    logs = _chosen(_logs(params), patterns)
    folder = params.layout.root / "curves" if out is None else out
    written = Curves(logs, folder)
    num = written.update()
    print(f"{folder}: {num} records of {len(logs)} trainings", flush=True)
    server = None
    try:
        if serve:
            command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
            server = subprocess.Popen([*command, "--reload_interval", "5"])
        while (follow or serve) and (server is None or server.poll() is None):
            time.sleep(FOLLOW_SECONDS)
            written.update()
    except KeyboardInterrupt:
        print(f"{folder}: stopped; what was written stays", file=sys.stderr)
    finally:
        written.close()
        if server is not None:
            server.terminate()
            server.wait()


def _logs(params: Params) -> dict[str, Path]:
    """case/run, or generators/name -> the log of its training: the one that is written to now.

    Where there is only the published one, as after `dvc pull`, it is that.
    """
    return {
        name: out / LOG if (out / LOG).exists() and not (work / LOG).exists() else work / LOG
        for name, (work, out) in training_folders(params).items()
    }


def training_folders(params: Params) -> dict[str, tuple[Path, Path]]:
    """case/run, or generators/name -> (where it trains, where its results are published)."""
    layout = params.layout
    return {
        f"{run.case}/{run.name}": (layout.work(run.case, run.name), layout.run(run.case, run.name))
        for run in params.runs
    } | {
        f"generators/{name}": (layout.generator_work(name), layout.generator(name).parent)
        for name in params.used_generators
        if isinstance(params.generators[name], TrainedGenerator)
    }


def _chosen(logs: dict[str, Path], patterns: Sequence[str]) -> dict[str, Path]:
    """Those that match one of the patterns; ConfigError for a pattern that none matches."""
    if not patterns:
        return logs
    chosen: dict[str, Path] = {}
    for pattern in patterns:
        matching = {n: p for n, p in logs.items() if fnmatch.fnmatchcase(n, pattern)}
        if not matching:
            raise ConfigError.about(
                pattern,
                found="no training of this name",
                expected=f"a pattern for case/run, as {next(iter(logs), 'gaussian-d16/*')}",
                action="`entropic-ot summary` lists the runs.",
            )
        chosen |= matching
    return chosen
