"""Fixtures: runs of a tiny project, and places that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from run_under_fault import Run, Server, copied, mount, unmount
from tiny_project import tiny_params, write_arrays

CHECKPOINTS_AFTER_EVERY_STEP = {"checkpoint_seconds": 0}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def _configured(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Run]:
    """The folder of a fresh project after `entropic-ot configure` and `prepare`."""
    folder = tmp_path_factory.mktemp("configured")
    params = tiny_params()
    params["compute"] |= CHECKPOINTS_AFTER_EVERY_STEP
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    write_arrays(folder)
    assert server.run("configure", folder=folder).status == 0
    (config,) = (folder / "results/smoke/config/data").glob("arrays-*.json")
    out = folder / "data/prepared" / config.stem
    assert server.run("prepare", "--config", config, "--out", out, folder=folder).status == 0
    return lambda case, name: Run(folder, server, case, name)


@pytest.fixture(scope="session")
def _trained(
    _configured: Callable[[str, str], Run], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run without any fault: trained, sampled, evaluated."""
    fresh = _configured("my_data", "enot-eps0.1-seed0")
    run = copied(fresh, tmp_path_factory.mktemp("whole") / "project")
    for ended in (run.train(), run.sample(), run.evaluate()):
        assert ended.status == 0, ended.printed
    return run


@pytest.fixture
def fresh(_configured: Callable[[str, str], Run], tmp_path: Path) -> Run:
    """A run of which nothing is done yet."""
    return copied(_configured("my_data", "enot-eps0.1-seed0"), tmp_path / "fresh")


@pytest.fixture
def finished(_trained: Run, tmp_path: Path) -> Run:
    """A run after training, sampling and evaluation."""
    return copied(_trained, tmp_path / "finished")


@pytest.fixture
def whole(_trained: Run) -> Run:
    """The same run in which nothing went wrong, to compare with; not to be changed."""
    return _trained


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], Path]]:
    """Makes a folder the root of a file system of so many KiB."""
    made: list[Path] = []

    def make(folder: Path, kibibytes: int) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder))
        made.append(folder)
        return folder

    yield make
    for folder in made:
        unmount(folder)


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], Path]]:
    """Makes a folder, with what is in it, one that nobody can write to, root neither."""
    made: list[Path] = []

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        mount("--bind", str(folder), str(folder))
        made.append(folder)
        mount("-o", "remount,ro,bind", str(folder))
        return folder

    yield make
    for folder in made:
        unmount(folder)
