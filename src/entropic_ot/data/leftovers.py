"""What a killed process left: unfinished files and folders with its number in their names."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path


def process_prefix(start: str) -> str:
    """Beginning of the name of a temporary folder of this process, for `tempfile`."""
    return f"{start}{os.getpid()}-"


def remove_leftovers(folder: Path, start: str, end: str = "") -> None:
    """Remove what is named `start`, number of a process, -, letters, `end`, of dead processes.

    A number that lives again as another process keeps its leftovers a little longer.
    """
    pattern = re.compile(rf"{re.escape(start)}([0-9]{{1,9}})-[0-9a-z_]+{re.escape(end)}")
    for path in folder.iterdir() if folder.is_dir() else ():
        match = pattern.fullmatch(path.name)
        if match is None or _is_alive(int(match[1])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # alive, and somebody else's
        return True
    return True
