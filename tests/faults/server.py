"""Runs commands of entropic-ot, each in a fork of a process that has loaded PyTorch once.

One JSON object a line on stdin: argv, the folder to run in, the file for what is printed, and
Python code that is executed first, which injects a fault. The answers: the number of the process,
and when it has ended its exit status (negative: the signal).
"""

from __future__ import annotations

import json
import os
import sys

# Before the first fork: what every command would load.
import torch

from entropic_ot import cli
from entropic_ot.commands import evaluate, fetch, prepare, sample, train

__all__ = ["evaluate", "fetch", "prepare", "sample", "train"]


torch.optim.Adam([torch.zeros(1, requires_grad=True)]).state_dict()  # loads what is slow to load


def run(job: dict[str, str]) -> int:
    os.chdir(job["folder"])
    printed = os.open(job["printed"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    exec(job["fault"], {"__name__": "fault"})
    return cli.main(job["argv"])


def main() -> None:
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            status = 1
            try:
                status = run(json.loads(line))
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
    os._exit(0)  # without taking down what was loaded, which takes seconds


if __name__ == "__main__":
    main()
