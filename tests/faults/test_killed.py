"""SIGKILL at any moment: the same command again ends as if nothing had happened."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_under_fault import Run

from entropic_ot.experiments.store import MODEL, STATE, load_arrays, load_tree

DIES_AT = """
import os, pathlib, signal, safetensors.torch
import entropic_ot.tensor_file as tensor_file
left = {event}
def event(before):
    global left
    left -= 1
    if left < 0:
        before()
        os.kill(os.getpid(), signal.SIGKILL)
save, replace = tensor_file.save_file, pathlib.Path.replace
def save_file(tensors, path, metadata):
    def half():
        save(tensors, path, metadata=metadata)
        os.truncate(path, os.path.getsize(path) // 2)
    event(half)
    save(tensors, path, metadata=metadata)
def replaced(self, target):
    event(lambda: None)
    result = replace(self, target)
    event(lambda: None)
    return result
tensor_file.save_file = save_file
pathlib.Path.replace = replaced
"""
"""Dies at the event of this number: half of a tensor file written, before a rename, after one."""
KILLED = -signal.SIGKILL


def assert_same_training(found: Path, expected: Path) -> None:
    """Bit for bit: the model, the state of the training, the numbers in the log."""
    for name in (MODEL, STATE):
        (tree, header), (other, other_header) = load_tree(found / name), load_tree(expected / name)
        assert header["step"] == other_header["step"]
        assert_same(tree, other)
    assert logged(found) == logged(expected)


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b


def logged(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def unfinished_files(folder: Path) -> list[str]:
    """What a killed process leaves and the next one has to remove."""
    names = [path.name for path in folder.rglob("*")]
    return [name for name in names if name.startswith(".") and name != ".lock"]


def killed_at_every(run: Run, whole: Run, *, stride: int) -> int:
    """Train, killed at one event after the other; the number of kills."""
    for kills, event in enumerate(range(0, 1000, stride)):
        for folder in (run.out, run.work):
            shutil.rmtree(folder, ignore_errors=True)
        ended = run.train(fault=DIES_AT.format(event=event))
        if ended.status == 0:
            return kills
        assert ended.status == KILLED, ended.printed
        again = run.train()
        assert again.status == 0, f"event {event}\n{again.printed}"
        assert_same_training(run.out, whole.out)
        assert unfinished_files(run.folder) == []
    raise AssertionError("killed without end")


@pytest.mark.fault(
    "SIGKILL while a checkpoint is written",
    "before, in the midst of and after each file and rename: the checkpoint of before stays; the "
    "same command goes on from it, ends bit for bit like an undisturbed run, and removes what the "
    "killed one left",
)
def test_killed_while_writing_a_checkpoint(fresh: Run, whole: Run) -> None:
    assert killed_at_every(fresh, whole, stride=10) >= 4


@pytest.mark.extra
@pytest.mark.fault(
    "SIGKILL while a checkpoint is written, every moment",
    "the same, at each of the events one after the other",
)
def test_killed_at_each_moment_of_writing(fresh: Run, whole: Run) -> None:
    assert killed_at_every(fresh, whole, stride=1) >= 35


@pytest.mark.fault(
    "SIGKILL between steps of a training",
    "goes on from the last checkpoint, bit for bit like an undisturbed run",
)
@pytest.mark.parametrize("step", [1, 3])
def test_killed_between_steps(fresh: Run, whole: Run, step: int) -> None:
    ended = fresh.train(
        fault=f"""
import os
from entropic_ot.solvers.enot import ENOT
one_step, done = ENOT.step, 0
def step(self, *words, **named):
    global done
    done += 1
    if done == {step}:
        os.kill(os.getpid(), 9)
    return one_step(self, *words, **named)
ENOT.step = step
"""
    )
    assert ended.status == KILLED
    assert not fresh.out.exists()
    again = fresh.train()
    assert again.status == 0, again.printed
    assert ("resumed at step 2 of 3" in again.printed) == (step == 3)
    assert_same_training(fresh.out, whole.out)


DIES_WRITING_ARRAYS = """
import os
import numpy as np
def savez(file, **arrays):
    file.write(b"PK half of it")
    file.flush()
    os.kill(os.getpid(), 9)
np.savez = savez
"""


DIES_DRAWING = """
import os
from entropic_ot.solvers.enot import ENOT
draw, done = ENOT.sample, 0
def sample(self, *words, **named):
    global done
    done += 1
    if done == 2:
        os.kill(os.getpid(), 9)
    return draw(self, *words, **named)
ENOT.sample = sample
"""


@pytest.mark.fault(
    "SIGKILL while samples are drawn or written",
    "no samples file, or the one of before; the same command draws the same samples",
)
@pytest.mark.parametrize(("fault", "left"), [(DIES_DRAWING, 0), (DIES_WRITING_ARRAYS, 1)])
def test_killed_while_sampling(fault: str, left: int, finished: Run, whole: Run) -> None:
    before = finished.samples.read_bytes()
    assert finished.sample(fault=fault).status == KILLED
    assert finished.samples.read_bytes() == before
    finished.samples.unlink()
    assert finished.sample(fault=fault).status == KILLED
    assert not finished.samples.exists() and len(unfinished_files(finished.folder)) == left
    again = finished.sample()
    assert again.status == 0, again.printed
    arrays, expected = (load_arrays(r.samples, command="sample") for r in (finished, whole))
    assert list(arrays) == list(expected)
    assert all(np.array_equal(arrays[name], expected[name]) for name in expected)
    assert unfinished_files(finished.folder) == []


@pytest.mark.fault(
    "SIGKILL while metrics are computed or written",
    "no metrics file, or the one of before; the same command computes the same numbers",
)
@pytest.mark.parametrize("place", ["os.fsync", "entropic_ot.commands.evaluate.floor_text"])
def test_killed_while_evaluating(finished: Run, whole: Run, place: str) -> None:
    before = finished.metrics.read_bytes()
    module = place.rpartition(".")[0]
    fault = f"import os, {module}\n{place} = lambda *words, **named: os.kill(os.getpid(), 9)"
    assert finished.evaluate(fault=fault).status == KILLED
    assert finished.metrics.read_bytes() == before
    finished.metrics.unlink()
    assert finished.evaluate(fault=fault).status == KILLED
    assert not finished.metrics.exists()
    assert finished.evaluate().status == 0
    assert finished.metrics.read_bytes() == whole.metrics.read_bytes()
    assert unfinished_files(finished.folder) == []


@pytest.mark.fault(
    "SIGKILL while data is prepared",
    "no prepared array is half new: those of before stay, and the same command prepares all",
)
def test_killed_while_preparing(fresh: Run) -> None:
    (config,) = (fresh.results / "config/data").glob("arrays-*.json")
    out = fresh.folder / "data/prepared" / config.stem
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    fault = """
import os
from entropic_ot.data import arrays
arrays.write_meta = lambda *words: os.kill(os.getpid(), 9)
"""
    words = ("prepare", "--config", config, "--out", out)
    assert fresh.command(*words, fault=fault).status == KILLED
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before
    shutil.rmtree(out)
    assert fresh.command(*words, fault=fault).status == KILLED
    assert fresh.command(*words).status == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
