"""Tables as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from entropic_ot.plotting.style import TEXT_COLOUR

MAX_ROW_HEIGHT = 0.12
"""Of a table's rows, in heights of its panel: few rows stay together."""


@dataclass(frozen=True)
class Cell:
    """A table's entry."""

    text: str
    bold: bool = False
    colour: str = TEXT_COLOUR


def table(
    ax: Axes, header: Sequence[str], rows: Sequence[Sequence[Cell]], *, rules_before: Sequence[int]
) -> None:
    """A table with horizontal rules only; thin ones before the rows in `rules_before`."""
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(
                f"row {number}: found {len(row)} cells, expected {len(header)}, one per heading"
            )
    ax.set_axis_off()
    text_columns = list(zip(header, *([cell.text for cell in row] for row in rows), strict=True))
    widths = np.array([max(_visible_length(t) for t in texts) + 2.5 for texts in text_columns])
    edges = np.concatenate([[0.0], np.cumsum(widths / widths.sum())])
    centres = (edges[:-1] + edges[1:]) / 2
    head = 2.4 if any("\n" in text for text in header) else 1.4
    height = min(1 / (len(rows) + head), MAX_ROW_HEIGHT)
    top = 1 - head * height
    for centre, text in zip(centres, header, strict=True):
        ax.text(centre, (1 + top) / 2, text, ha="center", va="center", fontsize=9)
    for number, row in enumerate(rows):
        y = top - (number + 0.5) * height
        for centre, cell in zip(centres, row, strict=True):
            ax.text(
                centre, y, cell.text, ha="center", va="center", color=cell.colour, fontsize=9.5,
                weight="bold" if cell.bold else "normal",
            )  # fmt: skip
        if number and number in rules_before:
            ax.axhline(top - number * height, color="#CCCCCC", lw=0.5)
    for y, line_width in ((1.0, 1.1), (top, 0.6), (top - len(rows) * height, 1.1)):
        ax.axhline(y, color=TEXT_COLOUR, lw=line_width, clip_on=False)
    ax.set(xlim=(0, 1), ylim=(0, 1))


def _visible_length(text: str) -> int:
    """Letters of the longest line, a formula's macro counted as about one."""
    plain = text.replace(r"\varepsilon", "e").replace("$", "")
    return max(map(len, plain.split("\n")))
