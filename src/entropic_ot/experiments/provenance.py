"""What a result was made from: commit, configuration, data, packages, device."""

from __future__ import annotations

import hashlib
import platform
import resource
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import torch

import entropic_ot
from entropic_ot.device import describe_device
from entropic_ot.distributed import described
from entropic_ot.experiments.sources import source_closure
from entropic_ot.files import file_sha256

PACKAGES = ("numpy", "torch", "safetensors", "POT")


def code_sha256(module: str) -> str:
    """Hash of the sources that a module depends on inside this package."""
    root = Path(entropic_ot.__file__).parents[1]
    digest = hashlib.sha256()
    for file in source_closure(module, root):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


class Hashed(Protocol):
    """A resolved configuration."""

    @property
    def sha256(self) -> str:
        """Hash of everything in it."""
        ...


def fingerprint(
    config: Hashed, data_files: list[Path], *, module: str, device: torch.device, precision: str
) -> str:
    """Hash of all that a training depends on: a checkpoint of another one is not resumed."""
    parts = [config.sha256, code_sha256(module), torch.__version__, device.type, precision]
    parts += [file_sha256(path) for path in data_files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def git_state() -> dict[str, Any]:
    """Commit and whether tracked files differ from it; None outside a git checkout."""

    def git(*words: str) -> str | None:
        command = ["git", *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    status = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def provenance(
    config: Hashed | None,
    data_files: list[Path],
    *,
    device: torch.device,
    precision: str,
    compiled: str,
    seconds: float,
) -> dict[str, Any]:
    """The record that is written beside a checkpoint, a generator or encoded images.

    `config`: None for what has no settings (a converted generator). `seconds`: of the training, or
    of whatever made the result; those of processes that were killed on the way are in it.
    """
    return {
        **git_state(),
        "config_sha256": None if config is None else config.sha256,
        "data_sha256": {str(path): file_sha256(path) for path in data_files},
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": described(describe_device(device)),
        "precision": precision,
        "compile": compiled,
        "train_seconds": round(seconds, 3),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
