"""`entropic-ot progress`: what is done and how far running trainings are."""

from __future__ import annotations

from pathlib import Path

import pytest

from entropic_ot.commands import progress as command
from entropic_ot.experiments.params import Params, load_params
from entropic_ot.experiments.store import MODEL, RunStore

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    loaded = load_params(REPOSITORY / "params.yaml", scale="smoke")
    monkeypatch.chdir(tmp_path)
    return loaded


def test_what_is_there_is_counted_by_rule(params: Params) -> None:
    run = params.runs[0]
    model = params.layout.run(run.case, run.name) / MODEL
    model.parent.mkdir(parents=True)
    model.write_text("")
    lines = command.lines(params)
    (train,) = (line for line in lines if line.startswith("train "))
    assert train.endswith(f" 1/{len(params.runs)}")
    assert "training now: none" in lines


def test_a_training_is_running_while_it_holds_its_lock(params: Params) -> None:
    run = params.runs[0]
    steps = run.config.num_steps
    store = RunStore(params.layout.work(run.case, run.name), fingerprint="")
    with store.locked():
        (one,) = command.running(params)
        assert (one.name, one.step, one.seconds_left) == (f"{run.case}/{run.name}", 0, None)
        # Slow at first; then 2 steps a second.
        for step, seconds in [(1, 60.0), (3, 61.0), (5, 62.0)]:
            store.append_log({"step": step, "seconds": seconds})
        (one,) = command.running(params)
        assert (one.step, one.num_steps) == (5, steps)
        assert one.seconds_left == (steps - 5) / 2
        line = command.lines(params)[-1]
        assert line.startswith(f"  {run.case}/{run.name}: 5/{steps} (")
        # Looking at it takes nothing from it: another one still finds it locked, and it unlocks.
    assert command.running(params) == []
    with store.locked():
        pass
