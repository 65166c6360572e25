"""scripts/setup.sh, as far as it goes without packages to install."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = "workflow/plugins/snakemake_logger_plugin_resourcefix"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with an environment in it, and a lock file that cannot be installed."""
    shutil.copytree(ROOT / PLUGIN, tmp_path / PLUGIN)
    for name in ("scripts/setup.sh", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "requirements.lock").write_text("nothing @ file:///nowhere\n")
    venv.create(tmp_path / ".venv", symlinks=True)
    (tmp_path / ".venv" / "left").touch()
    return tmp_path


def setup(project: Path) -> str:
    """What it says, with the environment active."""
    path = os.pathsep.join([str(project / ".venv" / "bin"), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "scripts/setup.sh"], cwd=project, env=os.environ | {"PATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    return done.stderr


def test_an_active_environment_that_is_out_of_date_is_rebuilt_by_the_python_behind_it(
    project: Path,
) -> None:
    (project / ".venv" / "entropic-ot.stamp").write_text("of another lock file\n")
    said = setup(project)
    assert "out of date: rebuilding it" in said
    assert "pip could not install the lock file" in said
    assert not (project / ".venv" / "left").exists()
    ask = [f"{project}/.venv/bin/python", "-c", "import sys; print(sys.base_prefix)"]
    behind = subprocess.run(ask, capture_output=True, text=True, check=True)
    assert behind.stdout.strip() == sys.base_prefix
    assert "half built: rebuilding it" in setup(project)


def test_an_installation_of_the_project_that_failed_leaves_an_environment_of_ours(
    project: Path,
) -> None:
    """The packages are those of the lock file, and the project's own part is out of date."""
    script = "cat requirements.lock scripts/setup.sh | cksum | tr ' ' '-'"
    checksum = subprocess.check_output(script, shell=True, cwd=project, text=True).strip()
    stamp = project / ".venv" / "entropic-ot.stamp"
    stamp.write_text(f"lock {checksum} {project.resolve()}\nproject of before\n")
    assert "could not install entropic-ot" in setup(project)
    assert (project / ".venv" / "left").exists() and not stamp.exists()
    assert "half built: rebuilding it" in setup(project)


def test_an_environment_that_make_did_not_build_stays(project: Path) -> None:
    assert "not built by make, which would delete it" in setup(project)
    assert (project / ".venv" / "left").exists()


def test_an_environment_that_a_snakemake_works_with_stays(project: Path) -> None:
    (project / ".venv" / "entropic-ot.stamp").write_text("of another lock file\n")
    (project / ".snakemake").mkdir()
    with open(project / ".snakemake" / "presence.lock", "w") as presence:
        fcntl.flock(presence, fcntl.LOCK_SH)
        assert "A Snakemake is at work in this folder" in setup(project)
    assert (project / ".venv" / "left").exists()
