#!/usr/bin/env python
"""Keep the metrics of finished runs in git: docs/tables/metrics-SCALE.csv and comparison-SCALE.md.

    python scripts/keep_results.py paper results/paper/metrics [FOLDER ...]
    python scripts/keep_results.py paper        (only the comparison, from the rows that are kept)
    python scripts/keep_results.py laptop --memory results/laptop/benchmarks    (memory-laptop.csv)

Runs may come from several checkouts, on several days: each row names its commit and configuration.
A run that is kept already is replaced by the one that is given. Then
`python scripts/reproduction_tables.py` writes the tables of docs/reproduction.md.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from entropic_ot.errors import DataError
from entropic_ot.experiments import comparison
from entropic_ot.experiments.tables import COLUMNS, read_csv, read_rows
from entropic_ot.experiments.tidy import csv_lines, csv_text
from entropic_ot.files import write_text

REPOSITORY = Path(__file__).resolve().parents[1]
RUN = ("experiment", "variant", "method", "epsilon", "dim", "seed")
MEMORY = ("rule", "jobs", "max_rss_mb", "largest", "cpu_seconds")
Row = dict[str, Any]
Key = tuple[Any, ...]


def run_of(row: Row) -> Key:
    """What makes two rows those of one run; the same for rows of JSON and of CSV."""
    texts = [row[name] or "" for name in ("experiment", "variant", "method")]
    return (*texts, float(row["epsilon"]), int(row["dim"]), int(row["seed"]))


def merged(kept: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """All rows, run by run: experiments, variants and methods as they are met, then by numbers."""
    runs: dict[Key, list[Row]] = {}
    for row in kept:
        runs.setdefault(run_of(row), []).append(row)
    replaced: set[Key] = set()
    for row in new:
        if (run := run_of(row)) not in replaced:
            replaced.add(run)
            runs[run] = []
        runs[run].append(row)
    met = [{run[i]: place for place, run in reversed(list(enumerate(runs)))} for i in range(3)]

    def place(run: Key) -> Key:
        return *(order[text] for order, text in zip(met, run[:3], strict=True)), *run[3:]

    return [row for run in sorted(runs, key=place) for row in runs[run]]


def metrics_files(folders: Sequence[Path]) -> list[Path]:
    """results/<scale>/metrics/<case>/<run>.json of each folder."""
    found: list[Path] = []
    for folder in folders:
        files = sorted(folder.glob("*/*.json"))
        if not files:
            raise DataError(
                f"{folder}: found no metrics, expected <case>/<run>.json; give results/<scale>/"
                "metrics of a checkout in which runs have ended"
            )
        found += files
    return found


def comparison_of(table: Path) -> str:
    """The comparison with the papers, as Markdown."""
    published = comparison.load_paper_values(REPOSITORY / "workflow/paper_values.yaml")
    return comparison.as_markdown(comparison.compare(read_csv(table), published))


def memory_of_rules(folder: Path) -> list[Row]:
    """A row for each rule: its jobs, the one with the largest peak, and processor seconds of all.

    folder: results/<scale>/benchmarks, where Snakemake measures jobs every few seconds: those that
    end before it looks have no peak and no share in the seconds.
    """
    rows: list[Row] = []
    for rule in sorted(path for path in folder.iterdir() if path.is_dir()):
        jobs: dict[str, tuple[float, float]] = {}
        files = sorted(rule.rglob("*.tsv"))
        for file in files:
            (line,) = csv.DictReader(file.read_text().splitlines(), delimiter="\t")
            if (peak := line["max_rss"]) not in ("NA", "-"):
                name = file.relative_to(rule).with_suffix("").as_posix()
                jobs[name] = float(peak), float(line["cpu_time"])
        if not jobs:
            continue
        largest = max(jobs, key=lambda name: jobs[name][0])
        seconds = round(sum(cpu for _, cpu in jobs.values()))
        texts = (rule.name, len(files), round(jobs[largest][0]), largest, seconds)
        rows.append(dict(zip(MEMORY, texts, strict=True)))
    if not rows:
        raise DataError(f"{folder}: found no measured jobs, expected <rule>/<case>/<run>.tsv")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scale", help="smoke, laptop or paper")
    parser.add_argument("folders", nargs="*", type=Path, help="folders of metrics")
    parser.add_argument("--memory", type=Path, help="results/<scale>/benchmarks: peaks of memory")
    parser.add_argument("--tables", type=Path, default=REPOSITORY / "docs/tables")
    given = parser.parse_args(arguments)
    table = given.tables / f"metrics-{given.scale}.csv"
    try:
        if given.memory:
            peaks = csv_text(MEMORY, memory_of_rules(given.memory))
            write_text(given.tables / f"memory-{given.scale}.csv", peaks)
        new = read_rows(metrics_files(given.folders))
        others = sorted({row["scale"] for row in new} - {given.scale})
        if others:
            raise DataError(
                f"{given.folders[0]}: found rows of scale {', '.join(others)}, expected "
                f"{given.scale}; name the scale that the runs are of"
            )
        kept = csv_lines(table, lambda line: {name: line[name] for name in COLUMNS})
        rows = merged(kept, new)
        write_text(table, csv_text(COLUMNS, rows))
        write_text(given.tables / f"comparison-{given.scale}.md", comparison_of(table))
    except DataError as error:
        print(f"keep_results: {error}", file=sys.stderr)
        return 1
    print(f"{table}: {len(rows)} rows, {len(new)} of them new")
    return 0


if __name__ == "__main__":
    sys.exit(main())
