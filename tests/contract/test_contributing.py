"""The diffs that CONTRIBUTING.md teaches with apply to this tree, and what they add works.

Hooks for commits call what there is; the changelog keeps its form.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from entropic_ot.experiments.params import load_params

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
DIFFS = sorted((ROOT / "docs" / "contributing").glob("*.diff"))
IDS = [diff.stem for diff in DIFFS]
COPIED = (
    *("Snakefile", "params.yaml", "pyproject.toml", "requirements.lock", "src", "workflow"),
    "docs/conventions.md",
)


def git_apply(diff: Path, folder: Path, *words: str) -> None:
    command = ["git", "apply", *words, str(diff)]
    # GIT_DIR: a folder below a repository is no part of it, and its files are patched all the same.
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"GIT_DIR": str(folder / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{diff.name}: {done.stderr}; make it anew against this tree"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the diffs are about, copied."""
    for name in COPIED:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    return tmp_path


def run(folder: Path, *words: str) -> str:
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "EOT_"))}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=ours | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    return text


def test_every_diff_is_taught_and_every_one_taught_is_there() -> None:
    named = set(re.findall(r"docs/contributing/([\w-]+)\.diff", TEXT))
    assert named == set(IDS) == {"new-experiment", "new-solver", "new-metric"}


@pytest.mark.parametrize("diff", DIFFS, ids=IDS)
def test_a_diff_applies_and_params_still_resolve(diff: Path, copy: Path) -> None:
    git_apply(diff, copy, "--check")
    git_apply(diff, copy)
    git_apply(diff, copy, "--reverse", "--check")
    for scale in ("smoke", "laptop") if diff.stem != "new-solver" else ():
        load_params(copy / "params.yaml", scale=scale)  # the solver's name is in its own sources


def test_the_experiment_has_the_runs_that_are_told(copy: Path) -> None:
    git_apply(ROOT / "docs/contributing/new-experiment.diff", copy)
    runs = load_params(copy / "params.yaml", scale="smoke").runs
    assert [r.name for r in runs if r.case == "swissroll_thin"] == ["lightsb-eps0.1-seed0"]
    laptop = load_params(copy / "params.yaml", scale="laptop").runs
    assert len([r for r in laptop if r.case == "swissroll_thin"]) == 4


@pytest.mark.slow
def test_the_experiment_is_planned(copy: Path) -> None:
    git_apply(ROOT / "docs/contributing/new-experiment.diff", copy)
    command = next(line for line in TEXT.splitlines() if line.startswith("snakemake"))
    snakemake, *words = command.split()
    text = run(copy, snakemake, "--dry-run", *words)
    for job in ("training", "sampling", "evaluating"):
        assert f"{job} swissroll_thin lightsb-eps0.1-seed0" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("diff", "test"), [("new-solver", "test_moments"), ("new-metric", "test_mean_error")]
)
def test_what_a_diff_adds_meets_its_truth(diff: str, test: str, copy: Path) -> None:
    git_apply(ROOT / "docs" / "contributing" / f"{diff}.diff", copy)
    text = run(copy, "pytest", "-q", "-p", "no:cacheprovider", f"tests/oracle/{test}.py")
    assert "1 passed" in text
    text = run(copy, "entropic_ot", "configure", "--scale", "smoke")
    assert ("runs" in text) and (copy / "results/smoke/config").is_dir()
    configs = {path.stem for path in (copy / "results/smoke/config/gaussian-d16").glob("*.json")}
    assert (diff == "new-solver") == ("moments-eps1-seed0" in configs)


def trained_and_judged(folder: Path, case: str, name: str, metric: str) -> list[dict[str, Any]]:
    """The rows of one run at scale smoke, made by the commands that the rules call."""
    run(folder, "entropic_ot", "configure", "--scale", "smoke")
    settings = folder / "results/smoke/config" / case
    evaluation = json.loads((settings / "evaluation.json").read_text()) | {"metrics": [metric]}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    config = ("--config", str(settings / f"{name}.json"))
    run(folder, "entropic_ot", "train", *config, "--out", "run", "--work", "work")
    sampling = ("--sampling", str(settings / "sampling.json"))
    run(folder, "entropic_ot", "sample", *config, *sampling, "--run", "run", "--out", "samples.npz")
    judged = ("--evaluation", "evaluation.json", "--run", "run", "--samples", "samples.npz")
    run(folder, "entropic_ot", "evaluate", *config, *judged, "--out", "metrics.json")
    rows: list[dict[str, Any]] = json.loads((folder / "metrics.json").read_text())["rows"]
    return rows


@pytest.mark.slow
def test_the_solver_is_trained_sampled_and_judged_as_the_others_are(copy: Path) -> None:
    git_apply(ROOT / "docs/contributing/new-solver.diff", copy)
    (row,) = trained_and_judged(copy, "gaussian-d16", "moments-eps1-seed0", "bw_uvp_plan")
    assert row["method"] == "moments"
    assert 0 < row["value"] < 5 * row["floor"]  # moments of 10 000 points, judged by 500


@pytest.mark.slow
def test_the_metric_is_computed_for_a_run(copy: Path) -> None:
    git_apply(ROOT / "docs/contributing/new-metric.diff", copy)
    (row,) = trained_and_judged(copy, "toy_8gaussians", "sinkhorn-eps0.1-seed0", "mean_error")
    assert row["metric"] == "mean_error" and 0 < row["value"] < 1 and 0 < row["floor"] < 1


# --- hooks ----------------------------------------------------------------------------------------


def test_hooks_are_local_and_call_what_is_pinned() -> None:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]  # nothing is downloaded
    lock = (ROOT / "requirements.lock").read_text()
    packages = {"detect-secrets-hook": "detect-secrets", "python": None, "entropic-ot": None}
    for hook in repos[0]["hooks"]:
        assert hook["language"] == "system"
        for program in re.findall(r"\.venv/bin/([\w-]+)", hook["entry"]):
            package = packages.get(program, program)
            assert package is None or re.search(rf"^{package}==", lock, re.M), program
        for path in re.findall(r"[\w./-]+\.(?:py|json|baseline)\b", hook["entry"]):
            assert (ROOT / path).exists(), path
        if "files" in hook:
            re.compile(hook["files"])


def test_each_check_of_make_lint_is_a_hook() -> None:
    makefile = (ROOT / "Makefile").read_text()
    lint = re.split(r"\nlint: setup.*\n", makefile)[1].split("\n\n")[0]
    entries = (ROOT / ".pre-commit-config.yaml").read_text()
    programs = re.findall(r"\$\(ENV\) (?:.*xargs -0 )?([\w-]+)", lint)
    assert len(programs) >= 5
    for program in set(programs) - {"snakemake", "git"}:  # --lint takes as long as all the others
        assert f".venv/bin/{program}" in entries, program


# --- changelog ------------------------------------------------------------------------------------

SECTIONS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def test_the_changelog_keeps_its_form() -> None:
    """Keep a Changelog: versions, newest first, each with sections of six kinds."""
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    assert "Keep a Changelog" in text and "Semantic Versioning" in text
    versions = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    released = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", v) for v in versions[1:]]
    assert all(released), versions
    numbers = [tuple(map(int, match[1].split("."))) for match in released if match]
    assert numbers == sorted(numbers, reverse=True)
    for block in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.*)$", block, flags=re.MULTILINE)
        assert kinds and set(kinds) <= set(SECTIONS) and len(set(kinds)) == len(kinds), kinds
        for part in re.split(r"^### .*$", block, flags=re.MULTILINE)[1:]:
            assert part.strip().startswith("- "), "a section without an entry"
