"""A tiny project to run the real workflow in.

The repository's own Snakefile, rules, scripts and sources, with a params.yaml of three small cases
and with figure notebooks that only write files.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

REPOSITORY = Path(__file__).parents[2]
COPIED = (
    "Snakefile",
    "params.yaml",
    "pyproject.toml",
    "requirements.lock",
    ".gitignore",
    ".dvcignore",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvc/plots",
    "src",
    "workflow",
)
# What the tests are about: how often and in which order things are run, not what they compute.
NOTEBOOK = """\
# %% tags=["parameters"]
scale = ""
metrics = ""
out = ""
samples = []
# %%
import base64
png = (  # black, of one pixel; what follows its end is no part of the picture
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+k"
    "cQAAAABJRU5ErkJggg=="
)
text = f"{scale} {len(open(metrics).readlines())} {samples}\\n".encode()
for ending, head in {".png": base64.b64decode(png), ".pdf": b""}.items():
    with open(out + ending, "wb") as file:
        file.write(head + text)
object()  # its address must not stay in the executed notebook
"""
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")


@dataclass(frozen=True)
class Project:
    """A folder with the project in it, and the commands that a user gives there."""

    folder: Path

    def __truediv__(self, path: str) -> Path:
        return self.folder / path

    @property
    def environment(self) -> dict[str, str]:
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "EOT_"))}
        return ours | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            # `entropic-ot configure`, run by DVC, is to be this folder's too.
            "PYTHONPATH": str(self.folder / "src"),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def run(self, *command: str, ok: bool = True) -> str:
        """Output of a command, stdout and stderr together; by default it has to succeed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        if ok:
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
        else:
            assert done.returncode != 0, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A command in the background, the leader of a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def git(self, *words: str) -> str:
        return self.run("git", *IDENTITY, *words)

    def snakemake(self, *words: str) -> str:
        """The command of the README."""
        return self.run("snakemake", "--cores", "8", "--resources", "gpu=1", "all", *words)

    def planned(self) -> set[str]:
        """The jobs that Snakemake would run now, as their messages say; empty: nothing to do."""
        return jobs_in(self.run("snakemake", "--dry-run", "--cores", "8", "--", "all"))

    def reproduced(self) -> list[str]:
        """The stages that `dvc repro` runs."""
        return re.findall(r"Running stage '(.*)'", self.run("dvc", "repro"))

    def change_params(self, change: Callable[[dict[str, Any]], None]) -> None:
        path = self / "params.yaml"
        params = yaml.safe_load(path.read_text())
        change(params)
        path.write_text(yaml.safe_dump(params, sort_keys=False))


def jobs_in(output: str) -> set[str]:
    """The messages of the jobs in Snakemake's output, without those of targets."""
    return {
        message
        for message in re.findall(r"^Job \d+: (.*)$", output, flags=re.MULTILINE)
        if " made: " not in message
    }


AFTER_METRICS = {
    "making the tables",
    "comparing with the papers",
    "writing the pages of results",
    "drawing gaussian",
    "drawing my_data",
}
"""The jobs that any change of a metric runs again."""


def branch(case: str, run: str) -> set[str]:
    """The jobs from one run's training to its metrics, and what gathers them."""
    return {
        f"training {case} {run}",
        f"sampling {case} {run}",
        f"evaluating {case} {run}",
        *AFTER_METRICS,
    }


def num_steps_for_epsilon_1(steps: int) -> Callable[[dict[str, Any]], None]:
    """A change of params.yaml that concerns the run enot-eps1-seed0 of gaussian-d2 alone."""

    def change(params: dict[str, Any]) -> None:
        method = params["experiments"]["gaussian"]["methods"]["enot"]
        method["per_epsilon"] = {1: {"num_steps": steps}}

    return change


CHANGED_BRANCH = branch("gaussian-d2", "enot-eps1-seed0")


def tiny_params() -> dict[str, Any]:
    """The repository's params.yaml with two experiments, few steps, and the scale smoke."""
    params: dict[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["scale"] = "smoke"
    gaussian, arrays = (params["experiments"][name] for name in ("gaussian", "my_data"))
    for experiment in (gaussian, arrays):
        experiment["methods"] = {"enot": experiment["methods"]["enot"]}
        experiment["enabled"] = True
    gaussian["methods"]["enot"] |= {"epsilons": [0.1, 1], "per_epsilon": {}}
    gaussian["variants"] = {"d2": {"problem": {"dim": 2}}}
    params["experiments"] = {"gaussian": gaussian, "my_data": arrays}
    params["figures"] = {
        "gaussian": {"experiments": ["gaussian"], "notebook": "gaussian", "caption": "One"},
        "my_data": {"experiments": ["my_data"], "notebook": "my_data", "caption": "Another"},
    }
    params["scales"] |= {"laptop": {}, "paper": {}}  # they name experiments that are gone
    smoke = params["scales"]["smoke"]
    smoke["experiments"] = {
        name: {"methods": {"enot": {"num_steps": 3}}} for name in params["experiments"]
    }
    smoke.pop("figures", None)
    return params


def make_project(
    folder: Path,
    params: dict[str, Any] | None = None,
    *,
    figures: tuple[str, ...] = ("gaussian", "my_data"),
    real_notebooks: tuple[str, ...] = ("tables",),
    published: tuple[str, ...] | None = None,
) -> Project:
    """The files of a fresh clone, and the user's own two arrays.

    Args:
        folder: where.
        params: its params.yaml; None: `tiny_params()`.
        figures: notebooks that only write files.
        real_notebooks: those of the repository.
        published: patterns of what is kept in the store inside the repository, which then is the
            only remote. None: nothing, and there is a default remote, beside the folder.
    """
    for name in COPIED:
        source, target = REPOSITORY / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "notebooks", "*.egg-info", "build")
            shutil.copytree(source, target, symlinks=True, ignore=ignore)
        else:
            shutil.copy2(source, target)
    (folder / "profiles").symlink_to("workflow/profiles")
    (folder / "params.yaml").write_text(yaml.safe_dump(params or tiny_params(), sort_keys=False))
    notebooks = folder / "workflow/notebooks"
    notebooks.mkdir()
    for name in figures:
        (notebooks / f"{name}.py").write_text(NOTEBOOK)
    for name in real_notebooks:
        shutil.copy2(REPOSITORY / f"workflow/notebooks/{name}.py", notebooks)
    write_arrays(folder)
    store = {"outputs": list(published or ()), "limit_mib": 40}
    (folder / "workflow/published.yaml").write_text(yaml.safe_dump(store))
    if published is None:
        add_default_remote(folder, folder.with_name(f"{folder.name}-store"))
    project = Project(folder)
    project.git("init", "--quiet", "--initial-branch", "main")
    return project


def add_default_remote(folder: Path, remote: Path) -> None:
    """What `dvc remote add --default store` writes, without starting DVC."""
    config = folder / ".dvc/config"
    text = config.read_text().replace("[core]", "[core]\n    remote = store")
    config.write_text(f"{text}['remote \"store\"']\n    url = {remote}\n")


def write_arrays(folder: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / "data/my").mkdir(parents=True, exist_ok=True)
    for name in ("source", "target"):
        points = rng.normal(size=(200, 2)).astype(np.float32)
        np.save(folder / f"data/my/{name}.npy", points)


def wait_until(condition: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def copy_of(project: Project, folder: Path) -> Project:
    shutil.copytree(project.folder, folder, symlinks=True)  # with all times
    return Project(folder)
