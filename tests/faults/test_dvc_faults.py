"""What DVC keeps: a push that is killed, an object that is damaged, a read-only cache."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import verify_cache
from test_damaged import DAMAGES, Damage
from tiny_project import REPOSITORY, Project

NUM_FILES = 150

# `dvc` that kills itself in the middle of an upload; by the clock it may have ended before.
KILLED_DVC = """
import os, signal, sys
from dvc.cli import main
seen = 0
def kill_in_the_middle(event, values):
    global seen
    if event == "os.rename" and os.fspath(values[1]).startswith(sys.argv[1] + os.sep):
        seen += 1
        if seen == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill_in_the_middle)
sys.exit(main(sys.argv[3:]))
"""


@pytest.fixture(scope="module")
def _tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path]:
    """A folder of arrays that DVC, set up as in this project, tracks; and an empty remote."""
    project, remote = Project(tmp_path_factory.mktemp("tracked")), tmp_path_factory.mktemp("remote")
    (project / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy2(REPOSITORY / ".dvc" / name, project / ".dvc")
    (project / "data").mkdir()
    for i in range(NUM_FILES):
        np.save(project / f"data/{i}.npy", np.full(100_000, i))
    project.git("init", "--quiet")
    project.run("dvc", "add", "--quiet", "data")
    settings = f"[core]\n    remote = local\n['remote \"local\"']\n    url = {remote}\n"
    (project / ".dvc/config.local").write_text(settings)
    return project, remote


def objects(folder: Path) -> dict[str, int]:
    """Name and size of each object in a cache or remote."""
    found = (path for path in (folder / "files/md5").rglob("*") if path.is_file())
    return {path.name: path.stat().st_size for path in found if not path.name.startswith(".")}


@pytest.mark.fault(
    "SIGKILL during dvc push (remote in a folder)",
    "no object in the remote is half; the same command pushes the rest",
)
def test_killed_push(_tracked: tuple[Project, Path]) -> None:
    project, remote = _tracked
    cache = project / ".dvc/cache"
    process = project.start(
        sys.executable, "-c", KILLED_DVC, str(remote), str(NUM_FILES // 3), "push"
    )
    assert process.wait(timeout=120) == -signal.SIGKILL, "it had ended before it was killed"
    assert 0 < len(objects(remote)) < len(objects(cache))
    assert list(verify_cache.damaged_objects(remote)) == []
    project.run("dvc", "push")
    assert objects(remote) == objects(cache)
    assert list(verify_cache.damaged_objects(remote)) == []


@pytest.mark.fault(
    "bit flipped in an object of DVC's cache, or its end cut off",
    "DVC itself does not notice; `make dvc-verify` names it, exit code 1, and with `--remove` "
    "`dvc pull` brings it whole from the remote",
)
@DAMAGES
def test_damaged_cache_object(
    damage: Damage, _tracked: tuple[Project, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    project, remote = _tracked
    cache, file = project / ".dvc/cache", project / "data/7.npy"
    assert verify_cache.main([str(cache)]) == 0
    whole = file.read_bytes()
    (victim,) = (p for p in (cache / "files/md5").glob("??/*") if p.read_bytes() == whole)
    if objects(remote) != objects(cache):
        project.run("dvc", "push")
    victim.chmod(0o644)
    damage(victim)
    victim.chmod(0o444)  # as DVC leaves it
    file.unlink()
    project.run("dvc", "checkout")
    assert file.read_bytes() != whole, "DVC notices it now: say so in docs/reliability.md"
    capsys.readouterr()
    assert verify_cache.main([str(cache)]) == 1
    assert f"{victim}: found another md5" in capsys.readouterr().out
    assert victim.exists()
    assert verify_cache.main(["--remove", str(cache)]) == 1
    assert "`dvc fetch`" in capsys.readouterr().out and not victim.exists()
    file.unlink()
    project.run("dvc", "pull")
    assert file.read_bytes() == whole
    assert verify_cache.main([str(cache)]) == 0


@pytest.mark.fault(
    "no write permission in DVC's cache",
    "dvc says so with the path and exits with an error; results and what is in the cache stay",
)
def test_read_only_cache(_tracked: tuple[Project, Path], read_only: Callable[[Path], Path]) -> None:
    project, _ = _tracked
    cache = project / ".dvc/cache"
    (project / "new.txt").write_text("new")
    read_only(cache)
    before = objects(cache)
    message = project.run("dvc", "add", "new.txt", ok=False)
    assert "Read-only file system" in message and str(cache) in message
    assert "Traceback" not in message
    assert (project / "new.txt").read_text() == "new" and objects(cache) == before
    assert not (project / "new.txt.dvc").exists()
