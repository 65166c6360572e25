"""The judgement of scripts/rounds.py: what counts as the same result, and what a recipe is."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save

from entropic_ot.experiments.params import load_params

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "scripts/rounds.py"


@pytest.fixture(scope="module")
def rounds() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("rounds", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rounds"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["rounds"]


def test_a_recipe_depends_on_the_seed_and_the_number_alone(rounds: Any) -> None:
    def steps(seed: str, *, home: bool = False) -> list[Any]:
        recipe = rounds.Recipe.draw(random.Random(seed), home=home)
        assert recipe.steps[-1][0] == "finish"
        assert recipe.steps[-2] == ["edit"] or not home
        return [recipe.start, *recipe.steps]

    assert steps("0-7") == steps("0-7")
    assert len({json.dumps(steps(f"0-{n}")) for n in range(50)}) > 45
    assert steps("0-3", home=True)[-2] == ["edit"]


def test_a_result_of_other_seconds_is_the_same_and_one_of_other_values_is_not(
    rounds: Any, tmp_path: Path
) -> None:
    contents = {
        "metrics.json": [{"value": 1.5, "train_seconds": 2}, {"value": 1.5, "train_seconds": 3}],
        "log.jsonl": ['{"step": 1, "seconds": 1}', '{"step": 1, "seconds": 2}'],
        "table.csv": ["value,commit\n1.5,a\n", "value,commit\n1.5,b\n"],
    }
    for name, (first, second) in contents.items():
        texts = [c if isinstance(c, str) else json.dumps(c) for c in (first, second)]
        texts.append(texts[0].replace("1.5", "1.6").replace('"step": 1', '"step": 2'))
        digests = []
        for text in texts:
            (tmp_path / name).write_text(text)
            digests.append(rounds.digest_of(tmp_path / name, name))
        assert digests[0] == digests[1] != digests[2], name
    (tmp_path / "metrics.json").write_text('{"value": 1')
    assert rounds.digest_of(tmp_path / "metrics.json", "metrics.json") == "not readable"


def test_a_copy_shares_what_nobody_writes_into_and_harm_stays_in_it(
    rounds: Any, tmp_path: Path
) -> None:
    start = rounds.Project(tmp_path / "start")
    for name in ("data/raw/mnist/images", "results/smoke/a.csv", "params.yaml"):
        (start.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (start.folder / name).write_text("value\n1\n")
    copy = start.copy_to(tmp_path / "round")
    assert (copy.folder / "data/raw/mnist/images").stat().st_nlink == 2
    assert (copy.folder / "results/smoke/a.csv").stat().st_nlink == 1
    before = rounds.contents_of(start.folder)
    assert rounds.contents_of(copy.folder) == before and len(before) == 2
    current = rounds.Round(copy, None, None)
    for kind in ("append", "flip", "truncate", "delete"):
        current.step("tamper", kind, 0.99)  # of the sorted names the last
        current.step("tamper", kind, 0.0)
        assert rounds.contents_of(start.folder) == before
    assert rounds.contents_of(copy.folder) == {}
    assert current.deleted == before.keys()


def test_of_a_page_that_shows_seconds_only_its_presence_counts(rounds: Any, tmp_path: Path) -> None:
    """They show seconds and commits, and the picture of the comparison, which has them too."""
    shown = ("results.html", "runs.html", "tables/metrics.md", "figures/comparison.png")
    for path in (f"results/smoke/{name}" for name in shown):
        page = tmp_path / Path(path).name
        page.write_text("seconds: 2")
        first = rounds.digest_of(page, path)
        page.write_text("seconds: 3")
        assert first == rounds.digest_of(page, path) == "present", path
        page.write_text("")
        assert rounds.digest_of(page, path) == "empty", path
    for path in ("results/smoke/settings.html", "results/smoke/figures/gaussian.png"):
        page.write_text("num_steps: 2")
        first = rounds.digest_of(page, path)
        page.write_text("num_steps: 3")
        assert first != rounds.digest_of(page, path), path


def test_of_a_checkpoint_the_tensors_count(rounds: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"

    def digest(value: float, seconds: str) -> str:
        file.write_bytes(save({"w": np.array([value])}, {"seconds": seconds}))
        return str(rounds.digest_of(file, file.name))

    assert digest(1.0, "2") == digest(1.0, "3") != digest(1.5, "2")
    file.write_bytes(file.read_bytes()[:20])
    assert rounds.digest_of(file, file.name) == "not readable"


def test_every_edit_changes_an_input_and_gives_valid_parameters(
    rounds: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, _ in rounds.APPENDED.values():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((REPOSITORY / path).read_bytes())
    params = rounds.small_params(yaml.safe_load((REPOSITORY / "params.yaml").read_text()))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    before = rounds.inputs_of(tmp_path, ())
    for edit in rounds.EDITS:
        after = rounds.inputs_of(tmp_path, (edit,))
        assert after.keys() == before.keys()
        assert after != before, edit
        path = tmp_path / "edited.yaml"
        path.write_bytes(after["params.yaml"])
        for name in ("data/my/source.npy", "data/my/target.npy"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(after[name])
        runs = load_params(path).runs
        assert len(runs) == (4 if edit == "epsilon" else 3)


def test_what_is_appended_to_a_source_replaces_a_function_that_is_there(rounds: Any) -> None:
    for path, text in rounds.APPENDED.values():
        for line in text.splitlines():
            if line.startswith("def "):
                assert line.partition("(")[0] + "(" in (REPOSITORY / path).read_text()


def test_the_summary_counts_and_names_what_failed(rounds: Any, tmp_path: Path) -> None:
    line = {
        **{"round": 3, "seed": 0, "start": "finished", "finished_by": "snakemake"},
        "trainings": 2,
        "steps": [
            *(["edit", "data"], ["meanwhile", "snakemake", 2, "steps"]),
            ["interrupt", "dvc", "SIGKILL", 2, 1.5],
        ],
        **{"restored": 0, "noop_jobs": 0, "noop_trainings": 0, "seconds": 1800.0},
        "processor_seconds": 900.0,
    }
    lines = [line | {"failures": []}, line | {"failures": ["lost: results/a"]}]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    words = [sys.executable, str(SCRIPT), "--log", str(log), "--summary"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for part in (
        "| rounds | 2 |",
        "| failed | 1 |",
        "dvc SIGKILL 2",
        "| hours | 1.00 |",
        "| edits | data 2, steps 2 |",
    ):
        assert part in text
    assert "seed 0, round 3" in text and "lost: results/a" in text
