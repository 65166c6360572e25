"""The losses of all trainings in one tidy table, for `dvc plots`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from entropic_ot.errors import DataError
from entropic_ot.experiments.tables import case_of

LOSS_COLUMNS = ("case", "method", "epsilon", "seed", "step", "loss", "value")
# More lines than a plot of a few hundred pixels can show.
MAX_LINES = 100


def losses_as_csv(runs: Iterable[tuple[dict[str, Any], Path]]) -> str:
    """Tidy CSV: one line per run, logged step and loss; of long logs every k-th step and the last.

    Args:
        runs: for each run one of its rows of metrics, which tell what run it is, and its log.jsonl.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(LOSS_COLUMNS)
    for row, log in runs:
        run = (case_of(row), row["method"], row["epsilon"], row["seed"])
        writer.writerows((*run, *values) for values in _losses(thinned(read_log(log), MAX_LINES)))
    return text.getvalue()


def _losses(records: Iterable[dict[str, Any]]) -> Iterator[tuple[int, str, float]]:
    for record in records:
        for name, value in record.items():
            if name not in ("step", "seconds"):
                yield record["step"], name, value


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log.jsonl; DataError when a line is none."""
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not all(isinstance(record, dict) and "step" in record for record in records):
            raise ValueError("a line without `step`")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError.about(
            path,
            found=f"{type(error).__name__}: {error}",
            expected="the log of a training, a JSON mapping with `step` on every line",
            action="Remove the folder of this run and run the workflow again.",
        ) from None
    return records


def thinned(records: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """At most `count` records at equal distances, of which the last is the last one."""
    stride = -(-len(records) // count) if records else 1
    return list(reversed(list(reversed(records))[::stride]))
