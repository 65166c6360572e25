"""The tiny project of tiny_project.py, run once per session; each test works on a copy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tiny_project import Project, copy_of, make_project, num_steps_for_epsilon_1, write_arrays


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


@pytest.fixture(scope="session")
def _changed(
    _committed: tuple[Project, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, str]:
    """The same with one epsilon's number changed and run by Snakemake, and the output of that."""
    project = copy_of(_committed[0], tmp_path_factory.mktemp("changed") / "project")
    project.change_params(num_steps_for_epsilon_1(4))
    return project, project.snakemake()


@pytest.fixture
def finished(cold_run: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of the project after its first run, unknown to DVC so far."""
    return copy_of(cold_run[0], tmp_path / "finished")


@pytest.fixture
def committed(_committed: tuple[Project, Path], tmp_path: Path) -> Project:
    """A copy of the project with its results committed to DVC."""
    return copy_of(_committed[0], tmp_path / "committed")


@pytest.fixture
def changed(_changed: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of it after a change of one epsilon's number and a run, not committed to DVC."""
    return copy_of(_changed[0], tmp_path / "changed")


@pytest.fixture
def changed_output(_changed: tuple[Project, str]) -> str:
    """What Snakemake said in that run."""
    return _changed[1]


@pytest.fixture
def clone(_committed: tuple[Project, Path], tmp_path: Path) -> Project:
    """A fresh git clone of it, without results; `dvc pull` brings them."""
    origin = _committed[0]
    folder = tmp_path / "clone"
    origin.run("git", "clone", "--quiet", str(origin.folder), str(folder))
    write_arrays(folder)  # the user's own data is in neither git nor DVC
    return Project(folder)
