"""A notebook that is killed, or whose page does not fit on the disk: nothing half, and again."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = """\
# %% tags=["parameters"]
scale = metrics = out = ""
samples = []
killed = ""
# %%
from entropic_ot import plotting
from entropic_ot.plotting.figures import new_figure

figure = new_figure(2, 2)
if killed:
    import os, signal
    from pathlib import Path

    def half(path, **settings):
        Path(path).write_bytes(b"half")
        for process in (os.getppid(), os.getpid()):
            os.kill(process, signal.SIGKILL)

    figure.savefig = half
plotting.save(figure, out)
"""
pytestmark = pytest.mark.slow


def run(
    folder: Path, *words: str, limit: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    (folder / "notebook.py").write_text(NOTEBOOK)
    script = str(ROOT / "workflow/scripts/run_notebook.py")
    files = ["--notebook", "out.ipynb", "--html", "out.html", "--out", "figure"]
    files += ["--scale", "smoke", "--metrics", ""]
    return subprocess.run(
        [sys.executable, script, "notebook.py", *files, *words],
        cwd=folder, capture_output=True, text=True, preexec_fn=limit,
    )  # fmt: skip


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Whose parent dies becomes a child of this process, which can wait for its end."""
    libc, set_child_subreaper = ctypes.CDLL(None), 36
    assert libc.prctl(set_child_subreaper, 1) == 0
    try:
        yield
    finally:
        libc.prctl(set_child_subreaper, 0)


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".part"}


@pytest.mark.fault(
    "SIGKILL while a notebook runs and its figure is written",
    "figure, executed notebook and page of before stay; the same command writes them all, the same "
    "bytes, and removes what the killed one left",
)
def test_killed_notebook(tmp_path: Path) -> None:
    assert run(tmp_path).returncode == 0
    before = written(tmp_path)
    assert before.keys() == {"notebook.py", "out.ipynb", "out.html", "figure.png", "figure.pdf"}
    with adopting_orphans():
        assert run(tmp_path, "--parameter", "killed", "yes").returncode == -signal.SIGKILL
        (left,) = tmp_path.glob(".figure.png.*.part")
        kernel = int(left.name.removeprefix(".figure.png.").split("-")[0])
        os.waitpid(kernel, 0)  # what a process left that may still be alive is not removed
    assert written(tmp_path) == before
    assert run(tmp_path).returncode == 0
    assert written(tmp_path) == before
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.fault(
    "disk full (here: a limit on a file's size) while a notebook's page is written",
    "page and executed notebook of before stay; exit code 1 with its name",
)
def test_page_that_does_not_fit(tmp_path: Path) -> None:
    for name in ("out.ipynb", "out.html"):
        (tmp_path / name).write_text("of before")

    def limit() -> None:
        """Less than the smallest page of nbconvert, more than everything else here."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    ended = run(tmp_path, limit=limit)
    assert ended.returncode == 1, ended
    message = ended.stderr.splitlines()[-1]
    assert "out.html: found File too large" in message and "Check it" in message
    for name in ("out.ipynb", "out.html"):
        assert (tmp_path / name).read_text() == "of before"
    assert not list(tmp_path.glob(".out*"))
