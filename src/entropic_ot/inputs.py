"""What a command reads, and that nobody changed it meanwhile.

Snakemake and DVC hash a job's inputs after the job. A file that was edited while the job read it
would count, as it is then, as what the results were made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from entropic_ot.errors import DataError
from entropic_ot.files import file_sha256


def contents_of(paths: Iterable[Path]) -> dict[Path, dict[str, str]]:
    """Path -> what is there now: name within it -> sha256; all files of a folder, or the one."""
    return {path: _contents(path) for path in paths}


def _contents(path: Path) -> dict[str, str]:
    try:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        return {str(file.relative_to(path)): file_sha256(file) for file in files if file.is_file()}
    except (OSError, ValueError):
        return {}  # no name of a file, or one that cannot be read: whoever reads it says so


def expect_unchanged(before: Mapping[Path, Mapping[str, str]]) -> None:
    """To be called when all of `contents_of` has been read and nothing has been published.

    Raises:
        DataError: one of them has other contents now, or is gone, or a folder has other files.
    """
    for path, contents in before.items():
        if _contents(path) != contents:
            raise DataError.about(
                path,
                found="other contents than at the start: it was changed while it was read",
                expected="the same from beginning to end",
                action="Nothing was published; run the same command again.",
            )
