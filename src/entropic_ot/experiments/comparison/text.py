"""Comparison tables as Markdown, tidy CSV and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from entropic_ot.experiments.comparison.build import (
    INDEPENDENT,
    MEAN_OF_SETTINGS,
    SETTINGS,
    Comparison,
    Entry,
    Line,
)
from entropic_ot.experiments.comparison.paper_values import METHOD_LABELS, PaperValue
from entropic_ot.experiments.statistics import floor_text
from entropic_ot.experiments.tables import points_text
from entropic_ot.experiments.tidy import csv_text
from entropic_ot.files import write_text

COLUMNS = (
    *("experiment", "variant", "dim", "epsilon", "metric", "method"),
    *("mean", "half_width", "num_seeds", "floor", "floor_std"),
    *("paper_value", "paper_half_width", "paper_mark"),
    *("train_seconds", "device", "commits"),
)
NOTES = (
    "±: half of the 95 % interval of the mean over training seeds (Student's t); a single seed has "
    "no interval.",
    "Bold: the best in its line, where its interval does not overlap that of the next.",
    "†: worse than the paper's value for the same method on the same problem.",
    "‡: of another draw of the problem's random parameters (covariances, mixtures, hues, splits) "
    "by the same construction, or of another number of images. It stands there for scale: ours is "
    "judged neither better nor worse than it.",
    "(m): remembered, not read from the paper. Sources: workflow/paper_values.yaml.",
    "floor: what an exact sampler, or as many real training images, gets with as many points (± "
    "the standard deviation over such samplers, of energy_distance); of "
    "conditional_energy_distance what samples of a second, independent reference plan get: the "
    "errors of both plans are in it, so an exact sampler gets half of it in the mean.",
    "bw_uvp_path: ENOT by its own process, the others by bridges between pairs, at the same times.",
    "train s: mean seconds of one training. –: not run, or not known.",
)
NOTHING, WORSE = "–", "†"


@dataclass(frozen=True)
class _Cell:
    """The lines of text in a cell."""

    parts: tuple[str, ...]
    bold: bool = False


def method_label(method: str) -> str:
    """A method as it is written in text: enot is ENOT; peers have their printed names."""
    return METHOD_LABELS.get(method, method)


def line_label(line: Line) -> str:
    """Variant and dimension of a line, in words."""
    if line.variant is None:
        return f"D = {line.dim}"
    variant = f"mean of {' and '.join(SETTINGS)}"
    return f"{variant if line.variant == MEAN_OF_SETTINGS else line.variant} (D = {line.dim})"


def heading(table: Comparison) -> str:
    """Experiment, metric, unit, direction and, where its bias depends on it, number of points."""
    definition = table.definition
    unit = f" [{definition.unit}]" if definition.unit else ""
    words = {True: ", lower is better", False: ", higher is better", None: ""}
    points = ""
    if definition.depends_on_n and table.num_points:
        points = f", {points_text(table.num_points)}"
    return f"{table.experiment}: {table.metric}{unit}{words[definition.lower_is_better]}{points}"


def as_csv(tables: Sequence[Comparison]) -> str:
    """Tidy CSV: one line per line of a table and method; empty: not run or not known."""
    return csv_text(
        COLUMNS,
        (
            _tidy(table, line, entry)
            for table in tables
            for line in table.lines
            for entry in line.entries.values()
        ),
    )


def _tidy(table: Comparison, line: Line, entry: Entry) -> dict[str, object]:
    measured, paper = entry.measured, entry.paper
    return {
        "experiment": table.experiment,
        "variant": line.variant,
        "dim": line.dim,
        "epsilon": line.epsilon,
        "metric": table.metric,
        "method": entry.method,
        "mean": measured and measured.mean,
        # No seed enters the independent coupling, so that seeds give no interval.
        "half_width": measured and (None if entry.method == INDEPENDENT else measured.half_width),
        "num_seeds": measured and measured.num_seeds,
        "floor": entry.floor,
        "floor_std": entry.floor_std,
        "paper_value": paper and paper.value,
        "paper_half_width": paper and paper.interval,
        "paper_mark": paper and paper.mark,
        "train_seconds": entry.train_seconds,
        "device": "; ".join(entry.devices),
        "commits": " ".join(entry.commits),
    }


def as_markdown(tables: Sequence[Comparison]) -> str:
    """A table per experiment and metric under headings of level 3, and notes on the marks."""
    parts = []
    for table in tables:
        header, *rows = _cells(table)
        lines = [f"### {heading(table)}", "", _markdown_row(header), "|" + "---|" * len(header)]
        parts.append("\n".join(lines + [_markdown_row(row) for row in rows]))
    parts.append("\n".join(f"- {note}" for note in NOTES))
    return "\n\n".join(parts) + "\n"


def _markdown_row(cells: Sequence[_Cell]) -> str:
    texts = ["; ".join(cell.parts).replace("|", r"\|") for cell in cells]
    marked = [f"**{t}**" if cell.bold else t for t, cell in zip(texts, cells, strict=True)]
    return "| " + " | ".join(marked) + " |"


def as_latex(tables: Sequence[Comparison]) -> str:
    """A table environment per experiment and metric, to be read by \\input."""
    parts = [r"% Needs \usepackage{booktabs,graphicx}. Made by workflow/notebooks/tables.py."]
    for table in tables:
        header, *rows = _cells(table)
        caption = f"{heading(table)}. {table.definition.description}."
        parts += [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escaped(caption)}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{{'l' * len(header)}}}",
            r"\toprule",
            _latex_row(header),
            r"\midrule",
            *map(_latex_row, rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    parts += [r"\begin{itemize}", *(rf"\item {escaped(note)}" for note in NOTES), r"\end{itemize}"]
    return "\n".join(parts) + "\n"


def _latex_row(cells: Sequence[_Cell]) -> str:
    return " & ".join(map(_latex_cell, cells)) + r" \\"


def _latex_cell(cell: _Cell) -> str:
    bold = [rf"\textbf{{{escaped(p)}}}" if cell.bold else escaped(p) for p in cell.parts]
    return bold[0] if len(bold) == 1 else r"\shortstack[l]{" + r"\\".join(bold) + "}"


_LATEX = {
    "\\": r"\textbackslash{}",
    **{c: rf"\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    "ε": r"$\varepsilon$",
    "½": r"$\frac12$",
    "–": "--",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
}


def escaped(text: str) -> str:
    """Plain text as LaTeX that prints it; a minus before a digit becomes that of mathematics."""
    text = re.sub(r"(?<![\w-])-(?=\d)", "−", text)
    return "".join({**_LATEX, "−": "$-$"}.get(c, c) for c in text)


def _cells(table: Comparison) -> list[list[_Cell]]:
    """The header and one row per line; columns that no line fills are left out."""
    floors = any(line.floor is not None for line in table.lines)
    papers = any(entry.paper for line in table.lines for entry in line.entries.values())
    header = ["case", "ε", *(["paper"] if papers else []), *map(method_label, table.methods)]
    header += [*(["floor"] if floors else []), "seeds", "train s", "device"]
    rows = [[_Cell((text,)) for text in header]]
    for line in table.lines:
        row = [_Cell((line_label(line),)), _Cell((f"{line.epsilon:g}",))]
        row += [_paper_cell(line)] if papers else []
        row += [_measured_cell(line.entries.get(method)) for method in table.methods]
        row += [_Cell((floor_text(line.floor, line.floor_std),))] if floors else []
        rows.append([*row, _seeds_cell(line), _seconds_cell(line), _devices_cell(line)])
    return rows


def _paper_cell(line: Line) -> _Cell:
    values = [entry.paper for entry in line.entries.values() if entry.paper is not None]
    return _Cell(tuple(map(published_text, values)) or (NOTHING,))


def published_text(value: PaperValue, *, cost: bool = True) -> str:
    """ "ENOT 2.44 ± 0.13 (m), 2580 s on GPU"; without `cost` as far as the comma."""
    text = f"{value.value:g}"
    if value.interval is not None:
        text += f" ± {value.interval:g}"
    text = " ".join(filter(None, [method_label(value.method), text, value.mark]))
    if cost and value.train_seconds is not None:
        text += f", {value.train_seconds:g} s" + (f" on {value.device}" if value.device else "")
    return text


def _measured_cell(entry: Entry | None) -> _Cell:
    return _Cell((measured_text(entry),), entry is not None and entry.is_best)


def measured_text(entry: Entry | None) -> str:
    """ "0.074 ± 0.012 †"; no interval where no seed enters."""
    if entry is None or entry.measured is None:
        return NOTHING
    text = str(entry.measured)
    if entry.method == INDEPENDENT:
        text = f"{entry.measured.mean:.3g}"
    return text + (f" {WORSE}" if entry.is_worse_than_paper else "")


def _seeds_cell(line: Line) -> _Cell:
    counts = {m: v.num_seeds for m, v in line.measured.items() if m != INDEPENDENT}
    if len(set(counts.values())) == 1:
        return _Cell((str(next(iter(counts.values()))),))
    return _Cell(tuple(f"{method_label(m)} {n}" for m, n in counts.items()) or (NOTHING,))


def _seconds_cell(line: Line) -> _Cell:
    seconds = {m: e.train_seconds for m, e in line.entries.items() if e.train_seconds is not None}
    parts = tuple(f"{method_label(m)} {seconds_text(s)}" for m, s in seconds.items())
    return _Cell(parts or (NOTHING,))


def seconds_text(seconds: float) -> str:
    """ "4.2", "187": two digits below ten seconds, whole seconds above."""
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"


def _devices_cell(line: Line) -> _Cell:
    devices = dict.fromkeys(d for entry in line.entries.values() for d in entry.devices)
    return _Cell(tuple(devices) or (NOTHING,))


def write_comparison(tables: Sequence[Comparison], folder: str | Path) -> list[Path]:
    """Write comparison.md, comparison.csv and comparison.tex; each appears whole or not at all."""
    formats = {"md": as_markdown, "csv": as_csv, "tex": as_latex}
    paths = [Path(folder) / f"comparison.{ending}" for ending in formats]
    for path, text_of in zip(paths, formats.values(), strict=True):
        write_text(path, text_of(tables))
    return paths
