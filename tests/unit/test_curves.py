"""Curves of trainings: what is read of a log that grows, and what TensorBoard then shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from entropic_ot.commands.curves import _chosen, _logs
from entropic_ot.errors import ConfigError
from entropic_ot.experiments import curves
from entropic_ot.experiments.curves import Curves, LogFollower
from entropic_ot.experiments.params import load_params
from entropic_ot.experiments.store import RunStore

REPOSITORY = Path(__file__).parents[2]


def record(step: int) -> dict[str, float]:
    return {"step": step, "seconds": step / 10, "loss": 1 / step}


def append(path: Path, *steps: int) -> None:
    store = RunStore(path.parent, fingerprint="")
    for step in steps:
        store.append_log(record(step))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "work/log.jsonl"


def test_only_what_is_new_is_read(log: Path) -> None:
    follower = LogFollower(log)
    assert follower.read() == ([], False)  # before the training starts
    append(log, 1, 2)
    assert follower.read() == ([record(1), record(2)], False)
    assert follower.read() == ([], False)
    append(log, 3)
    assert follower.read() == ([record(3)], False)


def test_half_a_line_waits_for_its_end(log: Path) -> None:
    append(log, 1)
    follower, line = LogFollower(log), json.dumps(record(2)) + "\n"
    with log.open("a") as file:
        file.write(line[:7])
    assert follower.read() == ([record(1)], False)
    with log.open("a") as file:
        file.write(line[7:])
    assert follower.read() == ([record(2)], False)


def test_a_resumed_training_is_read_anew(log: Path) -> None:
    append(log, 1, 2, 3)
    follower = LogFollower(log)
    follower.read()
    RunStore(log.parent, fingerprint="").trim_log(1)  # as a training does that is resumed
    append(log, 2)
    assert follower.read() == ([record(1), record(2)], True)
    assert follower.read() == ([], False)


def test_what_a_killed_process_left_is_passed_over(log: Path) -> None:
    append(log, 1)
    with log.open("a") as file:
        file.write('{"step": 2, "lo\n[]\n')
    append(log, 3)
    assert LogFollower(log).read() == ([record(1), record(3)], False)


class FakeWriter:
    """What would be written, in the place of TensorBoard's writer."""

    def __init__(self) -> None:
        self.points: list[tuple[str, float, int]] = []
        self.times: list[float] = []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int, walltime: float) -> None:
        self.points.append((tag, scalar_value, global_step))
        self.times.append(walltime)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_curves_are_all_numbers_but_step_and_seconds(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[tuple[int | None, FakeWriter]] = []

    def writer(folder: Path, purge_step: int | None) -> FakeWriter:
        assert folder == tmp_path / "out/a/b"
        writers.append((purge_step, FakeWriter()))
        return writers[-1][1]

    monkeypatch.setattr(curves, "summary_writer", writer)
    append(log, 1, 2)
    shown = Curves({"a/b": log}, tmp_path / "out")
    assert shown.update() == 2
    ((purged, first),) = writers
    assert purged is None
    assert first.points == [("loss", 1.0, 1), ("loss", 0.5, 2)]
    assert first.times[1] - first.times[0] == pytest.approx(0.1, abs=1e-6)  # floats near 2e9
    RunStore(log.parent, fingerprint="").trim_log(1)
    append(log, 4)
    assert shown.update() == 2
    assert writers[1][0] == 1  # from there on what was written before is taken back
    assert writers[1][1].points == [("loss", 1.0, 1), ("loss", 0.25, 4)]


def test_runs_are_chosen_by_patterns() -> None:
    logs = _logs(load_params(REPOSITORY / "params.yaml", scale="smoke"))
    chosen = _chosen(logs, ["toy_*/enot-*"])
    assert chosen and set(chosen) < set(logs)
    assert all(name.startswith("toy_") and "/enot-" in name for name in chosen)
    assert _chosen(logs, []) == logs
    with pytest.raises(ConfigError, match="nobody: found no training of this name"):
        _chosen(logs, ["nobody"])


def test_training_does_not_import_tensorboard() -> None:
    code = (
        "import sys; import entropic_ot.commands.train, entropic_ot.commands.curves; "
        "print([m for m in sys.modules if 'tensorboard' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.extra
def test_tensorboard_reads_the_curves_and_forgets_what_was_taken_back(
    log: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="needs TensorBoard: pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    append(log, 1, 2, 3)
    shown = Curves({"a/b": log}, tmp_path / "out")
    shown.update()
    accumulator = EventAccumulator(str(tmp_path / "out/a/b"))
    accumulator.Reload()
    assert [event.step for event in accumulator.Scalars("loss")] == [1, 2, 3]
    RunStore(log.parent, fingerprint="").trim_log(1)
    append(log, 4)
    shown.update()
    shown.close()
    accumulator.Reload()
    found = {event.step: event.value for event in accumulator.Scalars("loss")}
    assert found == {1: 1.0, 4: 0.25}
