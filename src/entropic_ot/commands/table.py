"""`entropic-ot table`: metrics.csv (tidy), metrics.md (to read), metrics.json (for DVC)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from entropic_ot.experiments.store import atomic_path, write_json
from entropic_ot.experiments.tables import as_csv, as_markdown, as_nested, read_rows


def table(metrics: Sequence[Path], out: Path) -> None:
    """Gather the rows of all metrics files into the folder `out`."""
    rows = read_rows(metrics)
    for name, text in (("metrics.csv", as_csv(rows)), ("metrics.md", as_markdown(rows))):
        with atomic_path(out / name) as temporary:
            temporary.write_text(text)
    write_json(out / "metrics.json", as_nested(rows))
    print(f"{out}: {len(rows)} rows of {len(metrics)} runs")
