"""What the Snakefile does at its start, and what it notes at its end."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@contextlib.contextmanager
def other() -> Iterator[None]:
    """Another process that is here."""
    code = HOLDER.format(scripts=str(Path(workspace.__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        yield
    finally:
        process.kill()
        process.wait()


def test_locks_of_the_living_stay() -> None:
    with other():
        leave_locks()
        workspace.enter()
        assert not workspace.is_free()


def test_who_came_second_is_still_seen_when_the_first_has_gone() -> None:
    """A lock that is asked for in vain must not cost the one that is held."""
    with contextlib.ExitStack() as second:
        with other():
            second.enter_context(other())
            leave_locks()
        workspace.enter()
        assert not workspace.is_free()


def test_nobody_comes_in_while_one_is_alone() -> None:
    with workspace.alone() as alone:
        assert alone
        with workspace.alone() as both:
            assert not both
    with other(), workspace.alone() as alone:
        assert not alone


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


def test_what_changed_beside_snakemake_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = tmp_path / "ours.txt", tmp_path / "theirs.txt"
    ours.write_text("1")
    theirs.write_text("1")
    outs = "    - path: ours.txt\n    - path: theirs.txt\n"
    workspace.DVC_LOCK.write_text(f"stages:\n  s:\n    cmd: c\n    outs:\n{outs}")
    workspace.STATE.mkdir()
    workspace.remember_made()
    assert workspace._read_stamp() is None  # nobody has looked at them yet
    workspace.remember_outputs()

    made: dict[str, float] = {}

    def known() -> Iterator[tuple[str, Path, dict[str, Any]]]:
        for path, mtime in made.items():
            yield path, Path(), {"endtime": mtime}

    monkeypatch.setattr(workspace.records, "_records", known)
    ours.write_text("22")
    made["ours.txt"] = ours.stat().st_mtime
    workspace.remember_made()
    assert workspace._read_stamp() == workspace._current_stamp()

    ours.write_text("333")
    made["ours.txt"] = ours.stat().st_mtime
    theirs.write_text("pulled")
    before = workspace._read_stamp()
    workspace.remember_made()
    assert workspace._read_stamp() == before != workspace._current_stamp()
