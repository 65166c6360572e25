"""Tidy tables as CSV, written and read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from entropic_ot.errors import DataError

Line = TypeVar("Line")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A head and one line per row; None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def csv_lines(path: str | Path, parse: Callable[[dict[str, str]], Line]) -> list[Line]:
    """`parse` of each line; DataError where the file is missing or lacks what `parse` reads."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [parse(line) for line in csv.DictReader(file)]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError.about(
            path,
            found=f"{type(error).__name__}: {error}",
            expected="the table that `entropic-ot table` writes",
            action="Run the workflow again.",
        ) from None
