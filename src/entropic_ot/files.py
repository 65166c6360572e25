"""Files that appear whole or not at all, and their hashes. Needs the standard library alone."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

FULL_OR_READ_ONLY = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Errors of the place that is written to, whatever file the operating system names."""


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Let an OSError of the block name `path`: one that names nothing, the temporary file that is
    to become `path`, or what was copied while the place that was written to is full."""
    try:
        yield
    except OSError as error:
        unknown = error.filename is None or str(error.filename) == str(temporary)
        if unknown or error.errno in FULL_OR_READ_ONLY:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A new name beside `path`, whose folder is made; it becomes `path` when the block ends well.

    If the block raises, `path` stays as it was and the new file is removed. The name is unique, so
    threads and processes that write the same file do not disturb each other.

    Raises:
        OSError: with `path` as its file name: a full disk, a folder that cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with naming(path, temporary):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        with suppress(OSError):  # a folder that cannot be written to: said above
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """`text` in UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """`data` as indented JSON, atomically."""
    write_text(path, json.dumps(data, indent=2, sort_keys=False) + "\n")


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's contents."""
    return file_digests(path, ["sha256"])["sha256"]


def file_digests(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Algorithm -> hexadecimal digest of a file's contents, which are read once."""
    digests = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            for digest in digests.values():
                digest.update(chunk)
    return {algorithm: digest.hexdigest() for algorithm, digest in digests.items()}
