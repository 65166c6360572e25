"""The files of a run: atomic, self-describing, and refused when they are damaged or of another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from entropic_ot.device import make_rng
from entropic_ot.errors import DataError
from entropic_ot.experiments import store as module
from entropic_ot.experiments.store import (
    FORMAT,
    LOG,
    MODEL,
    STATE,
    RunStore,
    load_tree,
    save_tree,
)
from entropic_ot.files import file_sha256

CPU = torch.device("cpu")
STATE_OF_SOLVER: dict[str, Any] = {
    "model": {"net": {"weight": torch.arange(6.0).reshape(2, 3)}},
    "training": {
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"betas": [0.5, 1]}]},
        "num_updates": 7,
    },
}


def saved(folder: Path, *, fingerprint: str = "a", step: int = 5, seed: int = 0) -> RunStore:
    store = RunStore(folder, fingerprint=fingerprint)
    store.save_checkpoint(STATE_OF_SOLVER, step=step, rng=make_rng(seed), seconds=1.5)
    return store


# --- trees ----------------------------------------------------------------------------------------


def test_a_tree_survives_the_round_trip(tmp_path: Path) -> None:
    transposed = torch.arange(6.0).reshape(2, 3).T
    layout = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    tree: dict[str, Any] = {
        "a": {1: transposed, "two": [layout, None, 2.5, "text", True]},
        "bytes": torch.tensor([0, 255], dtype=torch.uint8),
        "double": torch.tensor([1e-300], dtype=torch.float64),
        "empty": {},
    }
    save_tree(tmp_path / "t", tree, header={"step": 3})
    loaded, header = load_tree(tmp_path / "t")
    assert header == {"step": 3}
    assert list(loaded) == ["a", "bytes", "double", "empty"]
    assert torch.equal(loaded["a"][1], transposed)
    assert torch.equal(loaded["a"]["two"][0], layout)
    assert loaded["a"]["two"][1:] == [None, 2.5, "text", True]
    assert torch.equal(loaded["bytes"], tree["bytes"])
    assert torch.equal(loaded["double"], tree["double"])
    assert loaded["empty"] == {}


def test_a_missing_file_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nothing: not found, .*; the training of this run writes it"
    ):
        load_tree(tmp_path / "nothing")


@pytest.mark.parametrize("damage", ["cut", "overwritten", "empty"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "t"
    save_tree(path, {"a": torch.zeros(1000)}, header={})
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-100], "overwritten": b"\xff" * 50, "empty": b""}[damage])
    with pytest.raises(DataError, match=r"t: damaged or not a safetensors file .*Delete it"):
        load_tree(path)


@pytest.mark.fault(
    "run directory of another version: an unknown format of checkpoint",
    "an error with the file's name, its format and the one expected",
)
@pytest.mark.parametrize("metadata", [None, {"format": "entropic-ot run, version 0"}])
def test_a_file_of_another_version_is_named_with_what_to_do(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "t", metadata=metadata)
    with pytest.raises(DataError, match=rf"found format .*, expected '{FORMAT}'.*another version"):
        load_tree(tmp_path / "t")


# --- checkpoints ----------------------------------------------------------------------------------


def test_a_checkpoint_brings_back_state_step_seconds_and_generator(tmp_path: Path) -> None:
    store = saved(tmp_path, seed=8)
    rng = make_rng(0)
    resumed = store.load_checkpoint(rng)
    assert resumed is not None
    state, step, seconds = resumed
    assert (step, seconds) == (5, 1.5)
    assert set(state) == {"model", "training"}
    assert torch.equal(state["model"]["net"]["weight"], STATE_OF_SOLVER["model"]["net"]["weight"])
    assert state["training"]["optimizer"]["state"][0]["step"] == 3
    assert state["training"]["num_updates"] == 7
    assert torch.equal(torch.randn(3, generator=rng), torch.randn(3, generator=make_rng(8)))


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert RunStore(tmp_path, fingerprint="a").load_checkpoint(make_rng(0)) is None


def test_the_model_file_alone_is_enough_to_sample_from(tmp_path: Path) -> None:
    saved(tmp_path)
    model, header = load_tree(tmp_path / MODEL)
    assert torch.equal(model["net"]["weight"], STATE_OF_SOLVER["model"]["net"]["weight"])
    assert header["step"] == 5


def test_a_checkpoint_of_other_settings_is_forgotten(tmp_path: Path) -> None:
    saved(tmp_path, fingerprint="a").append_log({"step": 1})
    rng = make_rng(3)
    before = rng.get_state()
    store = RunStore(tmp_path, fingerprint="b")
    assert store.load_checkpoint(rng) is None
    assert torch.equal(rng.get_state(), before)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_an_error_not_a_new_start(tmp_path: Path) -> None:
    store = saved(tmp_path)
    (tmp_path / STATE).write_bytes(b"half")
    with pytest.raises(DataError, match=rf"{STATE}: damaged"):
        store.load_checkpoint(make_rng(0))


@pytest.mark.fault(
    "SIGKILL between the two files of a checkpoint",
    "the model is never older than the state that is resumed from",
)
def test_a_kill_between_the_two_files_leaves_no_newer_state_beside_an_older_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a run that was killed there at its end would resume with nothing left to do."""
    store = saved(tmp_path, step=5)
    written: list[Path] = []

    def killed_after_the_first(path: Path, *args: Any, **kwargs: Any) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        save_tree(path, *args, **kwargs)

    monkeypatch.setattr(module, "save_tree", killed_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        store.save_checkpoint(STATE_OF_SOLVER, step=10, rng=make_rng(0), seconds=3.0)
    steps = {name: load_tree(tmp_path / name)[1]["step"] for name in (MODEL, STATE)}
    assert steps == {MODEL: 10, STATE: 5}


# --- the log --------------------------------------------------------------------------------------


def steps_in(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / LOG).read_text().splitlines()]


def test_the_log_is_cut_after_the_step_that_is_resumed_from(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "new", fingerprint="a")
    store.trim_log(3)  # no log yet: nothing to do
    for step in (1, 2, 3, 4, 5):
        store.append_log({"step": step, "loss": 0.5})
    store.trim_log(3)
    assert steps_in(store.folder) == [1, 2, 3]
    store.append_log({"step": 4})
    assert steps_in(store.folder) == [1, 2, 3, 4]


def test_half_a_line_at_the_end_of_the_log_is_dropped(tmp_path: Path) -> None:
    store = RunStore(tmp_path, fingerprint="a")
    store.append_log({"step": 1})
    with (tmp_path / LOG).open("a") as file:
        file.write('{"step": 2, "lo')
    store.trim_log(10)
    assert (tmp_path / LOG).read_text() == '{"step": 1}\n'


def test_publish_copies_model_state_and_log(tmp_path: Path) -> None:
    store = saved(tmp_path / "work")
    store.append_log({"step": 5})
    store.publish(tmp_path / "out")
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == sorted([MODEL, STATE, LOG])
    for name in names:
        assert file_sha256(tmp_path / "out" / name) == file_sha256(tmp_path / "work" / name)


@pytest.mark.fault(
    "two trainings of one run at once",
    "the second is refused, with the folder's name",
)
def test_only_one_process_at_a_time_trains_in_a_folder(tmp_path: Path) -> None:
    with (
        RunStore(tmp_path, fingerprint="a").locked(),
        pytest.raises(DataError, match=r"another process is training this run"),
        RunStore(tmp_path, fingerprint="a").locked(),
    ):
        pass
    with RunStore(tmp_path, fingerprint="a").locked():
        pass
