"""What the Snakefile does at its start, and what it notes at its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import workspace

HOLDER = (
    "import sys, time; sys.path.insert(0, {scripts!r}); import workspace; workspace.enter(); "
    "print('here', flush=True); time.sleep(60)"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workspace, "_presence", None)
    yield tmp_path


def leave_locks() -> None:
    workspace.LOCKS.mkdir(parents=True)
    (workspace.LOCKS / "0.output.lock").write_text("a\n")


def test_locks_of_the_dead_are_removed(capsys: pytest.CaptureFixture[str]) -> None:
    leave_locks()
    workspace.enter()
    assert workspace.is_free()
    assert "Removed the locks" in capsys.readouterr().err


def test_locks_of_the_living_stay(tmp_path: Path) -> None:
    code = HOLDER.format(scripts=str(Path(workspace.__file__).parent))
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "here\n"
        leave_locks()
        workspace.enter()
        assert not workspace.is_free()
    finally:
        other.kill()
        other.wait()


def test_outputs_are_remembered(tmp_path: Path) -> None:
    """Any change of dvc.lock or of a file that it names is noticed, and nothing else."""
    output = tmp_path / "out.txt"
    output.write_text("1")
    stage = "stages:\n  s:\n    cmd: c\n    outs:\n    - path: out.txt\n"
    workspace.DVC_LOCK.write_text(stage)
    workspace.STATE.mkdir()
    assert workspace._read_stamp() is None
    workspace.remember_outputs()
    assert workspace._read_stamp() == workspace._current_stamp()
    output.write_text("22")
    assert workspace._read_stamp() != workspace._current_stamp()
    workspace.remember_outputs()
    output.unlink()
    assert workspace._read_stamp() != workspace._current_stamp()
    workspace.remember_outputs()
    workspace.DVC_LOCK.write_text(stage + "# another\n")
    assert workspace._read_stamp() != workspace._current_stamp()
