"""Faults around a whole workflow: clocks, read-only folders, two at once."""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import clock
import numpy as np
import pytest
from run_under_fault import Run
from test_killed import assert_same_training
from tiny_project import Project, make_project

from entropic_ot.experiments.params import load_params
from entropic_ot.metrics.features import FeatureExtractor
from entropic_ot.metrics.real_side import real_features

ReadOnly = Callable[[Path], Path]
DAY_S = 86_400.0
PREPARED = "data/prepared"


@pytest.fixture(scope="module")
def _project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("project"))


def future(path: Path) -> None:
    os.utime(path, (time.time() + DAY_S,) * 2)


def made_in_the_future(project: Project, target: str) -> None:
    """As Snakemake leaves an output and its record when the clock is ahead."""
    future(project / target)
    name = base64.urlsafe_b64encode(target.encode()).decode()
    record = project / f".snakemake/metadata/{name}"
    made = (project / target).stat().st_mtime
    record.write_text(json.dumps(json.loads(record.read_text()) | {"endtime": made}))


@pytest.mark.fault(
    "clock goes backwards between two workflow runs (files have times in the future)",
    "such files get the present time, and a line says so; jobs run once, and what is finished is "
    "not made again",
)
def test_files_from_the_future(_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project = _project
    monkeypatch.chdir(project.folder)
    datasets = load_params("params.yaml").datasets
    (stem,) = (name for name in datasets if name.startswith("arrays-"))
    target = f"{PREPARED}/{stem}/meta.json"
    for name in ("data/my/source.npy", "params.yaml"):
        future(project / name)
    output = project.run("snakemake", "--cores", "2", "--", target)
    assert "and 1 more: found a modification time in the future" in output
    assert "preparing" in output
    made_in_the_future(project, target)
    future(project / f"results/smoke/config/data/{stem}.json")
    again = project.run("snakemake", "--cores", "2", "--", target)
    assert "in the future" in again and "Nothing to be done" in again
    name = base64.urlsafe_b64encode(target.encode()).decode()
    record = json.loads((project / f".snakemake/metadata/{name}").read_text())
    assert record["endtime"] == pytest.approx((project / target).stat().st_mtime, abs=1e-3)
    assert record["endtime"] < time.time()


@pytest.mark.fault(
    "clock goes backwards, and a file from the future cannot be changed",
    "an error with the file's name before any job runs",
)
def test_a_file_from_the_future_that_cannot_be_changed(tmp_path: Path, read_only: ReadOnly) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "x.npy").write_bytes(b"")
    future(folder / "x.npy")
    read_only(folder)
    with pytest.raises(OSError, match="Read-only") as refused:
        clock.bring_to_present([folder])
    assert str(refused.value.filename) == str(folder / "x.npy")


@pytest.mark.fault(
    "clock goes backwards while a training runs",
    "nothing: durations are taken from a clock that never goes back; the result is the same",
)
def test_clock_goes_backwards_in_a_training(fresh: Run, whole: Run) -> None:
    fault = """
import time
now = time.time()
def backwards():
    global now
    now -= 3600
    return now
time.time = backwards
time.time_ns = lambda: int(backwards() * 1e9)
"""
    assert fresh.train(fault=fault).status == 0
    assert_same_training(fresh.out, whole.out)
    log = (fresh.out / "log.jsonl").read_text()
    assert '"seconds": -' not in log
    assert fresh.sample(fault=fault).status == 0 and fresh.evaluate(fault=fault).status == 0
    assert fresh.metrics.exists()


@pytest.mark.fault(
    "workflow started with a read-only results folder",
    "one message with the path and the reason before any job runs",
)
def test_workflow_with_read_only_results(_project: Project, read_only: ReadOnly) -> None:
    results = _project / "results"
    shutil.rmtree(results, ignore_errors=True)
    read_only(results)
    output = _project.run("snakemake", "--cores", "2", "--", "all", ok=False)
    assert "results/smoke: found Read-only file system, expected a file or folder that" in output
    assert "Check its permissions and the disk" in output and "Traceback" not in output


@pytest.mark.fault(
    "no write permission in data/cache/real_side",
    "features of real images are computed all the same; a warning names the file that could not be "
    "kept",
)
def test_read_only_cache_of_features(
    tmp_path: Path, read_only: ReadOnly, caplog: pytest.LogCaptureFixture
) -> None:
    images = np.random.default_rng(0).normal(size=(9, 3, 4, 4)).astype(np.float32)
    extractor = FeatureExtractor("test", "0" * 64, lambda part: part.flatten(1))
    cache = read_only(tmp_path / "cache")
    with caplog.at_level(logging.WARNING):
        found = real_features(images, extractor, cache=cache)
    assert np.array_equal(found, extractor(images))
    assert f"{cache}/test-" in caplog.text and "cannot be kept" in caplog.text
    assert "Read-only file system" in caplog.text
    assert list(cache.iterdir()) == []
