"""Files that were cut or changed behind the project's back, or come from an older version."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from run_under_fault import Ended, Run
from test_killed import KILLED, assert_same_training

from entropic_ot.errors import DataError
from entropic_ot.experiments.store import MODEL, PREVIOUS, PROVENANCE, STATE, load_tree
from entropic_ot.generators.export import save_generator
from entropic_ot.networks.stylegan2 import Generator, GeneratorConfig
from entropic_ot.networks.stylegan2_file import load_generator


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """One bit in the last number; time and size stay as they were, as on a failing disk."""
    contents, stat = bytearray(path.read_bytes()), path.stat()
    contents[-3] ^= 1
    path.write_bytes(contents)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


Damage = Callable[[Path], None]
DAMAGES = pytest.mark.parametrize("damage", [cut, flip])


def assert_refused(ended: Ended, path: Path) -> None:
    """Exit code 1 and one message that names the file and says what to do with it."""
    assert ended.status == 1, ended
    (message,) = [line for line in ended.printed.splitlines() if "error: " in line]
    assert str(path) in message and "elete it and run" in message, message
    assert "Traceback" not in ended.printed


def killed_before_step_3(run: Run) -> None:
    """Leaves a checkpoint after step 2, and the one before it."""
    fault = """
import os
from entropic_ot.experiments import fit
check = fit.check_logs
def check_logs(logs, trained, *, step, **named):
    step == 3 and os.kill(os.getpid(), 9)
    check(logs, trained, step=step, **named)
fit.check_logs = check_logs
"""
    assert run.train(fault=fault).status == KILLED
    assert load_tree(run.work / STATE)[1]["step"] == 2
    assert load_tree(run.work / PREVIOUS)[1]["step"] == 1


@pytest.mark.fault(
    "bit flipped in, or end cut off, the checkpoint of a training that goes on",
    "noticed by its sha256; a warning names it, the training goes on from the checkpoint before "
    "and ends bit for bit like an undisturbed run",
)
@DAMAGES
def test_damaged_checkpoint(fresh: Run, whole: Run, damage: Damage) -> None:
    killed_before_step_3(fresh)
    damage(fresh.work / STATE)
    again = fresh.train()
    assert again.status == 0, again.printed
    assert f"{fresh.work / STATE}: damaged" in again.printed
    assert f"Going on from the checkpoint before it, {PREVIOUS}" in again.printed
    assert "resumed at step 1 of 3" in again.printed
    assert_same_training(fresh.out, whole.out)


@pytest.mark.fault(
    "both checkpoints of a training that goes on damaged",
    "exit code 1, names the file; no silent new start",
)
def test_two_damaged_checkpoints(fresh: Run) -> None:
    killed_before_step_3(fresh)
    flip(fresh.work / STATE)
    cut(fresh.work / PREVIOUS)
    before = {path.name: path.read_bytes() for path in fresh.work.iterdir() if path.name != ".lock"}
    assert_refused(fresh.train(), fresh.work / PREVIOUS)
    assert all((fresh.work / name).read_bytes() == contents for name, contents in before.items())


@pytest.mark.fault(
    "bit flipped in, or end cut off, the checkpoint of a finished run",
    "sampling stops with its name; deleted, it comes again from the kept state without training",
)
@DAMAGES
@pytest.mark.parametrize("kept_too", [False, True])
def test_damaged_result(finished: Run, whole: Run, damage: Damage, kept_too: bool) -> None:
    damage(finished.out / MODEL)
    if kept_too:
        damage(finished.work / MODEL)
    assert_refused(finished.sample(), finished.out / MODEL)
    (finished.out / MODEL).unlink()
    again = finished.train()
    assert again.status == 0 and "resumed at step 3 of 3" in again.printed
    assert_same_training(finished.out, whole.out)
    assert finished.sample().status == 0


@pytest.mark.fault(
    "bit flipped in, or end cut off, a prepared array",
    "noticed by the sha256 in meta.json, also where time and size are as before; training and "
    "sampling stop with its name, the checkpoints stay",
)
@DAMAGES
def test_damaged_prepared_array(finished: Run, damage: Damage) -> None:
    (folder,) = (finished.folder / "data/prepared").iterdir()
    array = folder.relative_to(finished.folder) / "source_train.npy"
    damage(finished.folder / array)
    assert_refused(finished.train(), array)
    assert_refused(finished.sample(), array)
    assert load_tree(finished.work / STATE)[1]["step"] == 3


@pytest.mark.fault(
    "bit flipped in, or end cut off, a samples file",
    "noticed by the sums in it; the evaluation stops with its name",
)
@DAMAGES
def test_damaged_samples(finished: Run, damage: Damage) -> None:
    def flip_inside(path: Path) -> None:
        contents = bytearray(path.read_bytes())
        contents[len(contents) // 2] ^= 1
        path.write_bytes(contents)

    (cut if damage is cut else flip_inside)(finished.samples)
    assert_refused(finished.evaluate(), finished.samples)


@pytest.mark.fault(
    "bit flipped in, or end cut off, a generator",
    "noticed by its sha256; an error with its name",
)
@DAMAGES
def test_damaged_generator(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "generator.safetensors"
    config = GeneratorConfig(z_dim=4, w_dim=4, mapping_layers=1, channels=(4, 4), img_channels=1)
    save_generator(path, Generator(config), source="nothing", source_sha256="0" * 64)
    load_generator(path)
    damage(path)
    with pytest.raises(DataError, match=r"generator\.safetensors: .*Delete it and make it again"):
        load_generator(path)


# --------------------------------------------------------------------------------------------------
# Older versions


@pytest.mark.fault(
    "run directory of an older version: a record without today's entries",
    "the evaluation stops with the record's name and the entry; the training writes it again from "
    "its checkpoint",
)
@pytest.mark.parametrize("gone", ["precision", "compile", "config_sha256"])
def test_record_of_an_older_version(finished: Run, whole: Run, gone: str) -> None:
    path = finished.out / PROVENANCE
    record = json.loads(path.read_text())
    del record[gone]
    path.write_text(json.dumps(record))
    ended = finished.evaluate()
    assert_refused(ended, path)
    assert gone in ended.printed
    path.unlink()
    assert finished.train().status == 0
    assert finished.evaluate().status == 0
    rows, expected = (json.loads(run.metrics.read_text())["rows"] for run in (finished, whole))
    assert [row["value"] for row in rows] == [row["value"] for row in expected]


@pytest.mark.fault(
    "run directory of an older version: a samples file without today's arrays",
    "the evaluation stops with its name and the array that is missing",
)
def test_samples_of_an_older_version(finished: Run) -> None:
    with np.load(finished.samples) as file:
        arrays = {name: file[name] for name in file.files if name != "conditional_y"}
    np.savez(finished.samples, **arrays)
    ended = finished.evaluate()
    assert_refused(ended, finished.samples)
    assert "conditional_y" in ended.printed


@pytest.mark.fault(
    "run directory of an older version: prepared data without sums",
    "read as it is",
)
def test_prepared_data_of_an_older_version(finished: Run) -> None:
    (folder,) = (finished.folder / "data/prepared").iterdir()
    meta = json.loads((folder / "meta.json").read_text())
    assert set(meta.pop("sha256")) == {path.name for path in folder.glob("*.npy")}
    (folder / "meta.json").write_text(json.dumps(meta))
    assert finished.sample().status == 0


@pytest.mark.fault(
    "checkpoint of other code, settings or data",
    "not resumed from: one line says so, the training starts anew",
)
def test_checkpoint_of_another_training(finished: Run, whole: Run) -> None:
    finished.change(num_steps=2)
    shutil.rmtree(finished.out)
    ended = finished.train()
    assert ended.status == 0
    assert f"{finished.work / STATE}: of other settings, code, data or device" in ended.printed
    assert "resumed" not in ended.printed
    assert load_tree(finished.out / MODEL)[1]["step"] == 2


# --------------------------------------------------------------------------------------------------
# Numbers that are none


@pytest.mark.fault(
    "loss becomes NaN or infinite (learning rate absurd)",
    "stops at that step, exit code 1: names the value, the step and the settings with their "
    "numbers; the last checkpoint stays, with finite weights; nothing is published",
)
def test_diverging_loss(fresh: Run) -> None:
    fresh.change(potential_learning_rate=1e30, num_steps=20)
    ended = fresh.train()
    assert ended.status == 1
    (message,) = [line for line in ended.printed.splitlines() if "error: " in line]
    assert "at step 2, expected finite numbers" in message
    assert "potential_learning_rate = 1e+30" in message and "params.yaml" in message
    assert not fresh.out.exists()
    tree, header = load_tree(fresh.work / STATE)
    assert header["step"] == 1
    for part in tree["model"].values():
        assert all(bool(tensor.isfinite().all()) for tensor in part.values())


@pytest.mark.fault(
    "weights become infinite in an update, after its loss",
    "stops like a diverging loss, and no checkpoint of such weights is written or published",
)
@pytest.mark.parametrize("step", [2, 3])
def test_weights_that_an_update_spoils(fresh: Run, step: int) -> None:
    fault = f"""
from entropic_ot.solvers.enot import ENOT
one_step, done = ENOT.step, 0
def step(self, *words, **named):
    global done
    done += 1
    logs = one_step(self, *words, **named)
    if done == {step}:
        next(iter(self.drift.average.values())).fill_(float("inf"))
    return logs
ENOT.step = step
"""
    ended = fresh.train(fault=fault)
    assert ended.status == 1
    assert "the weights model/drift/" in ended.printed
    assert f"no longer finite after step {step}" in ended.printed
    assert not fresh.out.exists() and load_tree(fresh.work / STATE)[1]["step"] == step - 1
    assert load_tree(fresh.work / MODEL)[1]["step"] == step - 1
