"""Each kind of change reruns what depends on it, in both engines; and what could fool them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import records
import yaml
from tiny_project import (
    AFTER_METRICS,
    CHANGED_BRANCH,
    REPOSITORY,
    Project,
    branch,
    jobs_in,
    kill_group,
    num_steps_for_epsilon_1,
    wait_until,
)

pytestmark = pytest.mark.slow
RUN = "gaussian-d2/enot-eps1-seed0"
RUNS = [
    *[("gaussian-d2", f"enot-eps{epsilon}-seed0") for epsilon in ("0.1", "1")],
    ("my_data", "enot-eps0.1-seed0"),
]
EVERY_EVALUATION = {f"evaluating {case} {run}" for case, run in RUNS}
FROM_TRAININGS = set[str]().union(*(branch(case, run) for case, run in RUNS))


# --- the changes, and what depends on them --------------------------------------------------------


def change_one_epsilon(project: Project) -> None:
    project.change_params(num_steps_for_epsilon_1(4))


def change_seeds(project: Project) -> None:
    def add_a_seed(params: dict[str, Any]) -> None:
        params["experiments"]["gaussian"]["seeds"] = [0, 1]

    project.change_params(add_a_seed)


def change_metrics(project: Project) -> None:
    def drop_the_last(params: dict[str, Any]) -> None:
        params["experiments"]["gaussian"]["evaluation"]["metrics"].pop()

    project.change_params(drop_the_last)


def edit(*paths: str) -> Callable[[Project], None]:
    def append(project: Project) -> None:
        for path in paths:
            with open(project / path, "a") as file:
                file.write("\n# edited\n")

    return append


def change_data(project: Project) -> None:
    path = project / "data/my/source.npy"
    np.save(path, np.load(path) + 1)


def change_version(library: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        path = project / "requirements.lock"
        text, count = re.subn(rf"(?m)^{library}==.*$", f"{library}==99.1", path.read_text())
        assert count == 1
        path.write_text(text)

    return change


CHANGES: dict[str, tuple[Callable[[Project], None], set[str]]] = {
    "one epsilon": (change_one_epsilon, CHANGED_BRANCH),
    "seeds": (
        change_seeds,
        set().union(*(branch("gaussian-d2", f"enot-eps{e}-seed1") for e in ("0.1", "1"))),
    ),
    "metrics by name": (
        change_metrics,
        {job for job in EVERY_EVALUATION if "gaussian" in job} | AFTER_METRICS,
    ),
    "source of a metric": (
        edit("src/entropic_ot/metrics/bures.py"),
        EVERY_EVALUATION | AFTER_METRICS,
    ),
    "source of a solver": (edit("src/entropic_ot/experiments/fit.py"), FROM_TRAININGS),
    "source of the tables": (edit("src/entropic_ot/experiments/tables.py"), AFTER_METRICS),
    "notebook": (
        edit("workflow/notebooks/gaussian.py"),
        {"drawing gaussian", "writing the pages of results"},  # which hold the picture
    ),
    "data": (change_data, {"preparing", *branch("my_data", "enot-eps0.1-seed0")}),
    "version of torch": (change_version("torch"), {"preparing", *FROM_TRAININGS}),
    "version of scipy": (change_version("scipy"), EVERY_EVALUATION | AFTER_METRICS),
    "version of ruff": (change_version("ruff"), set()),
}
SAME_RESULTS = (
    *("version of torch", "version of scipy"),
    *("source of a metric", "source of the tables", "notebook"),
)
"""Changes that only add a comment, to what writes nothing of its own time into its results."""
# The first and the notebook stand in test_snakemake.py and test_dvc.py.
QUICK = ["seeds", "source of a metric", "data", "version of torch", "version of ruff"]
OTHERS = [pytest.param(name, marks=pytest.mark.extra) for name in CHANGES if name not in QUICK]
RULES = {
    **{"training": "train", "sampling": "sample", "evaluating": "evaluate"},
    **{"preparing": "prepare", "drawing": "figure", "making": "table"},
    **{"comparing": "comparison", "writing": "pages"},
}


def stages_of(jobs: set[str], project: Project) -> set[str]:
    """The names of the DVC stages that do these jobs."""
    names = set()
    for job in jobs:
        verb, *words = job.split()
        words = [] if RULES[verb] in ("table", "comparison", "pages") else words
        names.add("-".join([RULES[verb], *(word.replace(".", "_") for word in words)]))
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    assert names <= stages.keys()
    return names


def with_dataset(jobs: set[str], project: Project) -> set[str]:
    """`jobs` with the name of the project's one data set."""
    (dataset,) = (path.name for path in (project / "data/prepared").iterdir())
    return {f"preparing {dataset}" if job == "preparing" else job for job in jobs}


def stale_stages(project: Project) -> set[str]:
    """The stages that `dvc repro` would run if each of them gave other outputs than before.

    Its first two stages are done here, since they alone see that not all of their outputs change.
    """
    project.run(sys.executable, "workflow/scripts/snake2dvc.py")
    project.run(sys.executable, "workflow/scripts/write_sources.py")
    project.run("entropic-ot", "configure")
    status = json.loads(project.run("dvc", "status", "--json"))
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    stale = set(status) - {"sources", "configure"}
    while True:
        made = {out for name in stale for out in stages[name]["outs"] if isinstance(out, str)}
        more = {name for name, stage in stages.items() if made & set(stage.get("deps", []))}
        if more <= stale:
            return stale
        stale |= more


@pytest.mark.parametrize("name", [*QUICK, *OTHERS])
def test_what_a_change_makes_stale(name: str, finished: Project, committed: Project) -> None:
    change, jobs = CHANGES[name]
    change(finished)
    expected = with_dataset(jobs, finished)
    assert finished.planned() == expected
    change(committed)
    assert stale_stages(committed) == stages_of(expected, committed)


@pytest.mark.extra
@pytest.mark.parametrize("name", CHANGES)
def test_dvc_runs_what_a_change_makes_stale(name: str, committed: Project) -> None:
    """And then neither engine has anything to do."""
    change, jobs = CHANGES[name]
    change(committed)
    committed.run(sys.executable, "workflow/scripts/snake2dvc.py")
    first = {"sources", "configure"}
    expected = stages_of(with_dataset(jobs, committed), committed)
    ran = set(committed.reproduced()) - first
    if name in SAME_RESULTS:
        # What is computed again is the same, so what follows need not run: DVC goes by contents.
        assert ran <= expected
        assert ran
    else:
        assert ran == expected
    assert committed.reproduced() == []
    assert committed.planned() == set()


# --- traps ----------------------------------------------------------------------------------------


def test_a_large_file_that_was_only_touched_is_compared_by_contents(finished: Project) -> None:
    """Above a limit, by default 1 MB, Snakemake compares times alone; the profile lifts it."""
    large = np.random.default_rng(0).normal(size=(150_000, 2)).astype(np.float32)
    source = finished / "data/my/source.npy"
    np.save(source, large)
    assert source.stat().st_size > 1e6
    (meta,) = (finished / "data/prepared").glob("*/meta.json")
    words = ("snakemake", "--cores", "2", "--dry-run")
    target = ("--", str(meta.relative_to(finished.folder)))
    finished.run("snakemake", "--cores", "2", *target)
    os.utime(source)
    assert jobs_in(finished.run(*words, *target)) == set()
    limited = finished.run(*words, "--max-checksum-file-size", "1MB", *target)
    assert jobs_in(limited) == {f"preparing {meta.parent.name}"}


def test_an_output_that_someone_changed_is_made_again_without_dvc(finished: Project) -> None:
    metrics = finished / f"results/smoke/metrics/{RUN}.json"
    metrics.write_text(metrics.read_text().replace("0", "1"))
    output = finished.run("snakemake", "--dry-run", "--cores", "2", "--", "all")
    assert f"results/smoke/metrics/{RUN}.json: changed since it was made" in output
    assert jobs_in(output) == {"evaluating gaussian-d2 enot-eps1-seed0", *AFTER_METRICS}


@pytest.mark.extra
def test_a_cut_checkpoint_is_trained_again(committed: Project) -> None:
    """Also where dvc.lock does not know the run: nobody vouches for the file."""
    change_seeds(committed)
    new = {"gaussian-d2/enot-eps0.1-seed1", "gaussian-d2/enot-eps1-seed1"}
    targets = [f"results/smoke/runs/{run}/checkpoint.safetensors" for run in sorted(new)]
    committed.run("snakemake", "--cores", "2", "--", *targets)
    cut = committed / targets[1]
    cut.write_bytes(cut.read_bytes()[:100])
    assert "training gaussian-d2 enot-eps1-seed1" in committed.planned()
    assert "training gaussian-d2 enot-eps0.1-seed1" not in committed.planned()


def test_copied_results_are_not_made_again(finished: Project) -> None:
    """Times of a copy are new and in any order; what a job has read is known by its contents."""
    for folder in ("results", "data"):
        for path in sorted((finished / folder).rglob("*.*"), reverse=True):
            os.utime(path)
    assert finished.planned() == set()


@pytest.mark.parametrize("in_dvc", [False, pytest.param(True, marks=pytest.mark.extra)])
def test_killed_and_taken_back_is_as_before(
    in_dvc: bool, finished: Project, committed: Project
) -> None:
    """A, B, killed, A: the training of B had deleted the results of A, and none asks for them."""
    project = committed if in_dvc else finished
    before = (project / "params.yaml").read_text()
    target = f"results/smoke/runs/{RUN}/checkpoint.safetensors"
    checkpoint = project / target
    project.change_params(num_steps_for_epsilon_1(10**7))
    process = project.start("snakemake", "--cores", "2", "--", target)
    begun = project / str(records.INCOMPLETE)
    wait_until(lambda: not checkpoint.exists() and any(begun.iterdir()))
    kill_group(process)
    (project / "params.yaml").write_text(before)
    assert project.planned() == CHANGED_BRANCH
    project.run("snakemake", "--cores", "2", "--", target)
    assert checkpoint.exists()


def test_interrupted_by_ctrl_c_goes_on(finished: Project) -> None:
    finished.change_params(num_steps_for_epsilon_1(10**7))
    process = finished.start("snakemake", "--cores", "2", "--", "all")
    run = finished / f"results/smoke/runs/{RUN}"
    wait_until(lambda: not (run / "checkpoint.safetensors").exists())
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) != 0
    finished.change_params(num_steps_for_epsilon_1(4))
    assert finished.planned() == CHANGED_BRANCH
    assert not subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True).stdout


def test_partial_pull_and_repro(clone: Project) -> None:
    """DVC, too, needs no more than what was pulled when it may leave out the rest."""
    clone.run("dvc", "pull", "table", "comparison", "figure-gaussian", "figure-my_data")
    output = clone.run("dvc", "repro", "--allow-missing", "--dry")
    assert "Running stage" not in output


@pytest.mark.extra
def test_random_rounds(tmp_path: Path) -> None:
    """Three of those of scripts/rounds.py, from this repository's HEAD: minutes."""
    words = [sys.executable, "scripts/rounds.py", "--rounds", "3", "--home"]
    words += ["--folder", str(tmp_path / "rounds"), "--log", str(tmp_path / "log.jsonl")]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
    if "-- data/raw/mnist_source.json: exit status" in done.stderr:
        pytest.skip("no MNIST: give a network, or its files in a folder of EOT_MIRROR")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3
