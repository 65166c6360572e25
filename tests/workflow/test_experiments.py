"""DVC's experiments, metrics and plots, from a clean tree, by the commands of docs/versions.md."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tiny_project import Project

pytestmark = pytest.mark.extra

KEY = "scales.smoke.experiments.gaussian.methods.enot.num_steps"
CHANGED = "gaussian-d2.enot-eps1-seed0.bw_uvp_plan"


def json_of(output: str) -> dict[str, Any]:
    """The line of an output that is JSON; warnings may stand beside it."""
    (found,) = (line for line in output.splitlines() if line.startswith("{"))
    parsed: dict[str, Any] = json.loads(found)
    return parsed


def commit_of(project: Project, experiment: str) -> str:
    """DVC keeps experiments in refs of its own."""
    refs = project.run("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps")
    (found,) = (line.split()[0] for line in refs.splitlines() if line.endswith(f"/{experiment}"))
    return found


def test_an_experiment_is_run_shown_compared_plotted_and_taken_back(committed: Project) -> None:
    output = committed.run("dvc", "exp", "run", "--name", "five-steps", "-S", f"{KEY}=5")
    assert "Running stage 'train-gaussian-d2-enot-eps1-seed0'" in output
    assert "Running stage 'figure-gaussian'" in output
    assert "Running stage 'train-my_data-enot-eps0_1-seed0'" not in output
    assert committed.planned() == set()  # Snakemake agrees with what DVC made
    files = committed.run("git", "ls-tree", "-r", "--name-only", commit_of(committed, "five-steps"))
    assert "results/" not in files

    shown = committed.run("dvc", "exp", "show", "--csv")
    header, *lines = (line.split(",") for line in shown.splitlines() if "," in line)
    column = header.index(next(name for name in header if name.endswith(CHANGED)))
    values = {line[0] or line[1]: line[column] for line in lines}
    assert values["five-steps"] == values["workspace"] != values["main"]

    difference = json_of(committed.run("dvc", "metrics", "diff", "--json"))
    metrics = difference["results/smoke/tables/metrics.json"]
    assert set(metrics) >= {CHANGED}
    assert not any(name.startswith("my_data") for name in metrics)
    assert "five-steps" not in committed.run("dvc", "params", "diff")
    assert KEY in committed.run("dvc", "params", "diff")

    plots = json_of(committed.run("dvc", "plots", "diff", "HEAD", "--json"))["data"]
    losses = plots["results/smoke/tables/losses.csv"][0]
    assert set(losses["revisions"]) == {"HEAD", "workspace"}
    values_of = json.dumps(plots["metrics-against-epsilon"][0]["content"])
    assert "<DVC_METRIC" not in values_of
    assert "bw_uvp_plan" in values_of
    committed.run("dvc", "plots", "show")
    assert "Losses of the trainings" in (committed / "dvc_plots/index.html").read_text()

    committed.git("checkout", "--", "params.yaml", "dvc.lock")
    committed.run("dvc", "checkout", "--force")
    assert committed.run("git", "status", "--short") == ""
    assert committed.planned() == set()


def test_an_experiment_in_a_copy_leaves_this_folder_alone(committed: Project) -> None:
    words = ("--temp", "--copy-paths", "data/my", "--name", "copied", "-S", f"{KEY}=5")
    stage = "train-gaussian-d2-enot-eps1-seed0"
    output = committed.run("dvc", "exp", "run", *words, stage)
    assert f"Running stage '{stage}'" in output
    assert committed.run("git", "status", "--short") == ""
    assert committed.planned() == set()
    assert f"{KEY.rpartition('.')[2]}: 5" in committed.run(
        "git", "show", f"{commit_of(committed, 'copied')}:params.yaml"
    )
