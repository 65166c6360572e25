"""What the Snakefile says when a run of the workflow did not end well: what failed first.

It reads Snakemake's own log, the one place where a failed job stands with the rule and the log file
that it had.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NUM_LINES = 5
"""Lines of a failed job's log that are shown."""
INTERRUPTED = "Terminating processes on user request"
"""What Snakemake logs at the first Ctrl-C."""
STOPPED = ("exit status 130", "exit status 143", "died with <Signals.SIG")
"""How it words the end of a job by Ctrl-C or SIGTERM."""
GO_ON = (
    "Nothing is half written. Run the same command again: it goes on from here. What is finished "
    "stays, and a training continues from its last checkpoint."
)


@dataclass(frozen=True)
class FailedJob:
    """A job as Snakemake's log tells of it."""

    rule: str
    message: str
    """What it did, with case and run: "training gaussian-d2 enot-eps1-seed0"."""
    log: str
    """Its log file; empty where it has none."""


def failed_jobs(log: str) -> list[FailedJob]:
    """Each job that failed once, from the text of Snakemake's log."""
    messages = dict(re.findall(r"^Job (\d+): (.*)$", log, flags=re.MULTILINE))
    failed: dict[FailedJob, None] = {}
    for part in re.split(r"^\s*Error in rule ", log, flags=re.MULTILINE)[1:]:
        rule = part.partition(":")[0]
        number = re.search(r"^\s+jobid: (\d+)$", part, flags=re.MULTILINE)
        match = re.search(r"^\s+log: (.*?)(?: \(check log file.*)?$", part, flags=re.MULTILINE)
        message = messages.get(number.group(1), "") if number else ""
        failed[FailedJob(rule, message, match.group(1) if match else "")] = None
    return list(failed)


def was_interrupted(log: str) -> bool:
    """Whether the run ended by Ctrl-C, or by a signal to its jobs, and no job failed by itself."""
    ends = re.findall(r"returned non-zero (exit status \d+)|(died with <Signals\.\w+)", log)
    stopped = [any(end.startswith(STOPPED) for end in found) for found in ends]
    return INTERRUPTED in log or (bool(stopped) and all(stopped))


def report_failures(snakemake_logs: Sequence[str]) -> None:
    """Say on stderr what failed or was stopped, why, where to read more, and how to go on."""
    logs = [Path(log) for log in snakemake_logs if Path(log).is_file()]
    text = "\n".join(log.read_text(errors="replace") for log in logs)
    failed, interrupted = failed_jobs(text), was_interrupted(text)
    word = "INTERRUPTED" if interrupted else "FAILED"
    lines = ["", f"{word}: {len(failed)} job{'s' if len(failed) != 1 else ''}"]
    for job in failed:
        lines.append(f"  {job.rule}: {job.message}".rstrip(": "))
        lines += [f"    | {line}" for line in _last_lines(job.log, 1 if interrupted else NUM_LINES)]
        lines.append(f"    log: {job.log or 'none; see above'}")
    print("\n".join([*lines, GO_ON, ""]), file=sys.stderr)


def _last_lines(path: str, count: int) -> list[str]:
    try:
        text = Path(path).read_text(errors="replace")
    except (OSError, ValueError):
        return []
    return [line for line in text.replace("\r", "\n").splitlines() if line.strip()][-count:]
