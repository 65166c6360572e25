"""`entropic-ot summary`: one line per result, what was made and where."""

from __future__ import annotations

from pathlib import Path

from entropic_ot.experiments.params import Params, load_params
from entropic_ot.experiments.tables import read_rows


def summary(params_path: Path, scale: str | None) -> None:
    """Print runs with their metrics, then tables and figures; missing ones first."""
    params = load_params(params_path, scale=scale)
    missing, lines = [], []
    for run in params.runs:
        file = params.layout.metrics(run.case, run.name)
        if file.exists():
            lines.append(_run_line(run.case, run.name, file))
        else:
            missing.append(f"  not made  {run.case} {run.name}: {file}")
    made = _made(params)
    for text in [*missing, *lines, *made, *(f"  {line}" for line in params.left_out)]:
        print(text)


def _run_line(case: str, name: str, file: Path) -> str:
    rows = read_rows([file])
    values = "  ".join(f"{row['metric']}={row['value']:.4g}" for row in rows)
    return f"  {case:<18} {name:<24} {values}"


def _made(params: Params) -> list[str]:
    layout = params.layout
    files = [layout.tables / "metrics.csv", layout.tables / "metrics.md"]
    files += [layout.figures / f"{name}.png" for name in params.figures]
    files += [layout.figures / f"{name}.pdf" for name in params.figures]
    return [f"  {'made' if file.exists() else 'not made':<9} {file}" for file in files]
