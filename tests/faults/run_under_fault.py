"""Commands in processes that may be killed, a run to do it to, and disks that are full."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "src"


@dataclass(frozen=True)
class Ended:
    """How a command ended; a negative status is the signal that killed it."""

    status: int
    printed: str


class Server:
    """Runs commands of entropic-ot, one at a time, in forks of one process (server.py)."""

    def __init__(self, folder: Path) -> None:
        self.printed = folder / "printed.txt"
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py")],
            env=os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        *argv: object,
        folder: Path,
        fault: str = "",
        meanwhile: Callable[[int], None] | None = None,
    ) -> Ended:
        """Run a command in `folder` after executing `fault`; `meanwhile` gets its process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        job = {
            "argv": [str(word) for word in argv],
            "folder": str(folder),
            "printed": str(self.printed),
            "fault": fault,
        }
        print(json.dumps(job), file=self.process.stdin, flush=True)
        process = int(self.process.stdout.readline())
        if meanwhile is not None:
            meanwhile(process)
        status = int(self.process.stdout.readline())
        return Ended(status, self.printed.read_text(errors="replace"))

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


@dataclass(frozen=True)
class Run:
    """A folder in which one run can be trained, sampled and evaluated by the command line."""

    folder: Path
    server: Server
    case: str
    name: str

    @property
    def results(self) -> Path:
        return self.folder / "results/smoke"

    @property
    def config(self) -> Path:
        return self.results / f"config/{self.case}/{self.name}.json"

    @property
    def evaluation(self) -> Path:
        return self.results / f"config/{self.case}/evaluation.json"

    @property
    def sampling(self) -> Path:
        return self.evaluation.with_name("sampling.json")

    @property
    def out(self) -> Path:
        return self.results / f"runs/{self.case}/{self.name}"

    @property
    def work(self) -> Path:
        return self.results / f"checkpoints/{self.case}/{self.name}"

    @property
    def samples(self) -> Path:
        return self.results / f"samples/{self.case}/{self.name}.npz"

    @property
    def metrics(self) -> Path:
        return self.results / f"metrics/{self.case}/{self.name}.json"

    def change(self, **settings: Any) -> None:
        """Other settings of the run; those of its solver are found too."""
        record = json.loads(self.config.read_text())
        for key, value in settings.items():
            place = record if key in record else record["solver"]
            assert key in place
            place[key] = value
        self.config.write_text(json.dumps(record))

    def command(self, *argv: object, **how: Any) -> Ended:
        return self.server.run(*argv, folder=self.folder, **how)

    def train(self, **how: Any) -> Ended:
        words = ("--config", self.config, "--out", self.out, "--work", self.work)
        return self.command("train", *words, **how)

    def sample(self, **how: Any) -> Ended:
        words = ("--config", self.config, "--sampling", self.sampling, "--run", self.out)
        return self.command("sample", *words, "--out", self.samples, **how)

    def evaluate(self, **how: Any) -> Ended:
        words = ("--config", self.config, "--evaluation", self.evaluation, "--run", self.out)
        words = (*words, "--samples", self.samples, "--out", self.metrics)
        return self.command("evaluate", *words, **how)


def copied(run: Run, folder: Path) -> Run:
    shutil.copytree(run.folder, folder)
    return Run(folder, run.server, run.case, run.name)


def mount(*words: str) -> None:
    """The command of this name; skips the test where this user may not mount."""
    try:
        done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"needs the program mount: {error}")
    if done.returncode != 0:
        pytest.skip("needs the right to mount: run as root, or in a container with CAP_SYS_ADMIN")


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, *, leave: int) -> Path:
    """A file that takes all room of a small disk but `leave` bytes."""
    free = os.statvfs(folder)
    path = folder / "filler"
    path.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - leave)))
    return path
