"""Files from the future, which a clock that went back leaves, or a machine with another clock.

Snakemake compares the times of a job's outputs with those of its inputs when the job has ended, and
throws the outputs away where they are older. What is stale is decided by contents here, so nothing
is lost when such a file gets the present time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

import records

from entropic_ot.files import naming

TOLERANCE_S = 1.0
"""Clocks of a network's machines differ by less; and few jobs are faster."""
TIME_PRECISION_S = 1e-3  # file systems and JSON keep times to different digits


def bring_to_present(roots: Iterable[Path]) -> list[Path]:
    """Give files below `roots` that are newer than now the present time; say so; which they are.

    Raises:
        OSError: the time of one of them cannot be changed.
    """
    now = time.time()
    latest = now + TOLERANCE_S
    found = list(dict.fromkeys(p for p in _files(roots) if p.stat().st_mtime > latest))
    for path in found:
        before = path.stat().st_mtime
        with naming(path):
            os.utime(path)
        _correct_record(path, before)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        print(
            f"{found[0]}{more}: found a modification time in the future (the clock went back, or "
            "another machine's is ahead); set to now, as contents decide what is up to date.",
            file=sys.stderr,
        )
    return found


def _correct_record(path: Path, before: float) -> None:
    """Let Snakemake's record of an output, if it is of this very file, have the new time too.

    Names of records are those of the Snakemake that requirements.lock pins.
    """
    name = urlsafe_b64encode(str(path).encode()).decode()
    longest = os.pathconf(".", "PC_NAME_MAX") - 2
    *folders, last = (name[i : i + longest] for i in range(0, len(name), longest))
    file = records.METADATA.joinpath(*(f"@{folder}" for folder in folders), last)
    try:
        record = json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return
    if abs((record.get("endtime") or 0) - before) < TIME_PRECISION_S:
        records.write(file, record | {"endtime": path.stat().st_mtime})


def _files(roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        if root.is_file():
            yield root
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (path for path in (Path(folder, name) for name in names) if path.is_file())
