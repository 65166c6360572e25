"""What Snakemake runs, and what it does not run again."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from tiny_project import (
    CHANGED_BRANCH,
    Project,
    jobs_in,
    kill_group,
    make_project,
    num_steps_for_epsilon_1,
    wait_until,
)

pytestmark = pytest.mark.slow
RUN = "gaussian-d2/enot-eps1-seed0"


def hashes(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_cold_run_makes_everything(cold_run: tuple[Project, str]) -> None:
    project, output = cold_run
    results = project / "results/smoke"
    for case, run in [("gaussian-d2", "enot-eps0.1-seed0"), ("my_data", "enot-eps0.1-seed0")]:
        made = {p.name for p in (results / "runs" / case / run).iterdir()}
        assert made == {
            "checkpoint.safetensors",
            "training_state.safetensors",
            "log.jsonl",
            "provenance.json",
        }
        for rule in ("train", "sample", "evaluate"):
            assert (results / f"logs/{rule}/{case}/{run}.log").exists()
            assert (results / f"benchmarks/{rule}/{case}/{run}.tsv").exists()
    assert {p.name for p in (results / "tables").iterdir()} == {
        *("metrics.csv", "metrics.json", "metrics.md", "losses.csv", "over_time.csv"),
        *("comparison.csv", "comparison.md", "comparison.tex"),
    }
    for figure in ("gaussian", "my_data"):
        for file in (f"figures/{figure}.png", f"figures/{figure}.pdf", f"notebooks/{figure}.html"):
            assert (results / file).stat().st_size > 0
    # What a user sees: which job runs, how far it is, and at the end what was made.
    assert f"training {RUN.replace('/', ' ')}" in output
    assert "(100%) done" in output
    assert "results/smoke/tables/metrics.csv" in output[output.rindex("(100%) done") :]


def test_the_comparison_is_of_the_results_with_the_papers(cold_run: tuple[Project, str]) -> None:
    results = cold_run[0] / "results/smoke"
    with open(results / "tables/comparison.csv", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["metric"] == "bw_uvp_plan"]
    (ours,) = (line for line in lines if line["method"] == "enot" and line["epsilon"] == "1.0"
               and line["dim"] == "2")  # fmt: skip
    record = json.loads((results / f"metrics/{RUN}.json").read_text())
    (value,) = (row["value"] for row in record["rows"] if row["metric"] == "bw_uvp_plan")
    assert float(ours["mean"]) == value
    assert (ours["num_seeds"], ours["paper_value"], ours["paper_mark"]) == ("1", "0.012", "(m) ‡")
    assert "ENOT 0.012 (m)" in (results / "tables/comparison.md").read_text()
    assert r"\begin{tabular}" in (results / "tables/comparison.tex").read_text()
    for file_name in ("figures/comparison.png", "figures/comparison.pdf", "notebooks/tables.ipynb"):
        assert (results / file_name).stat().st_size > 0
    assert "ENOT 0.012 (m)" in (results / "notebooks/tables.html").read_text()
    for file_name in ("logs/comparison.log", "benchmarks/comparison.tsv"):
        assert (results / file_name).exists()


def test_a_changed_paper_value_makes_the_comparison_alone(finished: Project) -> None:
    path = finished / "workflow/paper_values.yaml"
    path.write_text(path.read_text().replace("value: 0.012", "value: 0.013"))
    assert finished.planned() == {"comparing with the papers", "writing the pages of results"}


def test_second_run_has_nothing_to_do(finished: Project) -> None:
    assert "Nothing to be done" in finished.snakemake()


def test_without_the_plugin_form(finished: Project) -> None:
    """The forms that need no plugin do the same."""
    assert "Nothing to be done" in finished.run("snakemake")
    assert "Nothing to be done" in finished.run("snakemake", "--cores", "8", "--", "all")


def test_one_epsilon_changed_reruns_its_branch(
    finished: Project, changed: Project, changed_output: str
) -> None:
    finished.change_params(num_steps_for_epsilon_1(4))
    assert finished.planned() == CHANGED_BRANCH
    assert jobs_in(changed_output) == CHANGED_BRANCH
    record = json.loads((changed / f"results/smoke/config/{RUN}.json").read_text())
    assert record["num_steps"] == 4
    assert changed.planned() == set()


def test_added_epsilon_runs_alone(finished: Project) -> None:
    def add(params: dict[str, Any]) -> None:
        params["experiments"]["gaussian"]["methods"]["enot"]["epsilons"].append(10)

    finished.change_params(add)
    new = {job.replace("eps1-", "eps10-") for job in CHANGED_BRANCH}
    assert finished.planned() == new


def test_comment_in_params_changes_nothing(finished: Project) -> None:
    path = finished / "params.yaml"
    path.write_text("# A comment.\n" + path.read_text())
    assert finished.planned() == set()


def test_notebook_changed_reruns_only_it(finished: Project) -> None:
    path = finished / "workflow/notebooks/gaussian.py"
    path.write_text(path.read_text() + "# %%\nprint(1)\n")
    assert finished.planned() == {"drawing gaussian", "writing the pages of results"}


def test_own_arrays_have_a_figure_without_a_line_in_params(finished: Project) -> None:
    def forget(params: dict[str, Any]) -> None:
        del params["figures"]["my_data"]

    finished.change_params(forget)
    notebooks = finished / "workflow/notebooks"
    (notebooks / "my_data.py").rename(notebooks / "own_data.py")
    assert finished.planned() == {"drawing my_data", "writing the pages of results"}


def test_source_changed_reruns_what_imports_it(finished: Project) -> None:
    edit(finished / "src/entropic_ot/experiments/tables.py")
    jobs = {job.split()[0] for job in finished.planned()}
    assert "making" in jobs
    assert not jobs & {"preparing", "training", "sampling"}


def test_touched_files_change_nothing(finished: Project) -> None:
    for path in ("params.yaml", "workflow/notebooks/gaussian.py"):
        os.utime(finished / path)
    for path in (finished / "src").rglob("*.py"):
        os.utime(path)
    os.utime(finished / "results/smoke/config/gaussian-d2/evaluation.json")
    assert finished.planned() == set()


def edit(path: Path) -> None:
    path.write_text(path.read_text() + "\n# edited\n")


def test_figures_are_the_same_bytes_again(finished: Project) -> None:
    folders = [finished / f"results/smoke/{name}" for name in ("figures", "notebooks", "tables")]
    before = [hashes(folder) for folder in folders]
    finished.run("snakemake", "--cores", "8", "--forcerun", "figure", "comparison", "--", "all")
    assert [hashes(folder) for folder in folders] == before


def test_failure_is_told_at_the_end(finished: Project) -> None:
    """A job that fails does not stop the others; the end says what failed and how to go on."""
    path = finished / "workflow/notebooks/gaussian.py"
    path.write_text(path.read_text() + "# %%\nraise ValueError('no figure today')\n")
    edit(finished / "workflow/notebooks/my_data.py")
    output = finished.run("snakemake", "--cores", "8", ok=False)
    end = output[output.index("FAILED: 1 job") :]
    assert end.splitlines()[1] == "  figure: drawing gaussian"
    assert "    log: results/smoke/logs/figure/gaussian.log" in end
    assert "no figure today" in end
    assert "Run the same command again" in end
    # Then one line per result.
    assert end.index("not made yet") < end.index("results/smoke/figures/my_data.png")
    assert finished.planned() == {"drawing gaussian", "writing the pages of results"}


def test_unknown_key_is_one_clear_message(finished: Project) -> None:
    def misspell(params: dict[str, Any]) -> None:
        params["experiments"]["gaussian"]["enabld"] = True

    finished.change_params(misspell)
    output = finished.run("snakemake", "--dry-run", ok=False)
    assert "experiments.gaussian" in output
    assert "enabled" in output
    assert "Traceback" not in output


def test_an_unknown_data_set_is_one_clear_message(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    output = project.run(
        *("snakemake", "--dry-run", "--", "data/prepared/faces-of-nobody/meta.json"), ok=False
    )
    assert "faces-of-nobody: no enabled run at scale smoke uses prepared data" in output
    assert re.search(r"known: arrays-[0-9a-f]{8}\b", output)
    assert "KeyError" not in output


def is_newer(path: Path, before: int) -> bool:
    """Whether it was written since; a checkpoint that is just being replaced is not there."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime_ns != before
    return False


@pytest.mark.fault(
    "SIGKILL to the whole workflow while it trains",
    "the same command removes the lock and goes on from the last checkpoint; the log has each"
    " step once",
)
def test_killed_training_goes_on_from_its_checkpoint(finished: Project) -> None:
    """SIGKILL to everything, at any moment; then the same command again."""

    def long_training(params: dict[str, Any]) -> None:
        params["compute"]["checkpoint_seconds"] = 0.2
        num_steps_for_epsilon_1(300)(params)

    finished.change_params(long_training)
    target = f"results/smoke/runs/{RUN}/checkpoint.safetensors"
    work = finished / f"results/smoke/checkpoints/{RUN}/training_state.safetensors"
    before = work.stat().st_mtime_ns
    process = finished.start("snakemake", "--cores", "8", "--", target)
    wait_until(lambda: is_newer(work, before))
    kill_group(process)
    assert not (finished / target).exists()

    output = finished.run("snakemake", "--cores", "8", "--", target)
    assert "Removed the locks of a Snakemake that was killed" in output
    assert "resumed at step" in output
    log = (finished / f"results/smoke/runs/{RUN}/log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in log]
    assert steps == sorted(set(steps))
    assert steps[-1] == 300


@pytest.mark.fault(
    "two snakemake at once",
    "the second is refused: the directory is locked; the first goes on, with the parameters "
    "it was started with",
)
def test_two_at_once_do_not_disturb_each_other(finished: Project) -> None:
    """While one runs, another removes no lock and rewrites no parameters."""

    def long_training(params: dict[str, Any]) -> None:
        params["compute"]["checkpoint_seconds"] = 0.2
        num_steps_for_epsilon_1(10**7)(params)

    finished.change_params(long_training)
    work = finished / f"results/smoke/checkpoints/{RUN}/training_state.safetensors"
    before = work.stat().st_mtime_ns
    process = finished.start("snakemake", "--cores", "8", "--", "all")
    try:
        wait_until(lambda: is_newer(work, before))
        config = finished / f"results/smoke/config/{RUN}.json"
        running = config.read_text()
        finished.change_params(num_steps_for_epsilon_1(5))
        output = finished.run("snakemake", "--cores", "8", "--", "all", ok=False)
        assert "Directory cannot be locked" in output and "unlock" in output
        assert config.read_text() == running
        seen: set[int] = set()

        def has_written_on() -> bool:
            with contextlib.suppress(FileNotFoundError):  # it is being replaced
                seen.add(work.stat().st_mtime_ns)
            return len(seen) > 1

        wait_until(has_written_on)
        assert process.poll() is None
    finally:
        kill_group(process)  # at SIGTERM, Snakemake would wait for a job that it just then starts
