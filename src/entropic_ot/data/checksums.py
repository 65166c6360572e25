"""Whether a file is the one that is wanted: its digest against the known one.

Apart from what fetches files, so that results depend on how data is checked and read, and not on
how it was obtained: the lists of sources of rules (experiments.sources) name this file, and none of
download.py, fetch.py, packages.py and package_index.py.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from entropic_ot.data.sources import (
    ACCEPT_VARIABLE,
    MIRROR_VARIABLE,
    RemoteFile,
    accepted_digests,
)
from entropic_ot.errors import DataError
from entropic_ot.files import file_digests

_log = logging.getLogger(__name__)


class ChecksumError(DataError):
    """A file that is already in place has the wrong contents."""


def verify_file(file: RemoteFile, folder: Path) -> str:
    """Check a file that is needed now, without fetching anything; its sha256.

    Raises:
        ChecksumError: it is there with other contents, which were not accepted.
        DataError: it is not there.
    """
    found = digest_in_place(file, folder)
    if found is None:
        raise DataError.about(
            folder / file.name,
            found="no such file",
            expected=f"the file with {file.algorithm} {file.digest}",
            action="Get it by `entropic-ot fetch`, or place it there by hand (docs/data.md).",
        )
    return found


def obtain_files(files: Sequence[RemoteFile], folder: Path) -> tuple[Path, ...]:
    """Their paths in `folder`, checked; what is not there is fetched first.

    For what reads published files and can fetch them where they are gone, as after `dvc pull`.

    Raises:
        ChecksumError: one of them is there with other contents.
        MissingFilesError: one of them could not be obtained.
    """
    if any(digest_in_place(file, folder) is None for file in files):
        # By name and not by an import statement, which would make all that reads data stale
        # whenever the code that fetches is edited; a file that is known by its hash is the same.
        importlib.import_module("entropic_ot.data.fetch").fetch_files(files, folder)
    return tuple(folder / file.name for file in files)


def digest_in_place(file: RemoteFile, folder: Path) -> str | None:
    """The sha256 of the file in `folder`, checked, or None where there is none.

    Raises:
        ChecksumError: it is there with other contents, which were not accepted.
    """
    path = folder / file.name
    if not path.exists():
        return None
    if not path.is_file():
        raise DataError.about(
            path,
            found="something that is not a file",
            expected=f"the file with {file.algorithm} {file.digest}",
            action="Move it away and run again.",
        )
    found = file_digests(path, {"sha256", file.algorithm})
    if is_accepted(file, found):
        return found["sha256"]
    raise ChecksumError.about(
        path,
        found=f"a file with {file.algorithm} {found[file.algorithm]}",
        expected=f"{file.algorithm} {file.digest}",
        action=(
            "It was left as it is. Three ways out: delete it and run again, so that it is fetched; "
            "put the right file in its place; or delete it and set "
            f"{MIRROR_VARIABLE} to a folder that holds the right file under the same name."
            + (f" Or: {describe_mismatch(file, found, path.stat().st_size)}." if file.doubt else "")
        ),
    )


def is_accepted(file: RemoteFile, found: Mapping[str, str]) -> bool:
    """Whether contents with these digests are ``file``, or were accepted in its place.

    Args:
        file: what is expected.
        found: algorithm -> digest; sha256 and the file's own algorithm are there.
    """
    if found[file.algorithm] == file.digest:
        return True
    if not file.doubt or found["sha256"] not in accepted_digests():
        return False
    _log.warning(
        "%s: accepted although its %s is %s instead of %s, because %s names its sha256 %s. %s",
        file.name,
        file.algorithm,
        found[file.algorithm],
        file.digest,
        ACCEPT_VARIABLE,
        found["sha256"],
        file.doubt,
    )
    return True


def describe_mismatch(file: RemoteFile, found: Mapping[str, str], size_bytes: int) -> str:
    """What is wrong with contents that are not ``file``, and how to accept them if one may."""
    text = (
        f"found {size_bytes} bytes with {file.algorithm} {found[file.algorithm]}, "
        f"expected {file.digest}"
    )
    if not file.doubt:
        return text
    return (
        f"{text}. {file.doubt} If this file is from its publisher, accept exactly these contents "
        f"by setting {ACCEPT_VARIABLE}={found['sha256']} and run again"
    )
