"""A full disk, folders that cannot be written to: one message, nothing good lost."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from run_under_fault import Ended, Run, fill
from test_killed import assert_same_training, unfinished_files

from entropic_ot.data.fetch import fetch_files
from entropic_ot.data.sources import RemoteFile
from entropic_ot.errors import DataError
from entropic_ot.experiments.store import MODEL, STATE, load_arrays, load_tree

FULL, READ_ONLY = "No space left on device", "Read-only file system"
SmallDisk = Callable[[Path, int], Path]


def assert_refused(ended: Ended, *, reason: str, names: Path) -> None:
    """Exit code 1 and one message with the file, the reason and what to do."""
    assert ended.status == 1, ended
    (message,) = [line for line in ended.printed.splitlines() if "error: " in line]
    assert reason in message and str(names) in message and "Check it" in message
    assert ".part" not in message and "Traceback" not in ended.printed


@pytest.mark.fault(
    "disk full while a checkpoint is written",
    "the training stops with the file's name, exit code 1; the checkpoint of before stays whole, "
    "and with some room the same command goes on from it",
)
def test_full_disk_while_training(fresh: Run, whole: Run, small_disk: SmallDisk) -> None:
    disk = small_disk(fresh.work, 400)
    killed_before_step_3 = """
import os
from entropic_ot.experiments import fit
check = fit.check_logs
def check_logs(logs, trained, *, step, **named):
    step == 3 and os.kill(os.getpid(), 9)
    check(logs, trained, step=step, **named)
fit.check_logs = check_logs
"""
    assert fresh.train(fault=killed_before_step_3).status == -9
    before = {name: (fresh.work / name).read_bytes() for name in (MODEL, STATE)}
    filler = fill(disk, leave=12_000)  # for the log, and not for a checkpoint
    assert_refused(fresh.train(), reason=FULL, names=fresh.work / MODEL)
    assert {name: (fresh.work / name).read_bytes() for name in (MODEL, STATE)} == before
    assert load_tree(fresh.work / STATE)[1]["step"] == 2
    assert not fresh.out.exists()
    filler.unlink()
    again = fresh.train()
    assert again.status == 0 and "resumed at step 2 of 3" in again.printed
    assert_same_training(fresh.out, whole.out)


@pytest.mark.fault(
    "disk full while results are published",
    "no half file among the results; with some room the same command publishes them",
)
def test_full_disk_while_publishing(fresh: Run, whole: Run, small_disk: SmallDisk) -> None:
    disk = small_disk(fresh.out, 200)
    filler = fill(disk, leave=40_000)  # for the model, and not for the state
    assert_refused(fresh.train(), reason=FULL, names=fresh.out / STATE)
    assert not (fresh.out / STATE).exists() and unfinished_files(fresh.folder) == []
    filler.unlink()
    assert fresh.train().status == 0
    assert_same_training(fresh.out, whole.out)


@pytest.mark.fault(
    "disk full while samples are written",
    "no samples file, or the one of before; exit code 1 with its name",
)
def test_full_disk_while_sampling(finished: Run, whole: Run, small_disk: SmallDisk) -> None:
    disk = small_disk(finished.samples.parent, 64)
    filler = fill(disk, leave=0)
    assert_refused(finished.sample(), reason=FULL, names=finished.samples)
    assert not finished.samples.exists() and unfinished_files(finished.folder) == []
    filler.unlink()
    assert finished.sample().status == 0
    found, expected = (load_arrays(r.samples, command="sample") for r in (finished, whole))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.fault(
    "disk full while metrics are written",
    "no metrics file, or the one of before; exit code 1 with its name",
)
def test_full_disk_while_evaluating(finished: Run, whole: Run, small_disk: SmallDisk) -> None:
    disk = small_disk(finished.metrics.parent, 64)
    filler = fill(disk, leave=0)
    assert_refused(finished.evaluate(), reason=FULL, names=finished.metrics)
    assert not finished.metrics.exists() and unfinished_files(finished.folder) == []
    filler.unlink()
    assert finished.evaluate().status == 0
    assert finished.metrics.read_bytes() == whole.metrics.read_bytes()


@pytest.mark.fault(
    "disk full while data is prepared",
    "room is taken before an array is filled, so the command ends with a message and not by the "
    "signal of a full memory map; the arrays of before stay",
)
def test_full_disk_while_preparing(fresh: Run, small_disk: SmallDisk) -> None:
    (config,) = (fresh.results / "config/data").glob("arrays-*.json")
    out = fresh.folder / "data/prepared" / config.stem
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    shutil.rmtree(out)
    disk = small_disk(out, 64)
    filler = fill(disk, leave=4096)
    words = ("prepare", "--config", config, "--out", out)
    assert_refused(fresh.command(*words), reason=FULL, names=out)
    assert [path.name for path in out.iterdir()] == [filler.name]
    filler.unlink()
    assert fresh.command(*words).status == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole


@pytest.mark.fault(
    "disk full while a file is fetched",
    "the other sources are not tried in vain: one message with the file and its size; nothing is "
    "left of it",
)
def test_full_disk_while_fetching(tmp_path: Path, small_disk: SmallDisk) -> None:
    contents = bytes(100_000)
    mirrors = [tmp_path / "first", tmp_path / "second"]
    for mirror in mirrors:
        mirror.mkdir()
        (mirror / "a.bin").write_bytes(contents)
    file = RemoteFile("a.bin", hashlib.sha256(contents).hexdigest(), len(contents), ())
    disk = small_disk(tmp_path / "raw", 64)
    with pytest.raises(DataError) as refused:
        fetch_files([file], disk, mirrors=mirrors)
    message = str(refused.value)
    assert message.startswith(f"{disk / 'a.bin'}: found {FULL}") and "100000 bytes" in message
    assert "tried" not in message
    assert list(disk.iterdir()) == []


@pytest.mark.fault(
    "results in a read-only folder",
    "each command ends with exit code 1 and the name of what it cannot write; what is there stays",
)
def test_read_only_results(finished: Run, read_only: Callable[[Path], Path]) -> None:
    read_only(finished.results)
    for ended, names in (
        (finished.train(), finished.work),
        (finished.sample(), finished.samples),
        (finished.evaluate(), finished.metrics),
    ):
        assert_refused(ended, reason=READ_ONLY, names=names)
    assert load_tree(finished.out / MODEL)[1]["step"] == 3
