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
    results = ("results/smoke/a.csv", "results/smoke/b.csv")
    for name in ("data/raw/mnist/images", *results, "params.yaml"):
        (start.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (start.folder / name).write_text("value\n1\n")
    copy = start.copy_to(tmp_path / "round")
    assert (copy.folder / "data/raw/mnist/images").stat().st_nlink == 2
    assert (copy.folder / "results/smoke/a.csv").stat().st_nlink == 1
    before = rounds.contents_of(start.folder)
    assert rounds.contents_of(copy.folder) == before and before.keys() == set(results)
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


LINE: dict[str, Any] = {
    **{"round": 3, "seed": 0, "start": "finished", "finished_by": "snakemake"},
    "trainings": 2,
    "steps": [
        *(["edit", "data"], ["meanwhile", "snakemake", 2, "steps"]),
        ["interrupt", "dvc", "SIGKILL", 2, 1.5],
    ],
    **{"restored": 0, "noop_jobs": 0, "noop_trainings": 0, "seconds": 1800.0},
    **{"processor_seconds": 900.0, "failures": []},
}
FAILED = LINE | {"round": 4, "failures": ["lost: results/a\nmore", "b" * 2000, "c", "d", "e"]}


def write_log(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def said(*words: str | Path) -> str:
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_summary_counts_and_names_what_failed(tmp_path: Path) -> None:
    """Of several logs, in which a round that stands twice counts once."""
    first = write_log(tmp_path / "a.jsonl", LINE | {"commit": "abc"}, FAILED)
    second = write_log(tmp_path / "b.jsonl", LINE | {"round": 5, "commit": "abc"}, LINE)
    text = said("--summary", first, second, "--commit", "def")
    for part in (
        "| rounds | 3 |",
        "| failed | 1 |",
        "dvc SIGKILL 3",
        "| hours | 1.50 |",
        "| edits | data 3, steps 3 |",
        "| commits | abc 2, def 1 |",
    ):
        assert part in text
    assert "seed 0, round 4 at def" in text and "lost: results/a" in text


def test_new_rounds_are_taken_into_the_kept_log_once(rounds: Any, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    log = write_log(tmp_path / "log.jsonl", LINE, FAILED)
    with pytest.raises(ValueError, match=r"log\.jsonl, line 1: found no commit"):
        rounds.read_log(log)
    for expected in ("2 of 2", "0 of 2"):
        assert expected in said("--merge", log, "--into", kept, "--commit", "abc")
    good, failed = map(json.loads, kept.read_text().splitlines())
    assert good == LINE | {"commit": "abc"}
    assert failed["failures"] == ["lost: results/a", "b" * rounds.LONGEST_KEPT, "c", "and 2 more"]


def test_a_failed_round_that_is_replayed_stays_in_the_log(rounds: Any) -> None:
    """And what is replayed counts, at another commit alone; a good round is not run for better."""
    kept = [LINE | {"commit": "abc"}, FAILED | {"commit": "abc"}]
    replayed = FAILED | {"failures": [], "seconds": 1.0}
    assert rounds.merged(kept, [replayed | {"commit": "abc"}, LINE | {"commit": "def"}]) == kept
    both = rounds.merged(kept, [replayed | {"commit": "def"}])
    assert both == [*kept, replayed | {"commit": "def"}]
    text = rounds.summary(both)
    assert "| rounds | 2 |\n| failed | 0 |\n" in text
    assert "replayed at another commit | 1 |" in text and "round 4 at abc" in text
    assert "**2 rounds, 0 failed**" in rounds.short_summary(both)
    failed_again = rounds.merged(both[:2], [FAILED | {"commit": "def"}])
    assert "| failed | 1 |" in rounds.summary(failed_again)
    assert "replayed at another commit | 0 |" in rounds.summary(failed_again)


def test_the_pages_are_what_the_kept_log_gives(rounds: Any) -> None:
    """`python scripts/rounds.py --pages` writes them."""
    for page, text in rounds.pages().items():
        assert page.read_text() == text, page


def test_a_page_without_its_marks_is_an_error(rounds: Any) -> None:
    with pytest.raises(ValueError, match="expected both"):
        rounds.put_between("no marks", "text")


def test_what_a_pulled_start_lacks_is_not_lost_there(
    rounds: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has no samples: Snakemake needs none of them, and nobody deleted them."""

    class Known:
        def get(self, edits: object = ()) -> dict[str, str]:
            return {"results/smoke/samples/a.npz": "0", "results/smoke/a.csv": "0"}

    class Starts:
        def get(self, name: str) -> Any:
            return rounds.Project(tmp_path / name)

        def commit(self) -> str:
            return "abc"

    for name in ("pulled", "finished"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "params.yaml").write_text("")
    lines = {}
    for start in ("pulled", "finished"):
        recipe = rounds.Recipe(start)
        monkeypatch.setattr(rounds.Recipe, "draw", lambda rng, home, recipe=recipe: recipe)
        recipe.add("compare")
        lines[start] = rounds.run_round(0, 0, tmp_path, Starts(), Known(), home=True)
    assert lines["pulled"]["failures"] == []
    assert "lost: results/smoke/samples/a.npz" in lines["finished"]["failures"]
    assert lines["pulled"]["commit"] == "abc"
