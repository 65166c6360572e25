"""`entropic-ot table`: metrics.csv (tidy), metrics.md (to read), metrics.json (for DVC)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from entropic_ot.experiments.tables import as_csv, as_markdown, as_nested, read_rows
from entropic_ot.files import write_json, write_text


def table(metrics: Sequence[Path], out: Path) -> None:
    """Gather the rows of all metrics files into the folder `out`."""
    rows = read_rows(metrics)
    write_text(out / "metrics.csv", as_csv(rows))
    write_text(out / "metrics.md", as_markdown(rows))
    write_json(out / "metrics.json", as_nested(rows))
    print(f"{out}: {len(rows)} rows of {len(metrics)} runs")
