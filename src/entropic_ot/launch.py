"""Starting a command again in several processes, by torchrun (torch.distributed.run)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from entropic_ot.errors import ConfigError

VARIABLE = "EOT_PROCESSES"
"""Environment variable: the number of processes where `--processes` is not given."""


def num_processes(option: int | None) -> int:
    """Processes to start: the option, else the environment variable, else 1.

    1 in a process that torchrun has started. Raises ConfigError.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return 1
    given: str | int = os.environ.get(VARIABLE) or 1 if option is None else option
    try:
        number = int(given)
    except ValueError:
        number = 0
    if number < 1:
        raise ConfigError.about(
            VARIABLE if option is None else "--processes", found=repr(given),
            expected="an integer >= 1", action="Change it.",
        )  # fmt: skip
    return number


def in_processes(processes: int, arguments: Sequence[str]) -> int:
    """Run `entropic-ot ARGUMENTS` in so many processes; returns the exit status.

    The threads that this process would have are divided among them. When one fails, torchrun stops
    the others; it is the failed one that says why.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "")
    total = int(threads) if threads.isdecimal() else os.cpu_count() or 1
    os.environ["OMP_NUM_THREADS"] = str(max(1, total // processes))  # before torch is imported
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    parsed = parse_args(["--standalone", f"--nproc-per-node={processes}", "-m", "entropic_ot"])
    # Its parser would take our options for abbreviations of its own (--run for --run-path).
    parsed.training_script_args = list(arguments)
    try:
        run(parsed)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        print(
            f"entropic-ot: process {rank + 1} of {processes} failed (exit status "
            f"{failure.exitcode}); what it said stands above",
            file=sys.stderr,
        )
        return 1
    except SignalException as error:
        print(
            f"entropic-ot: stopped by {error.sigval.name}; the same command goes on from the last "
            "checkpoint",
            file=sys.stderr,
        )
        return 128 + error.sigval.value
    return 0
