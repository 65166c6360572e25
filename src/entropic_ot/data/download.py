"""One file out of one stream: https connections, checked copies, and names that appear at once.

A file enters its destination by one rename of a checked temporary file: readers and concurrent
writers see either nothing or the whole file.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, BinaryIO, cast
from urllib.parse import urlsplit

from entropic_ot.data.checksums import describe_mismatch, is_accepted
from entropic_ot.data.leftovers import remove_leftovers
from entropic_ot.data.sources import RemoteFile, SourceError, one_line
from entropic_ot.errors import DataError
from entropic_ot.files import FULL_OR_READ_ONLY, atomic_path

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
_CHUNK_BYTES = 2**20

_failed_hosts: dict[str, str] = {}


@contextlib.contextmanager
def opened(open_stream: Callable[[], BinaryIO], *, gzipped: bool) -> Iterator[IO[bytes]]:
    """Open a stream late, inside the ``with`` that also handles the errors of opening it."""
    with contextlib.closing(open_stream()) as stream:
        if gzipped:
            with gzip.GzipFile(fileobj=stream) as decompressed:
                yield cast("IO[bytes]", decompressed)
        else:
            yield stream


def store(
    file: RemoteFile,
    stream: AbstractContextManager[IO[bytes]],
    destination: Path,
    *,
    progress: bool,
) -> None:
    """Copy the stream to ``file``'s place in the folder ``destination``.

    Raises:
        SourceError: the stream fails midway or is not ``file``, byte for byte; nothing is left.
        DataError: there is no room for it, or the place cannot be written to.
    """
    try:
        remove_leftovers(destination, f".{file.name}.", ".part")
        with stream as contents, atomic_path(destination / file.name) as temporary:
            _copy_checked(contents, temporary, file, progress=progress)
    except _TRANSFER_ERRORS as error:
        if isinstance(error, OSError) and error.errno in FULL_OR_READ_ONLY:
            raise DataError.about(
                destination / file.name,
                found=error.strerror or str(error),
                expected=f"a place to write the file to ({file.size_words})",
                action="Free some space there, or choose another data folder, and run again.",
            ) from error
        raise SourceError(one_line(error)) from error


_TRANSFER_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    http.client.HTTPException,
)


def _copy_checked(stream: IO[bytes], target: Path, file: RemoteFile, *, progress: bool) -> None:
    """Copy ``stream`` to ``target``; raise SourceError unless it is ``file``, byte for byte."""
    from tqdm import tqdm

    digests = {"sha256": hashlib.sha256(), file.algorithm: hashlib.new(file.algorithm)}
    received = 0
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
            for digest in digests.values():
                digest.update(chunk)
            out.write(chunk)
            bar.update(len(chunk))
    found = {name: digest.hexdigest() for name, digest in digests.items()}
    if not is_accepted(file, found):
        raise SourceError(f"wrong contents: {describe_mismatch(file, found, received)}")


def open_local(path: Path) -> BinaryIO:
    """Open a local file for reading, as :func:`open_https` opens an address."""
    return path.open("rb")


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
        reason = one_line(error.reason if isinstance(error, urllib.error.URLError) else error)
        _failed_hosts[host] = reason
        raise SourceError(f"host cannot be reached ({reason})") from error
