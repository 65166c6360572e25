"""What is said when a run of the workflow did not end well."""

from __future__ import annotations

from pathlib import Path

import pytest
from ending import FailedJob, failed_jobs, report_failures, was_interrupted

STARTED = """\
[Sat Nov 21 22:38:00 2026]
Job 51: training a b
[Sat Nov 21 22:38:00 2026]
Job 52: drawing c
"""
FAILED = """\
CalledProcessError in file "train.smk", line 63:
Command 'entropic-ot train' returned non-zero exit status {status}.
[Sat Nov 21 22:39:38 2026]
Error in rule train:
    message: None
    jobid: 51
    output: results/smoke/runs/a/b/checkpoint.safetensors
    log: results/smoke/logs/train/a/b.log (check log file(s) for error details)
    shell:
        (entropic-ot train) 2>&1 | tee results/smoke/logs/train/a/b.log
        (command exited with non-zero exit code)
"""
OTHER = """
[Sat Nov 21 22:39:39 2026]
Error in rule figure:
    jobid: 52
    log: results/smoke/logs/figure/c.log (check log file(s) for error details)
"""
LOG = STARTED + FAILED.format(status=1) + OTHER


def test_failed_jobs_are_read_from_the_log() -> None:
    assert failed_jobs(LOG) == [
        FailedJob("train", "training a b", "results/smoke/logs/train/a/b.log"),
        FailedJob("figure", "drawing c", "results/smoke/logs/figure/c.log"),
    ]
    assert failed_jobs("all went well") == []


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (LOG, False),
        (STARTED, False),
        (STARTED + FAILED.format(status=130), True),
        (STARTED + FAILED.format(status=143), True),
        (STARTED + FAILED.format(status=143) + FAILED.format(status=1), False),
        ("Terminating processes on user request, this might take some time.\n" + LOG, True),
        ("Command 'x' died with <Signals.SIGTERM: 15>.\n" + STARTED, True),
    ],
)
def test_an_interruption_is_no_failure(log: str, expected: bool) -> None:
    assert was_interrupted(log) == expected


def reported(
    log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    monkeypatch.chdir(tmp_path)
    job_log = tmp_path / "results/smoke/logs/train/a/b.log"
    job_log.parent.mkdir(parents=True)
    job_log.write_text("progress\r100%\nerror: no space\n")
    (tmp_path / "snakemake.log").write_text(log)
    report_failures([str(tmp_path / "snakemake.log"), "no such file"])
    return capsys.readouterr().err.splitlines()


def test_failures_are_reported_with_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = reported(LOG, tmp_path, monkeypatch, capsys)
    assert lines[1:9] == [
        "FAILED: 2 jobs",
        "  train: training a b",
        "    | progress",
        "    | 100%",
        "    | error: no space",
        "    log: results/smoke/logs/train/a/b.log",
        "  figure: drawing c",
        "    log: results/smoke/logs/figure/c.log",
    ]
    assert "Run the same command again" in lines[9]


def test_an_interruption_is_told_in_fewer_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = STARTED + FAILED.format(status=130)
    lines = reported(log, tmp_path, monkeypatch, capsys)
    assert lines[1:4] == ["INTERRUPTED: 1 job", "  train: training a b", "    | error: no space"]
