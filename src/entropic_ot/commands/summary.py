"""`entropic-ot summary`: one line per result, what was made and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from entropic_ot.experiments.params import Params, load_params
from entropic_ot.experiments.statistics import floor_text
from entropic_ot.experiments.tables import read_rows


def summary(
    params_path: Path, scale: str | None, *, succeeded: bool = False, failed: bool = False
) -> None:
    """Print what is missing, runs with their metrics, then tables, figures and pages.

    After a run of the workflow that `succeeded`, all that it was asked for is there: what is
    missing was not asked for, and is counted in one line; so it is after one that `failed`.
    """
    params = load_params(params_path, scale=scale)
    missing, lines = [], []
    for run in params.runs:
        file = params.layout.metrics(run.case, run.name)
        if file.exists():
            lines.append(_run_line(run.case, run.name, file))
        else:
            missing.append(f"  not made  {run.case} {run.name}: {file}")
    for file in _tables_and_figures(params):
        if file.exists():
            lines.append(f"  made      {file}")
        else:
            missing.append(f"  not made  {file}")
    if succeeded and missing:
        missing = [
            f"  {len(missing)} results of `all` were not asked for in this run; "
            "`entropic-ot summary` lists them"
        ]
    elif failed and missing:
        missing = [
            f"  {len(missing)} of {len(missing) + len(lines)} results of `all` are not made yet; "
            f"`entropic-ot summary` lists them{'. Made so far:' if lines else ''}"
        ]
    for text in [*missing, *lines, *(f"  {line}" for line in params.left_out)]:
        print(text)


def _run_line(case: str, name: str, file: Path) -> str:
    rows = read_rows([file])
    return f"  {case:<18} {name:<24} {'  '.join(map(_value, rows))}"


def _value(row: dict[str, Any]) -> str:
    """ "bw_uvp_plan=0.07412 (n 10000, floor 0.031 ± 0.004)": no value says much without these."""
    known = row["floor"] is not None
    floor = f", floor {floor_text(row['floor'], row['floor_std'])}" if known else ""
    return f"{row['metric']}={row['value']:.4g} (n {row['n']}{floor})"


def _tables_and_figures(params: Params) -> list[Path]:
    layout = params.layout
    files = [layout.tables / name for name in ("metrics.csv", "metrics.md", "comparison.md")]
    for name in (*params.figures, "comparison"):
        files += [layout.figures / f"{name}.png", layout.figures / f"{name}.pdf"]
    return [*files, *layout.pages.values()]
