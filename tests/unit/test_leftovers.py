"""What killed processes leave is removed by the next one; what living ones hold is not."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from entropic_ot.data.arrays import staged_folder
from entropic_ot.data.fetch import fetch_files
from entropic_ot.data.leftovers import remove_leftovers
from entropic_ot.data.sources import RemoteFile

SOURCE_ROOT = Path(__file__).parents[2] / "src"
STAGING = """
import sys, time
from pathlib import Path
from entropic_ot.data.arrays import staged_folder
with staged_folder(Path(sys.argv[1])) as staging:
    (staging / "a.npy").write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""
FETCHING = """
import hashlib, io, sys, time
from pathlib import Path
from entropic_ot.data.fetch import fetch_files
from entropic_ot.data.sources import HttpsSource, RemoteFile

class Slow(io.BytesIO):
    def read(self, size=-1):
        if self.tell():
            print("ready", flush=True)
            time.sleep(60)
        return super().read(2)

file = RemoteFile("a.bin", hashlib.sha256(b"good").hexdigest(), 4, (HttpsSource("https://a"),))
fetch_files([file], Path(sys.argv[1]), open_url=lambda url: Slow(b"good"))
"""


def started(code: str, folder: Path) -> subprocess.Popen[str]:
    """A process in the midst of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        env=os.environ | {"PYTHONPATH": str(SOURCE_ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def prepare(out: Path) -> None:
    with staged_folder(out) as staging:
        (staging / "a.npy").write_bytes(b"whole")


def fetch(out: Path) -> None:
    mirror = out.parent / "mirror"
    mirror.mkdir(exist_ok=True)
    (mirror / "a.bin").write_bytes(b"good")
    (out / "a.bin").unlink(missing_ok=True)
    file = RemoteFile("a.bin", hashlib.sha256(b"good").hexdigest(), 4, ())
    fetch_files([file], out, mirrors=[mirror])


@pytest.mark.fault(
    "SIGKILL while a file is fetched, or data is prepared",
    "no file under its name; the next one removes what is left, and nothing of a process that"
    " lives",
)
@pytest.mark.parametrize(
    ("code", "work", "made"), [(STAGING, prepare, "a.npy"), (FETCHING, fetch, "a.bin")]
)
def test_what_a_killed_process_left_goes_and_what_a_living_one_holds_stays(
    tmp_path: Path, code: str, work: Callable[[Path], None], made: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    process = started(code, out)
    try:
        (held,) = names_in(out)
        assert f"{process.pid}-" in held
        work(out)
        assert names_in(out) == sorted([held, made])
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert held in names_in(out)
    work(out)
    assert names_in(out) == [made]


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = [
        f".a.bin.{dead.pid}-1a2b.part.mine",
        f".a.bin.{dead.pid}-.part",
        f".a.bin.{dead.pid}.part",
        f".b.bin.{dead.pid}-1a2b.part",
        f".axbin.{dead.pid}-1a2b.part",
        f".a.bin.{os.getpid()}-1a2b.part",
        ".a.bin.99999999999999999999-1a2b.part",
        f"a.bin.{dead.pid}-1a2b.part",
    ]
    gone = f".a.bin.{dead.pid}-1a2b.part"
    for name in (*kept, gone):
        (tmp_path / name).write_bytes(b"")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_bytes(b"")
    (tmp_path / f".a.bin.{dead.pid}-link.part").symlink_to(elsewhere)
    remove_leftovers(tmp_path, ".a.bin.", ".part")
    assert names_in(tmp_path) == sorted([*kept, "elsewhere"])
    assert names_in(elsewhere) == ["file"]
    remove_leftovers(tmp_path / "absent", ".a.bin.", ".part")
