"""The log.jsonl of trainings, finished or running, as TensorBoard's event files.

Trainings know nothing of it: they write log.jsonl whether or not anyone looks.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from entropic_ot.errors import ConfigError

NOT_CURVES = ("step", "seconds")


class LogFollower:
    """The records of a log.jsonl that grows, and that a resumed training writes anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode: int | None = None
        self._offset = 0

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """(records since the last call, whether the file is another one than it was then).

        Of another one all records are new. A line that is not finished yet waits for the next call;
        a file that is not there has no records.
        """
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                replaced = self._inode is not None and (
                    status.st_ino != self._inode or status.st_size < self._offset
                )
                if replaced:
                    self._offset = 0
                self._inode = status.st_ino
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return [], False
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [record for line in whole.splitlines() if (record := _record(line))], replaced


def _record(line: bytes) -> dict[str, Any] | None:
    """A line of log.jsonl; None for what a killed process left of one."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


class Writer(Protocol):
    """What is used of TensorBoard's SummaryWriter."""

    def add_scalar(
        self, tag: str, scalar_value: float, global_step: int, walltime: float
    ) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def summary_writer(folder: Path, purge_step: int | None) -> Writer:
    """TensorBoard's own; it takes back what was written of `purge_step` and later.

    Raises:
        ConfigError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError.about(
            "tensorboard",
            found="no such package in this environment",
            expected="TensorBoard, which draws the curves",
            action="`make curves` installs it; or: pip install tensorboard",
        ) from None
    writer: Writer = SummaryWriter(  # type: ignore[no-untyped-call]
        str(folder), purge_step=purge_step
    )
    return writer


class Curves:
    """The event files of several trainings, kept in step with their logs."""

    def __init__(self, logs: Mapping[str, Path], out: Path) -> None:
        """`logs`: name of a training (a relative path below `out`) -> its log.jsonl."""
        self.out = out
        self._followers = {name: LogFollower(path) for name, path in logs.items()}
        self._writers: dict[str, Writer] = {}

    def update(self) -> int:
        """Write what is new in the logs; returns how many records that was."""
        found = 0
        for name, follower in self._followers.items():
            records, replaced = follower.read()
            if records:
                self._write(name, records, replaced=replaced)
            found += len(records)
        return found

    def _write(self, name: str, records: list[dict[str, Any]], *, replaced: bool) -> None:
        folder = self.out / name
        if name not in self._writers:
            shutil.rmtree(folder, ignore_errors=True)  # of an earlier call: all is written again
            self._writers[name] = summary_writer(folder, None)
        elif replaced:
            self._writers[name].close()
            self._writers[name] = summary_writer(folder, records[0]["step"])
        writer = self._writers[name]
        # When a record was written is not in the log; the seconds between two are.
        last = self._followers[name].path.stat().st_mtime
        began = last - float(records[-1].get("seconds", 0.0))
        for record in records:
            at = began + float(record.get("seconds", 0.0))
            for key, value in record.items():
                if key not in NOT_CURVES and isinstance(value, (int, float)):
                    writer.add_scalar(key, value, record["step"], walltime=at)
        writer.flush()

    def close(self) -> None:
        """Finish the event files."""
        for writer in self._writers.values():
            writer.close()
