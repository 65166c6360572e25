"""Ctrl-C, and SIGTERM to all, while trainings run: nothing half written, and it goes on."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from tiny_project import Project, make_project, num_steps_for_epsilon_1, tiny_params, wait_until

pytestmark = pytest.mark.slow
RUN = "gaussian-d2/enot-eps1-seed0"
TARGET = f"results/smoke/runs/{RUN}/checkpoint.safetensors"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose training writes a checkpoint every 0.2 s and never ends."""
    params = tiny_params()
    params["compute"]["checkpoint_seconds"] = 0.2
    num_steps_for_epsilon_1(10**7)(params)
    return make_project(tmp_path_factory.mktemp("interrupt"), params)


def stopped(project: Project, sent: signal.Signals) -> tuple[int, str]:
    """Exit code and output of the workflow, sent a signal with all its jobs while one trains."""
    checkpoint = project / f"results/smoke/checkpoints/{RUN}/training_state.safetensors"
    seen = {checkpoint.stat().st_mtime_ns} if checkpoint.exists() else set()
    enough = len(seen) + 2  # the first may be the one before, put back where the first stop hit

    def is_training() -> bool:
        with contextlib.suppress(FileNotFoundError):  # none yet, or it is being replaced
            seen.add(checkpoint.stat().st_mtime_ns)
        return len(seen) >= enough

    with open(project / "output.txt", "w+b") as output:
        process = subprocess.Popen(
            ["snakemake", "--cores", "2", "--", TARGET],
            cwd=project.folder,
            env=project.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until(is_training)
            os.killpg(process.pid, sent)  # as a terminal does at Ctrl-C
            code = process.wait(timeout=90)
            wait_until(lambda: not is_running(process.pid))  # a job may end after Snakemake
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return code, output.read().decode(errors="replace")


def is_running(group: int) -> bool:
    """Whether any process of this group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def half_files(project: Project) -> list[Path]:
    """Temporary files below results, and outputs of the job that was stopped."""
    results = project / "results"
    return [*results.rglob("*.part"), *(results / "smoke/runs").rglob("*.safetensors")]


def test_stopped_by_a_signal_it_leaves_no_half_file_and_goes_on(project: Project) -> None:
    for sent in (signal.SIGINT, signal.SIGTERM):
        code, output = stopped(project, sent)
        assert code != 0
        assert half_files(project) == []
        end = output[output.index("INTERRUPTED: 1 job") :]
        assert "train: training gaussian-d2 enot-eps1-seed0" in end
        assert "    | train gaussian-d2 enot-eps1-seed0: " in end  # the last line of its log
        assert "Run the same command again: it goes on from here" in end
        assert "FAILED" not in output
    # The second time, the same command went on from the first's steps.
    assert "Removed the locks" not in output  # Snakemake had ended in good order
    assert re.search(r"resumed at step [1-9]\d* of 10000000", output)


def test_the_command_alone_says_how_to_go_on(project: Project) -> None:
    """`entropic-ot train`, as a job of a cluster would run it, at SIGTERM and at Ctrl-C."""
    project.run("entropic-ot", "configure")
    for sent, code, word in [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interr")]:
        work = project / f"alone-{word}"
        process = subprocess.Popen(
            [
                *("entropic-ot", "train", "--config", f"results/smoke/config/{RUN}.json"),
                *("--out", str(work / "out"), "--work", str(work / "work")),
            ],
            cwd=project.folder,
            env=project.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until((work / "work/training_state.safetensors").exists)
        process.send_signal(sent)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == code
        assert f"{word}" in errors.splitlines()[-1]
        assert "the same command goes on from the last checkpoint" in errors.splitlines()[-1]
        assert list(work.rglob("*.part")) == []
        assert not (work / "out").exists()
