"""Source archives of Python packages as plain files, from the index that pip is set up to use.

`pip download` runs a source archive's build back end to learn its metadata. Here nothing of a
package is executed: its page in the index is read, and the file that it names is downloaded.
"""

from __future__ import annotations

import ast
import hashlib
import html.parser
import http.client
import logging
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from entropic_ot.data.download import open_https
from entropic_ot.data.sources import PypiSource, SourceError, one_line
from entropic_ot.files import atomic_path

PAGE_LIMIT_BYTES = 16 * 2**20
ARCHIVE_LIMIT_BYTES = 2**30
PIP_TIMEOUT_S = 60.0
_ENDINGS = (".tar.gz", ".tgz", ".zip")
_CHUNK_BYTES = 2**20

_log = logging.getLogger(__name__)

Opener = Callable[[str], BinaryIO]


def download_sdist(source: PypiSource, folder: Path, *, open_url: Opener | None = None) -> Path:
    """Download the source archive of a package into ``folder``; return its path.

    Its sha256 is compared with the one that the index gives, if it gives one.

    Args:
        source: package and version.
        folder: where the archive is put, under its own name.
        open_url: opens an https address for reading; None means the network.

    Raises:
        SourceError: no index has it, or it arrives damaged; one reason for each index.
    """
    reasons = []
    for index in index_urls():
        try:
            return _download(source, index, folder, open_url or open_https)
        except (SourceError, OSError, http.client.HTTPException, ValueError) as error:
            # ValueError: an address that cannot be split into its parts.
            reasons.append(f"{_shown(index)}: {one_line(error)}")
    raise SourceError("; ".join(reasons) or "pip is set up to use no index")


def index_urls() -> list[str]:
    """pip's index and extra indexes, by its environment variables and configuration files.

    Raises:
        SourceError: neither says one, and pip cannot be asked for its own.
    """
    settings = _pip_settings()
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return []
    extra = settings.get("extra-index-url", "").split()
    return [settings.get("index-url") or _default_index(), *extra]


def _pip_settings() -> dict[str, str]:
    """pip's settings by their long names: files, then those of `download`, then the environment."""
    found: dict[str, dict[str, str]] = {"global": {}, "download": {}, ":env:": {}}
    for line in _pip("-m", "pip", "config", "list").splitlines():
        match = re.fullmatch(r"(global|download|:env:)\.([\w-]+)=(.*)", line.strip())
        if match:
            section, name, value = match.groups()
            found[section][name] = _unquoted(value)
    environment = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in os.environ.items()
        if name.startswith("PIP_") and value
    }
    return found["global"] | found["download"] | found[":env:"] | environment


def _unquoted(value: str) -> str:
    try:
        return str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return value


def _default_index() -> str:
    """The index that pip uses where nothing is set."""
    code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    url = _pip("-c", code).strip()
    if not url:
        raise SourceError("pip does not say which index it uses: set PIP_INDEX_URL")
    return url


def _pip(*arguments: str) -> str:
    """Output of Python with these arguments; empty where there is no pip."""
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError(f"pip cannot be asked for its index ({one_line(error)})") from error
    return done.stdout if done.returncode == 0 else ""


def _download(source: PypiSource, index: str, folder: Path, open_url: Opener) -> Path:
    page = f"{index.rstrip('/')}/{_normal(source.package)}/"
    with _opened(page, open_url) as stream:
        contents = stream.read(PAGE_LIMIT_BYTES + 1)
    if len(contents) > PAGE_LIMIT_BYTES:
        raise SourceError(f"its page has more than {PAGE_LIMIT_BYTES} bytes")
    for href in _links(contents.decode("utf-8", errors="replace")):
        url, fragment = urllib.parse.urldefrag(urllib.parse.urljoin(page, href))
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rpartition("/")[2]
        if _is_sdist(name, source):
            if url.startswith("file:") and not page.startswith("file:"):
                raise SourceError("refused: links to a file of this computer")
            _log.info("downloading %s", name)
            return _store(url, folder / name, fragment, open_url)
    raise SourceError(f"has no source archive of {source.package} {source.version}")


def _store(url: str, path: Path, fragment: str, open_url: Opener) -> Path:
    digest, received = hashlib.sha256(), 0
    with _opened(url, open_url) as stream, atomic_path(path) as temporary:
        with temporary.open("xb") as out:
            while chunk := stream.read(_CHUNK_BYTES):
                received += len(chunk)
                if received > ARCHIVE_LIMIT_BYTES:
                    raise SourceError(f"delivers more than {ARCHIVE_LIMIT_BYTES} bytes")
                digest.update(chunk)
                out.write(chunk)
        expected = fragment.removeprefix("sha256=")
        if fragment.startswith("sha256=") and digest.hexdigest() != expected:
            raise SourceError(
                f"wrong contents: found sha256 {digest.hexdigest()}, the index says {expected}"
            )
    return path


def _opened(url: str, open_url: Opener) -> BinaryIO:
    """An https address, or a file; of a folder its index.html."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        path = Path(urllib.request.url2pathname(parts.path))
        return (path / "index.html" if path.is_dir() else path).open("rb")
    if parts.username is not None:
        raise SourceError("an address with a password is not supported; use a mirror folder")
    return open_url(url)


def _shown(url: str) -> str:
    """An address without user and password."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "an index whose address cannot be read"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_sdist(name: str, source: PypiSource) -> bool:
    for ending in _ENDINGS:
        if name.endswith(ending):
            stem = name.removesuffix(ending)
            return _normal(stem) == _normal(f"{source.package}-{source.version}")
    return False


def _links(page: str) -> list[str]:
    parser = _Links()
    parser.feed(page)
    return parser.found


class _Links(html.parser.HTMLParser):
    """The addresses that a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.found.append(href)
