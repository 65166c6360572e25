"""The page with papers, baselines and ours beside the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from entropic_ot.experiments.comparison import Comparison, Entry, Line
from entropic_ot.experiments.comparison.build import INDEPENDENT
from entropic_ot.experiments.comparison.text import (
    NOTHING,
    line_label,
    measured_text,
    method_label,
    published_text,
    seconds_text,
)
from entropic_ot.experiments.page_config import PageConfig, PageFigure
from entropic_ot.experiments.statistics import floor_text
from entropic_ot.experiments.tables import points_text
from entropic_ot.pages.render import Picture, picture

OURS = ("enot", "egnot")
"""The methods of the two papers; the others are what a user would pick instead."""
DIRECTIONS = {True: "lower is better", False: "higher is better", None: ""}


@dataclass(frozen=True)
class Cell:
    """Lines of text, and their style: case, paper, ours, best, worse, floor."""

    parts: tuple[str, ...]
    style: str = ""


@dataclass(frozen=True)
class Table:
    """One metric of an experiment, or what its trainings cost."""

    title: str
    unit: str
    direction: str
    """Which is better; and the case, where there is one only."""
    description: str
    groups: tuple[tuple[str, int], ...]
    """Headings above the columns, each with the number of columns that it spans."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class ShownFigure:
    """A figure of a section."""

    figure: PageFigure
    picture: Picture
    files: tuple[tuple[str, str], ...]
    """(words, path from the page) of the same in other forms."""


@dataclass(frozen=True)
class Section:
    """All of one experiment."""

    name: str
    tables: tuple[Table, ...]
    """Metrics that have a better direction."""
    others: tuple[Table, ...]
    """The other metrics, and the cost."""
    figures: tuple[ShownFigure, ...]
    elsewhere: tuple[PageFigure, ...]
    """Figures that stand with another experiment."""
    commits: tuple[str, ...]
    devices: tuple[str, ...]
    seeds: str
    """ "1 seed, so no intervals", "3 seeds", "1 to 5 seeds"."""


def sections(tables: Sequence[Comparison], config: PageConfig) -> list[Section]:
    """A section per experiment, in the order of the tables; DataError: a picture is missing."""
    names = list(dict.fromkeys(table.experiment for table in tables))
    return [_section(name, [t for t in tables if t.experiment == name], config) for name in names]


def _section(name: str, tables: Sequence[Comparison], config: PageConfig) -> Section:
    judged = [t for t in tables if t.definition.lower_is_better is not None]
    others = [t for t in tables if t.definition.lower_is_better is None]
    entries = [entry for table in tables for line in table.lines for entry in line.entries.values()]
    counts = sorted({e.measured.num_seeds for e in entries if e.measured is not None})
    own = [figure for figure in config.figures if figure.experiments[:1] == (name,)]
    return Section(
        name=name,
        tables=tuple(map(_table, judged)),
        others=(*map(_table, others), *_cost(tables)),
        figures=tuple(_shown(figure, config) for figure in own),
        elsewhere=tuple(figure for figure in config.figures if name in figure.experiments[1:]),
        commits=_each(commit for entry in entries for commit in entry.commits),
        devices=_each(device for entry in entries for device in entry.devices),
        seeds=_seeds(counts),
    )


def _seeds(counts: Sequence[int]) -> str:
    if not counts:
        return "nothing run"
    if counts[-1] == 1:
        return "1 seed, so no intervals"
    return " to ".join(dict.fromkeys([str(counts[0]), str(counts[-1])])) + " seeds"


def _each(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _shown(figure: PageFigure, config: PageConfig) -> ShownFigure:
    words = {".pdf": "PDF", ".html": "notebook"}
    root = Path("results") / config.scale
    files = [figure.picture, *figure.files]
    return ShownFigure(
        figure=figure,
        picture=picture(Path(figure.picture)),
        files=tuple(
            (words.get(Path(file).suffix, "PNG"), str(Path(file).relative_to(root)))
            for file in files
        ),
    )


def _table(table: Comparison) -> Table:
    """Columns: case, epsilon, papers, baselines, ours, floor; those that say nothing left out."""
    definition = table.definition
    baselines = [method for method in table.methods if method not in OURS]
    ours = [method for method in table.methods if method in OURS]
    papers = any(entry.paper for line in table.lines for entry in line.entries.values())
    floors = any(line.floor is not None for line in table.lines)
    labels = [line_label(line) for line in table.lines]
    cases = len(set(labels)) > 1
    groups = [("", 1 + cases), ("papers", int(papers)), ("baselines", len(baselines))]
    groups += [("ours", len(ours)), ("", int(floors))]
    columns = [*(["case"] if cases else []), "ε", *(["published"] if papers else [])]
    columns += [*map(method_label, [*baselines, *ours]), *(["floor"] if floors else [])]
    rows = []
    for line in table.lines:
        row = [Cell((line_label(line),), "case")] if cases else []
        row += [Cell((f"{line.epsilon:g}",))]
        row += [_paper_cell(line)] if papers else []
        row += [_cell(line.entries.get(method), method) for method in [*baselines, *ours]]
        row += [Cell((floor_text(line.floor, line.floor_std),), "floor")] if floors else []
        rows.append(tuple(row))
    points = points_text(table.num_points) if definition.depends_on_n and table.num_points else ""
    case = "" if cases else labels[0]
    direction = ", ".join(filter(None, [case, DIRECTIONS[definition.lower_is_better], points]))
    return Table(
        title=table.metric,
        unit=definition.unit,
        direction=direction,
        description=definition.description,
        groups=tuple((text, span) for text, span in groups if span),
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _paper_cell(line: Line) -> Cell:
    values = [entry.paper for entry in line.entries.values() if entry.paper is not None]
    return Cell(tuple(published_text(v, cost=False) for v in values) or (NOTHING,), "paper")


def _cell(entry: Entry | None, method: str) -> Cell:
    style = "ours" if method in OURS else ""
    if entry is not None and entry.is_worse_than_paper:
        style += " worse"
    if entry is not None and entry.is_best:
        style += " best"
    text = measured_text(entry).replace(" (1 seed)", "")  # the section says how many there are
    return Cell((text,), style.strip())


def _cost(tables: Sequence[Comparison]) -> list[Table]:
    """Seconds of a training by line and method; empty where nothing was trained."""
    found: dict[tuple[str, float], dict[str, float]] = {}
    for line in (line for table in tables for line in table.lines):
        for method, entry in line.entries.items():
            if entry.train_seconds is not None and method != INDEPENDENT:
                found.setdefault((line_label(line), line.epsilon), {})[method] = entry.train_seconds
    known = dict.fromkeys(method for table in tables for method in table.methods)
    methods = [m for m in known if any(m in seconds for seconds in found.values())]
    if not methods:
        return []
    rows = tuple(
        (
            Cell((label,), "case"),
            Cell((f"{epsilon:g}",)),
            *(Cell((seconds_text(own[m]) if m in own else NOTHING,)) for m in methods),
        )
        for (label, epsilon), own in found.items()
    )
    return [
        Table(
            title="cost",
            unit="s",
            direction="",
            description="Mean seconds of one training",
            groups=(),
            columns=("case", "ε", *map(method_label, methods)),
            rows=rows,
        )
    ]
