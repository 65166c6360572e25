"""results/bench.csv: one row a case; written whole or not at all, other cases' rows are kept."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from entropic_ot.errors import DataError
from entropic_ot.files import atomic_path

COLUMNS = (
    "case",
    "reference_seconds",
    "fast_seconds",
    "ratio",
    "agreement",
    "reference_peak_mb",
    "fast_peak_mb",
    "flops",
    "share_of_peak",
    "device",
    "threads",
    "precision",
    "compile",
    "commit",
    "torch",
    "cosine",
    "repeats",
    "matmul_peak",
)
SHOWN = COLUMNS[:9]
"""What the printed table shows; the rest is the same in most rows."""

Row = dict[str, str]


def format_row(values: Mapping[str, object]) -> Row:
    """All columns as text: numbers with four digits, None as an empty cell."""
    unknown = set(values) - set(COLUMNS)
    assert not unknown, f"no such columns: {unknown}"
    return {column: _cell(values.get(column)) for column in COLUMNS}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def read_rows(path: Path) -> list[Row]:
    """The rows of the file, none when it is not there; DataError when its columns are others."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise DataError.about(
                path,
                found=f"the columns {', '.join(reader.fieldnames or ())}",
                expected=", ".join(COLUMNS),
                action="Delete the file or name another one by --out.",
            )
        return list(reader)


def update_rows(path: Path, row: Row, order: list[str]) -> None:
    """Put `row` in the place of its case's row; rows stand in this order, unknown cases last."""
    rows = {r["case"]: r for r in read_rows(path)} | {row["case"]: row}
    rank = {name: i for i, name in enumerate(order)}
    ordered = sorted(rows.values(), key=lambda r: rank.get(r["case"], len(order)))
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)


def markdown(rows: list[Row], columns: tuple[str, ...] = SHOWN) -> str:
    """The rows as a Markdown table."""
    widths = [max(len(c), *(len(r[c]) for r in rows)) if rows else len(c) for c in columns]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w if i == 0 else "-" * (w - 1) + ":") for i, w in enumerate(widths)]
    return "\n".join(
        [line(list(columns)), line(rule), *(line([r[c] for c in columns]) for r in rows)]
    )
