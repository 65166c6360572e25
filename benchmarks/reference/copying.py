"""Files out of a folder, copied first and read again for their hash."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path


def copied(sha256: Mapping[str, str], source: Path, destination: Path) -> None:
    """Copy the files with these names; RuntimeError where a copy's sha256 is not the known one."""
    for name, expected in sha256.items():
        shutil.copyfile(source / name, destination / name)
        found = hashlib.sha256((destination / name).read_bytes()).hexdigest()
        if found != expected:
            raise RuntimeError(f"{name}: found sha256 {found}, expected {expected}")
