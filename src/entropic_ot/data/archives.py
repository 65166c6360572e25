"""Archives and images from elsewhere, read without trusting anything that they say.

Nothing is extracted to disk and no name from an archive is used as a path. An archive is refused
as a whole if one of its members has a name that leads outside, is a link or a device, or if it is
larger, or unpacks to more, than its limits say; so an archive that is read at all is a plain one.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from entropic_ot.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_FORMATS = ("JPEG", "PNG", "PPM")  # PPM: also grey PGM
MAX_IMAGE_PIXELS = 20_000_000
_CHUNK_BYTES = 2**20
_BROKEN = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    NotImplementedError,  # a feature of zip that Python does not know
    ValueError,
)


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """The most that an archive may hold."""

    num_members: int
    """Files and folders together."""
    member_bytes: int
    """Unpacked size of the largest file."""
    total_bytes: int
    """Unpacked size of all files together."""
    ratio: float
    """Unpacked over packed size, of each member of a zip file above 1 MiB."""


class SafeZip:
    """A zip file that has passed all checks; see :func:`open_zip`.

    Attributes:
        path: where it is.
        names: its files (no folders), in the order of the archive.
    """

    def __init__(self, path: Path, bundle: zipfile.ZipFile, limits: ArchiveLimits) -> None:
        self.path = path
        self._bundle = bundle
        self._files = _checked_files(path, bundle, limits)
        self.names = tuple(self._files)

    def read(self, name: str) -> bytes:
        """The contents of one of ``names``.

        Raises:
            DataError: no such member, or it is damaged (truncated, wrong checksum or size).
        """
        info = self._files.get(name)
        if info is None:
            raise _bad_member(self.path, name, "no such member", "the file in the archive")
        try:
            with self._bundle.open(info) as stream:
                contents = stream.read(info.file_size + 1)
        except (*_BROKEN, RuntimeError) as error:
            raise _bad_member(
                self.path, name, f"a damaged member ({error})", "whole contents"
            ) from error
        if len(contents) != info.file_size:
            raise _bad_member(
                self.path, name, f"{len(contents)} bytes", f"{info.file_size} as the archive says"
            )
        return contents


@contextmanager
def open_zip(path: Path, limits: ArchiveLimits) -> Iterator[SafeZip]:
    """Open a zip file (a wheel is one too) whose directory is checked before anything is read.

    Raises:
        DataError: missing, no zip file, or not a plain one within ``limits``.
    """
    try:
        bundle = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise _bad_archive(path, f"no readable zip file ({error})") from error
    with bundle:
        yield SafeZip(path, bundle, limits)


def _checked_files(
    path: Path, bundle: zipfile.ZipFile, limits: ArchiveLimits
) -> dict[str, zipfile.ZipInfo]:
    infos = bundle.infolist()
    if len(infos) > limits.num_members:
        raise _bad_archive(path, f"{len(infos)} members", f"{limits.num_members} at most")
    files: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for info in infos:
        # What stands in the file: ZipInfo.filename is cut at a NUL and has its slashes turned.
        name = info.orig_filename
        _check_name(path, name)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _bad_member(path, name, "a link or a device", "a file or a folder")
        if info.flag_bits & 0x1:
            raise _bad_member(path, name, "an encrypted member", "one that can be read")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # zipfile unpacks all others whole, whatever number of bytes it is asked for.
            raise _bad_member(
                path, name, f"compression method {info.compress_type}", "a stored or deflated one"
            )
        if info.is_dir():
            continue
        if info.filename in files:
            raise _bad_member(path, name, "a second member of this name", "one of each name")
        _check_size(path, name, info.file_size, limits)
        if info.file_size > max(_CHUNK_BYTES, limits.ratio * info.compress_size):
            raise _bad_member(
                path,
                name,
                f"{info.file_size} bytes packed into {info.compress_size}",
                f"a ratio of {limits.ratio:g} at most",
            )
        total = _check_total(path, total + info.file_size, limits)
        files[info.filename] = info
    return files


def read_tar_gz(path: Path, wanted: Collection[str], limits: ArchiveLimits) -> dict[str, bytes]:
    """Read some files of a .tar.gz archive in one pass that unpacks no more than the limits.

    Args:
        path: the archive.
        wanted: names of its members.
        limits: as for zip files, but for the ratio: the unpacked stream itself is counted.

    Returns:
        The contents of each of ``wanted``.

    Raises:
        DataError: missing, damaged, not a plain archive within ``limits``, or without one of
            ``wanted``.
    """
    found: dict[str, bytes] = {}
    total = num_members = 0
    try:
        with gzip.open(path) as stream:
            bounded = _Bounded(stream, limits.total_bytes + 2048 * limits.num_members)
            with tarfile.open(fileobj=bounded, mode="r|") as tape:
                for member in tape:
                    num_members += 1
                    if num_members > limits.num_members:
                        raise _bad_archive(path, "more members", f"{limits.num_members} at most")
                    _check_tar_member(path, member, limits)
                    total = _check_total(path, total + member.size, limits)
                    if member.name in wanted:
                        found[member.name] = _tar_contents(path, tape, member, found)
    except _TooLong as error:
        raise _bad_archive(path, str(error), f"{limits.total_bytes} at most") from None
    except _BROKEN as error:
        raise _bad_archive(path, f"a damaged .tar.gz archive ({error})") from error
    for name in wanted:
        if name not in found:
            raise _bad_member(path, name, "no such member", "the file in the archive")
    return found


def _check_tar_member(path: Path, member: tarfile.TarInfo, limits: ArchiveLimits) -> None:
    _check_name(path, member.name)
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise _bad_member(path, member.name, "a link or a device", "a file or a folder")
    _check_size(path, member.name, member.size, limits)


def _tar_contents(
    path: Path, tape: tarfile.TarFile, member: tarfile.TarInfo, found: Collection[str]
) -> bytes:
    if member.name in found:
        raise _bad_member(path, member.name, "a second member of this name", "one of each name")
    stream = tape.extractfile(member)
    if stream is None:
        raise _bad_member(path, member.name, "a folder", "a file")
    contents = stream.read()
    if len(contents) != member.size:
        raise _bad_member(path, member.name, f"{len(contents)} bytes", f"{member.size}")
    return contents


class _TooLong(Exception):
    """A stream unpacks to more than its limit."""


class _Bounded(io.RawIOBase):
    """Reads of a stream, counted; also what tarfile reads for itself, such as long names."""

    def __init__(self, stream: gzip.GzipFile, limit_bytes: int) -> None:
        self._stream, self._limit, self._received = stream, limit_bytes, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        contents = self._stream.read(_CHUNK_BYTES if size < 0 else min(size, _CHUNK_BYTES))
        self._received += len(contents)
        if self._received > self._limit:
            raise _TooLong(f"more than {self._limit} unpacked bytes")
        return contents


def decode_image(contents: bytes, where: str, *, max_pixels: int = MAX_IMAGE_PIXELS) -> Image.Image:
    """Decode a JPEG, PNG, PPM or PGM image whole; only its header, if it has too many pixels.

    Args:
        contents: the file.
        where: what to call it in messages: archive and member.
        max_pixels: width times height at most.

    Raises:
        DataError: not one of these formats, damaged, truncated, or too large.
    """
    import warnings

    from PIL import Image

    expected = "a whole JPEG, PNG, PPM or PGM image"
    action = "Get the archive again; `skip_bad_files: true` leaves such images out and lists them."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(contents), formats=IMAGE_FORMATS)
        if image.width * image.height > max_pixels:
            found = f"{image.width} x {image.height} pixels"
            expected = f"{max_pixels} pixels at most"
            raise DataError.about(where, found=found, expected=expected, action=action)
        image.load()
    except (*_BROKEN, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise DataError.about(
            where, found=f"no readable image ({error})", expected=expected, action=action
        ) from error
    return image


def _check_name(path: Path, name: str) -> None:
    parts = name.rstrip("/").split("/")
    leads_outside = ".." in parts or "" in parts or ":" in parts[0]
    if leads_outside or "\\" in name or not name.isprintable():
        raise _bad_member(path, repr(name), "a name that leads outside", "a plain relative name")


def _check_size(path: Path, name: str, size: int, limits: ArchiveLimits) -> None:
    if size > limits.member_bytes:
        raise _bad_member(path, name, f"{size} bytes", f"{limits.member_bytes} at most")


def _check_total(path: Path, total: int, limits: ArchiveLimits) -> int:
    if total > limits.total_bytes:
        raise _bad_archive(path, f"{total} unpacked bytes or more", f"{limits.total_bytes} at most")
    return total


def _bad_member(path: Path, name: str, found: str, expected: str) -> DataError:
    return DataError.about(
        f"{path}, member {name}",
        found=found,
        expected=expected,
        action="Nothing was unpacked. Get the archive again from its publisher.",
    )


def _bad_archive(
    path: Path, found: str, expected: str = "a whole archive as it was published"
) -> DataError:
    return DataError.about(
        path,
        found=found,
        expected=expected,
        action="Nothing was unpacked. Get it again from its publisher.",
    )
