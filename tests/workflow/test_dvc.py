"""Snakemake and DVC agree about what is up to date, whoever made, pulled or changed it."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import pytest
from tiny_project import (
    AFTER_METRICS,
    CHANGED_BRANCH,
    REPOSITORY,
    Project,
    num_steps_for_epsilon_1,
)

pytestmark = pytest.mark.slow

CHANGED_STAGES = {
    "configure",
    "train-gaussian-d2-enot-eps1-seed0",
    "sample-gaussian-d2-enot-eps1-seed0",
    "evaluate-gaussian-d2-enot-eps1-seed0",
    "table",
    "comparison",
    "figure-gaussian",
    "figure-my_data",
    "pages",
}
RUN = "gaussian-d2/enot-eps1-seed0"


def test_after_commit_nothing_is_to_do_in_both(committed: Project) -> None:
    assert committed.reproduced() == []
    assert committed.planned() == set()
    assert committed.planned() == set()  # and the first look did not spoil anything


def test_clone_and_pull_has_nothing_to_do_in_both(clone: Project) -> None:
    clone.run("dvc", "pull")
    assert clone.planned() == set()
    assert clone.reproduced() == []
    assert "Nothing to be done" in clone.snakemake()


def test_clone_and_pull_then_dvc_first(clone: Project) -> None:
    clone.run("dvc", "pull")
    assert clone.reproduced() == []
    assert clone.planned() == set()


def test_one_epsilon_changed_reruns_its_branch_by_dvc(committed: Project) -> None:
    committed.change_params(num_steps_for_epsilon_1(4))
    assert set(committed.reproduced()) == CHANGED_STAGES
    assert committed.reproduced() == []
    assert committed.planned() == set()


def test_notebook_changed_reruns_only_it_by_dvc(committed: Project) -> None:
    path = committed / "workflow/notebooks/gaussian.py"
    path.write_text(path.read_text() + "# %%\nprint(1)\n")
    assert committed.reproduced() == ["figure-gaussian"]
    assert committed.planned() == set()


def test_run_by_snakemake_then_committed(changed: Project) -> None:
    changed.run("dvc", "commit", "--force")
    assert changed.reproduced() == []
    assert changed.planned() == set()


# The tests' own environment stands for .venv, which the target `setup` would build.
MAKE = ("make", "--assume-old=setup")


@pytest.mark.parametrize("target", ["dvc-commit", "publish"])
def test_make_commits_nothing_that_is_not_up_to_date(target: str, committed: Project) -> None:
    """`dvc commit` would call results of other parameters up to date, for both engines."""
    shutil.copy2(REPOSITORY / "Makefile", committed.folder)
    committed.change_params(num_steps_for_epsilon_1(4))
    before = [(committed / name).read_bytes() for name in ("dvc.lock", "dvc.yaml")]
    output = committed.run(*MAKE, target, ok=False)
    assert "results are not up to date" in output and "make all" in output
    assert [(committed / name).read_bytes() for name in ("dvc.lock", "dvc.yaml")] == before
    assert committed.planned() == CHANGED_BRANCH


def test_make_dvc_commit_after_a_run(finished: Project) -> None:
    shutil.copy2(REPOSITORY / "Makefile", finished.folder)
    assert "up to date" in finished.run(*MAKE, "dvc-commit")
    assert finished.planned() == set()


def test_what_nothing_needs_is_named_when_it_is_away(finished: Project) -> None:
    """Snakemake leaves a deleted array away whose readers are up to date; DVC commits all."""
    check = (sys.executable, "workflow/scripts/plan.py", "--check")
    finished.run(*check)
    (array,) = (finished / "results/smoke/samples").rglob("enot-eps1-seed0.npz")
    name = str(array.relative_to(finished.folder))
    array.unlink()
    assert finished.planned() == set()
    message = finished.run(*check, ok=False)
    assert f"such as {name}: found nothing, expected a file" in message
    assert f"`snakemake --cores 8 -- {name}`" in message
    finished.run("snakemake", "--cores", "8", "--", name)
    finished.run(*check)


def test_what_the_command_line_sets_is_planned_beside_dvc_lock(clone: Project) -> None:
    """A run that only --config asks for is configured, though dvc.lock knows no such run."""
    words = ("snakemake", "--dry-run", "--config", "experiments={gaussian: {seeds: [1]}}", "--")
    output = clone.run(*words, "results/smoke/metrics/gaussian-d2/enot-eps1-seed1.json")
    assert "train " in output
    seeds = sorted((clone.folder / "results/smoke/config/gaussian-d2").glob("enot-eps1-seed*"))
    assert [path.name for path in seeds] == ["enot-eps1-seed1.json"]


def test_make_repro_says_that_the_set_of_jobs_or_files_changed(committed: Project) -> None:
    """DVC itself reads no more than dvc.yaml, and would call everything up to date."""
    shutil.copy2(REPOSITORY / "Makefile", committed.folder)

    def images(params: dict[str, Any]) -> None:
        own = params["experiments"]["my_data"]
        own["problem"] |= {"source": "data/images", "target": "data/images", "image_size": 16}
        own["methods"]["enot"]["preset"] = "images"

    (committed / "data/images").mkdir()
    (committed / "data/images/one.png").write_bytes(b"1")
    committed.change_params(images)
    assert "dvc.yaml is out of date" in committed.run(*MAKE, "repro", ok=False)
    check = (sys.executable, "workflow/scripts/snake2dvc.py", "--check")
    committed.run(*check[:-1])
    committed.run(*check)
    (committed / "data/images/two.png").write_bytes(b"2")
    assert "make dvc" in committed.run(*check, ok=False)


def test_a_store_of_other_sources_and_parameters_is_noticed(committed: Project) -> None:
    check = (sys.executable, "workflow/scripts/published.py", "check")
    assert "of these sources, parameters and rules" in committed.run(*check)
    edited = ("workflow/notebooks/gaussian.py", "src/entropic_ot/metrics/bures.py")
    for name in edited:
        with (committed / name).open("a") as file:
            file.write("\n# edited\n")
    committed.change_params(num_steps_for_epsilon_1(4))
    output = committed.run(*check, ok=False)
    config = "results/smoke/config/gaussian-d2/enot-eps1-seed0.json"
    for name in (*edited, config, "results/sources/evaluate.txt"):
        assert f"{name} is not what results" in output
    assert "enot-eps0.1-seed0.json" not in output
    assert "results/sources/train.txt" not in output


def test_params_edited_before_the_first_run(clone: Project) -> None:
    """Pulled results have no records in Snakemake; a change must not slip through."""
    clone.run("dvc", "pull")
    clone.change_params(num_steps_for_epsilon_1(4))
    assert clone.planned() == CHANGED_BRANCH


def test_params_edited_and_edited_back(clone: Project) -> None:
    """A, B, A without a run between: the pulled results of A are good."""
    clone.run("dvc", "pull")
    original = (clone / "params.yaml").read_text()
    clone.change_params(num_steps_for_epsilon_1(4))
    assert clone.planned() == CHANGED_BRANCH
    (clone / "params.yaml").write_text(original)
    assert clone.planned() == set()


def test_params_edited_run_and_edited_back(changed: Project) -> None:
    """A, B, run, A: the results are those of B."""
    (changed / "params.yaml").write_text(changed.run("git", "show", "HEAD:params.yaml"))
    assert changed.planned() == CHANGED_BRANCH
    # The results of A are still in DVC's cache.
    changed.run("dvc", "checkout", "--force")
    assert changed.planned() == set()


@pytest.mark.parametrize("with_records", [True, False])
def test_tampered_output(committed: Project, clone: Project, with_records: bool) -> None:
    """An output that is neither in dvc.lock nor made by Snakemake here is made again."""
    project = committed if with_records else clone
    if not with_records:
        project.run("dvc", "pull")
    metrics = project / f"results/smoke/metrics/{RUN}.json"
    metrics.write_text(metrics.read_text().replace("0", "1"))
    expected = {job for job in CHANGED_BRANCH if not job.startswith(("training", "sampling"))}
    assert project.planned() == expected


def test_partial_pull(clone: Project) -> None:
    """Tables and figures without the runs behind them are up to date all the same."""
    original = (clone / "params.yaml").read_text()
    stages = ("table", "comparison", "figure-gaussian", "figure-my_data", "pages")
    clone.run("dvc", "pull", *stages)
    assert not (clone / f"results/smoke/runs/{RUN}").exists()
    assert clone.planned() == set()
    clone.change_params(num_steps_for_epsilon_1(4))
    assert clone.planned() >= CHANGED_BRANCH  # and what the table needs and is not here
    (clone / "params.yaml").write_text(original)
    assert clone.planned() == set()


def test_git_revert_and_dvc_checkout(changed: Project) -> None:
    changed.run("dvc", "commit", "--force")
    changed.git("commit", "--quiet", "--all", "--message", "Four steps")
    changed.git("revert", "--no-edit", "HEAD")
    changed.run("dvc", "checkout", "--force")
    assert changed.planned() == set()
    assert changed.reproduced() == []


def test_results_and_params_of_different_commits(changed: Project) -> None:
    changed.run("dvc", "commit", "--force")
    changed.git("commit", "--quiet", "--all", "--message", "Four steps")
    changed.git("checkout", "HEAD~1", "--", "params.yaml")
    assert changed.planned() == CHANGED_BRANCH


def test_source_edited_before_the_first_run(clone: Project) -> None:
    clone.run("dvc", "pull")
    path = clone / "src/entropic_ot/experiments/tables.py"
    path.write_text(path.read_text() + "\n# edited\n")
    jobs = {job.split()[0] for job in clone.planned()}
    assert "making" in jobs
    assert not jobs & {"preparing", "training", "sampling"}


def test_rule_edited_before_the_first_run(clone: Project) -> None:
    """The text of a command counts too."""
    clone.run("dvc", "pull")
    path = clone / "workflow/rules/evaluate.smk"
    text = path.read_text()
    assert "entropic-ot table --out" in text
    path.write_text(text.replace("entropic-ot table --out", "entropic-ot  table --out"))
    assert clone.planned() == AFTER_METRICS


def test_snakemake_records_lost(committed: Project) -> None:
    shutil.rmtree(committed / ".snakemake")
    assert committed.planned() == set()


def test_metrics_and_params_are_shown(committed: Project) -> None:
    assert "bw_uvp" in committed.run("dvc", "metrics", "show")
    committed.change_params(num_steps_for_epsilon_1(4))
    assert "num_steps" in committed.run("dvc", "params", "diff")


def test_experiment_changes_params_on_the_command_line(committed: Project) -> None:
    """`dvc exp run -S` reaches the jobs, though they read resolved files only."""
    key = "params.yaml:scales.smoke.experiments.gaussian.methods.enot.num_steps=5"
    stages = ["train-gaussian-d2-enot-eps1-seed0", "train-my_data-enot-eps0_1-seed0"]
    output = committed.run("dvc", "exp", "run", "--set-param", key, *stages)
    assert f"Running stage '{stages[0]}'" in output
    assert f"Running stage '{stages[1]}'" not in output


def remove_figures(params: dict[str, Any]) -> None:
    params["figures"].pop("my_data")


def test_dvc_yaml_out_of_date_is_seen(committed: Project) -> None:
    check = ("python", "workflow/scripts/snake2dvc.py", "--check")
    committed.run(*check)
    committed.change_params(remove_figures)
    assert "make dvc" in committed.run(*check, ok=False)
