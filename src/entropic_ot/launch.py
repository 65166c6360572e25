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


def replace_by(processes: int, arguments: Sequence[str]) -> None:
    """Become torchrun, which runs `entropic-ot ARGUMENTS` so many times and ends with them.

    The threads that this process would have are divided among them.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "")
    total = int(threads) if threads.isdecimal() else len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = str(max(1, total // processes))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += [f"--nproc-per-node={processes}", "-m", "entropic_ot"]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [*torchrun, *arguments])
