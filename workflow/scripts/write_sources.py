"""Write the lists of sources that rules depend on: results/sources/<command>.txt.

Snakemake does this whenever it starts, DVC by a stage of its own. Editing a file changes the lists
that name it, and so makes exactly those commands' results stale; so does another version, in
requirements.lock, of a library that they import.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path("src").resolve()))

from entropic_ot.experiments.sources import source_closure, write_source_lists

FOLDER = Path("results/sources")
LOCK = Path("requirements.lock")
# fetch is not among them: a file that is known by its hash does not become stale.
COMMANDS = (
    *("configure", "prepare", "classifier", "train"),
    *("train_generator", "convert", "encode"),
    *("sample", "reference", "evaluate", "table", "pages"),
)
MODULES = {name: f"entropic_ot.commands.{name}" for name in COMMANDS} | {
    "plotting": "entropic_ot.figure_data",
    "comparison": "entropic_ot.plotting.comparison",
    "mixture": "entropic_ot.plotting.mixture",
    "encoding": "entropic_ot.plotting.encoding",
}
OF_NOTEBOOKS = {"mixture": "mixture", "encoding": "encoding"}
"""Notebook -> the list of what it imports besides what all of them do."""


def of_notebook(notebook: str) -> list[Path]:
    """The lists of the sources that a notebook needs."""
    names = ["plotting", *([OF_NOTEBOOKS[notebook]] if notebook in OF_NOTEBOOKS else [])]
    return [list_path(name) for name in names]


def list_path(name: str) -> Path:
    """The list of one command's sources; KeyError for a name that is not among MODULES."""
    MODULES[name]
    return FOLDER / f"{name}.txt"


def write_lists(root: Path | str = "src", *, folder: Path = FOLDER) -> list[Path]:
    return write_source_lists(folder, MODULES, root, lock=Path(root).parent / LOCK)


def all_sources() -> list[str]:
    """Every file that stands in one of the lists."""
    return sorted({file for module in MODULES.values() for file in source_closure(module)})


if __name__ == "__main__":
    write_lists()
