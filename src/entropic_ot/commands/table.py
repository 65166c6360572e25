"""`entropic-ot table`: metrics.csv, over_time.csv, metrics.md, and for DVC metrics.json and
losses.csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from entropic_ot.errors import ConfigError
from entropic_ot.experiments import over_time
from entropic_ot.experiments.losses import losses_as_csv
from entropic_ot.experiments.tables import as_csv, as_markdown, as_nested, read_rows
from entropic_ot.files import write_json, write_text


def table(metrics: Sequence[Path], out: Path, *, logs: Sequence[Path] = ()) -> None:
    """Gather the rows of all metrics files into the folder `out`.

    Args:
        metrics: one file a run.
        out: folder for the tables.
        logs: the runs' log.jsonl in the same order; none: no losses.csv.
    """
    if logs and len(logs) != len(metrics):
        raise ConfigError(
            f"--logs: found {len(logs)} logs for {len(metrics)} metrics files, expected one for "
            "each, in the same order"
        )
    rows_of_runs = [read_rows([file]) for file in metrics]
    rows = [row for rows in rows_of_runs for row in rows]
    write_text(out / "metrics.csv", as_csv(rows))
    write_text(out / over_time.FILE, over_time.as_csv(over_time.read_over_time(metrics)))
    write_text(out / "metrics.md", as_markdown(rows))
    write_json(out / "metrics.json", as_nested(rows))
    if logs:
        runs = [(found[0], log) for found, log in zip(rows_of_runs, logs, strict=True) if found]
        write_text(out / "losses.csv", losses_as_csv(runs))
    print(f"{out}: {len(rows)} rows of {len(metrics)} runs")
