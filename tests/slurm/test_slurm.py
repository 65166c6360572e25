"""The workflow on a real Slurm: submitted, killed, retried, without internet on any node."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import (
    SCRIPTS,
    Cluster,
    missing,
    running_cluster,
    snakemake,
    snakemake_words,
)
from tiny_project import Project, make_project, tiny_params, wait_until

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]
LONG_RUN = "enot-eps0.1-seed0"
CONNECT = "import socket; socket.create_connection(('{}', {}), timeout=5)"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # More than a training and the groups beside it ask for, whatever this machine has.
    with running_cluster(SLURM_TEST_CPUS="8") as running:
        yield running


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny project, one of whose trainings is long enough to be killed half-way."""
    params = tiny_params()
    params["compute"]["checkpoint_seconds"] = 0.5
    enot = params["scales"]["smoke"]["experiments"]["gaussian"]["methods"]["enot"]
    enot["per_epsilon"] = {0.1: {"num_steps": 1500}}
    return make_project(tmp_path_factory.mktemp("slurm"), params)


def test_starts_once_and_stops(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_cluster(SLURM_TEST_PORT="26817") as second:
        pids = {
            name: int((second.folder / name).read_text())
            for name in ("slurmctld.pid", "slurmd.pid", "munge/pid")
        }
        start = ("nsenter", f"--net={second.namespace}", str(SCRIPTS / "start.sh"))
        subprocess.run((*start, str(second.folder)), check=True, capture_output=True, timeout=60)
        assert pids == {name: int((second.folder / name).read_text()) for name in pids}
        second.run("sbatch", "--output=/dev/null", "--wrap", "sleep 1000")
        wait_until(lambda: bool(second.jobs("RUNNING")), seconds=30)
    for name, pid in pids.items():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
            pytest.fail(f"{name}: {pid} is alive")


def test_nodes_have_no_internet(cluster: Cluster) -> None:
    # With internet the first, an address for documentation, would be waited for in vain.
    for host, refusal in (("192.0.2.1", "unreachable"), ("example.org", "name resolution")):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            cluster.run("srun", "python3", "-c", CONNECT.format(host, 80))
        assert refusal in refused.value.stderr
    # The check itself finds a server where there is one.
    cluster.run("srun", "python3", "-c", CONNECT.format("127.0.0.1", 16817))


def test_killed_training_is_retried_from_its_checkpoint(cluster: Cluster, project: Project) -> None:
    words = cluster.inside(*snakemake_words("--", "all"))
    output = project / "snakemake.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            words, cwd=project.folder, env=project.environment, stdout=log, stderr=log
        )
    try:
        work = project / f"results/smoke/checkpoints/gaussian-d2/{LONG_RUN}"
        wait_until(lambda: any(work.glob("*.safetensors")), seconds=600)
        (job,) = (job for job, what in cluster.jobs("RUNNING").items() if what.endswith(LONG_RUN))
        cluster.run("scancel", job)
        assert process.wait(timeout=1800) == 0, output.read_text()
    finally:
        if process.poll() is None:
            process.kill()  # a politer signal makes it wait for jobs that will not end
            process.wait()
    said = output.read_text()
    assert f"SLURM-job '{job}' failed" in said
    assert said.count("Trying to restart job") == 1
    log_file = project / f"results/smoke/logs/train/gaussian-d2/{LONG_RUN}.log"
    resumed = re.search(r"resumed at step (\d+) of 1500", log_file.read_text())
    assert resumed is not None and int(resumed.group(1)) > 0


def test_what_was_asked_for_and_where(cluster: Cluster, project: Project) -> None:
    # After the test above, whose jobs squeue still shows.
    jobs = cluster.jobs()
    assert not project.planned()
    trainings = [job for job, what in jobs.items() if "rule_train_" in what]
    assert len(trainings) == 4  # three runs, one of them twice
    for job in trainings:
        assert re.search("Tres.*gres[:/]gpu[:=]1", cluster.requested(job))
        assert jobs[job].startswith("gpu ")
    judges = [job for job, what in jobs.items() if "rule_judge" in what]
    assert len(judges) == 1  # sampling and evaluation of all runs
    asked = cluster.requested(judges[0])
    assert "Partition=cpu" in asked and "gres" not in asked
    assert "NumCPUs=1 " in asked and "MinMemoryNode=4000M" in asked  # one after another
    assert "TimeLimit=03:00:00" in asked  # the sum


def test_trainings_as_one_array(cluster: Cluster, tmp_path: Path) -> None:
    project = make_project(tmp_path / "array")
    before = set(cluster.jobs())
    runs = [f"results/smoke/runs/gaussian-d2/enot-eps{eps}-seed0" for eps in ("0.1", "1")]
    files = [f"{run}/checkpoint.safetensors" for run in runs]
    snakemake(cluster, project, "--slurm-array-jobs", "train", "--", *files)
    array = sorted(set(cluster.jobs()) - before)
    assert len(array) == 2 and all(re.fullmatch(r"\d+_[12]", job) for job in array)
    assert all((project / file).exists() for file in files)


def test_within_an_allocation(cluster: Cluster, tmp_path: Path) -> None:
    project = make_project(tmp_path / "allocation")
    file = "results/smoke/runs/gaussian-d2/enot-eps1-seed0/checkpoint.safetensors"
    before = set(cluster.jobs())
    command = f"snakemake --cores 2 -- {file}"
    words = ("sbatch", "--wait", "--gpus=1", "--cpus-per-task=2", f"--wrap={command}")
    project.run(*cluster.inside(*words))
    assert (project / file).exists()
    assert len(set(cluster.jobs()) - before) == 1  # nothing was submitted from within
