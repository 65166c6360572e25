"""The tiny project of tiny_project.py, run once per session; each test works on a copy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tiny_project import Project, copy_of, make_project, write_arrays


@pytest.fixture(scope="session")
def cold_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project in which `all` was run once by Snakemake, and the output of that."""
    project = make_project(tmp_path_factory.mktemp("cold"))
    project.run(sys.executable, "workflow/scripts/snake2dvc.py")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "A tiny project")
    return project, project.snakemake()


@pytest.fixture(scope="session")
def _committed(
    cold_run: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Path]:
    """The same project with its results committed to DVC and pushed; and the remote's folder."""
    project = copy_of(cold_run[0], tmp_path_factory.mktemp("committed") / "project")
    remote = tmp_path_factory.mktemp("remote")
    project.run("dvc", "commit", "--force", "--quiet")
    project.run("dvc", "remote", "add", "--default", "local", str(remote), "--quiet")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "Its results")
    project.run("dvc", "push", "--quiet")
    return project, remote


@pytest.fixture
def finished(cold_run: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of the project after its first run, unknown to DVC so far."""
    return copy_of(cold_run[0], tmp_path / "project")


@pytest.fixture
def committed(_committed: tuple[Project, Path], tmp_path: Path) -> Project:
    """A copy of the project with its results committed to DVC."""
    return copy_of(_committed[0], tmp_path / "project")


@pytest.fixture
def clone(_committed: tuple[Project, Path], tmp_path: Path) -> Project:
    """A fresh git clone of it, without results; `dvc pull` brings them."""
    origin = _committed[0]
    folder = tmp_path / "clone"
    origin.run("git", "clone", "--quiet", str(origin.folder), str(folder))
    write_arrays(folder)  # the user's own data is in neither git nor DVC
    return Project(folder)
