"""scripts/run_on_gpu.sh as it is, at scale smoke on a CPU, with random digits for MNIST's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from test_generators import write_digits
from tiny_project import REPOSITORY, Project

pytestmark = pytest.mark.extra

RUN = "cmnist_2to3-16px/enot-eps1-seed0"


def test_digits_are_prepared_a_classifier_is_trained_and_a_run_is_judged(tmp_path: Path) -> None:
    for name in ("src", "scripts", "benchmarks"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    write_digits(Project(tmp_path))
    settings = {"SCALE": "smoke", "RUNS": RUN, "CASES": "import_package", "PYTHON": sys.executable}
    done = subprocess.run(
        ["scripts/run_on_gpu.sh", "out", "500"],
        cwd=tmp_path,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "import_package," in (tmp_path / "out/bench-gpu.csv").read_text()
    with tarfile.open(tmp_path / "out" / f"{RUN.replace('/', '-')}.tar.gz") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    metrics = tmp_path / "unpacked/results/smoke/metrics" / f"{RUN}.json"
    rows = {row["metric"]: row for row in json.loads(metrics.read_text())["rows"]}
    assert {"share_three", "fd_lenet", "hue_error"} <= rows.keys()  # two of them by the classifier
    assert (tmp_path / "unpacked/results/smoke/runs" / RUN / "checkpoint.safetensors").is_file()
