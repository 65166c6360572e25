"""Two repairs of Snakemake: targets after ``--resources``, and a scheduler that does not sleep.

Targets: ``snakemake --cores 8 --resources gpu=1 all`` is to run the target ``all``. Snakemake's
``--resources`` takes one or more words and so swallows a target that follows it ("Resource
definitions have to be in the form name=integer", snakemake issue 1069). Snakemake imports every
installed module whose name begins with ``snakemake_logger_plugin_`` while it builds its argument
parser, before it looks at ``sys.argv``: this module uses that moment to put the missing ``--``
before the targets. It must be installed normally; no option selects it, and where the arguments
are not of exactly this form it changes nothing.

Scheduler: while jobs are ready that have no room to run, Snakemake looks again after a second. It
starts a timer for that each time it looks, and it also looks whenever a job ends: so there is one
more of these timers for each job that has ended (snakemake issue 3804), and after 160 jobs it
looked 100 times a second and took a fifth of a processor. Here one timer is pending at most.
"""

import sys
import threading
from collections.abc import Sequence
from logging import LogRecord
from pathlib import PurePath
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase

_OPTIONS = ("--resources", "--res")


def with_separator(argv: Sequence[str]) -> list[str]:
    """`argv` with ``--`` between the definitions of ``--resources`` and the targets after them.

    That is done when ``--resources`` is followed by definitions (``name=value``), then by words
    of which none begins with ``-`` and none contains ``=``, and by nothing else. Everything else
    comes back as it was.
    """
    argv = list(argv)
    if "--" in argv:
        return argv
    starts = [i for i, word in enumerate(argv) if word in _OPTIONS]
    if not starts:
        return argv
    first = starts[-1] + 1
    end = first
    while end < len(argv) and _is_definition(argv[end]):
        end += 1
    targets = argv[end:]
    if end == first or not targets or any(w.startswith("-") or "=" in w for w in targets):
        return argv
    return [*argv[:end], "--", *targets]


def _is_definition(word: str) -> bool:
    name, equals, value = word.partition("=")
    return bool(equals and value) and name.isidentifier()


def _is_snakemake(program: str) -> bool:
    """Whether this process is the command `snakemake` or `python -m snakemake`."""
    path = PurePath(program)
    return path.name in ("snakemake", "snakemake.exe") or (
        path.name == "__main__.py" and path.parent.name == "snakemake"
    )


def reevaluate_once(scheduler: Any, delay: float) -> None:
    """In `delay` seconds the scheduler looks for jobs to run, unless that is to happen already."""
    if getattr(scheduler, "_reevaluation_is_pending", False):
        return

    def look() -> None:
        scheduler._reevaluation_is_pending = False  # first, or a look could be lost
        scheduler._open_jobs.release()

    scheduler._reevaluation_is_pending = True
    timer = threading.Timer(delay, look)
    timer.daemon = True  # the end of a run does not wait for it
    timer.start()


if sys.argv and _is_snakemake(sys.argv[0]):
    sys.argv[1:] = with_separator(sys.argv[1:])
    from snakemake.scheduling.job_scheduler import JobScheduler

    if hasattr(JobScheduler, "_schedule_reevalutation"):  # Snakemake's spelling
        JobScheduler._schedule_reevalutation = reevaluate_once


class LogHandler(LogHandlerBase):
    """What the plugin interface demands; it logs nothing."""

    def __post_init__(self) -> None:
        pass

    def emit(self, record: LogRecord) -> None:
        pass

    @property
    def writes_to_stream(self) -> bool:
        return False

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return False

    @property
    def has_formatter(self) -> bool:
        return False

    @property
    def needs_rulegraph(self) -> bool:
        return False
