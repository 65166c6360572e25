"""Comparison tables: paper | baselines | ours ± 95 % interval over seeds | floor | seconds, device.

`compare` joins the rows of metrics.csv with the published numbers of workflow/paper_values.yaml;
the rest writes what it finds.
"""

from entropic_ot.experiments.comparison.build import Comparison, Entry, Line, compare
from entropic_ot.experiments.comparison.paper_values import (
    PaperValue,
    load_paper_values,
    load_papers,
)
from entropic_ot.experiments.comparison.text import (
    as_csv,
    as_latex,
    as_markdown,
    write_comparison,
)

__all__ = [
    "Comparison",
    "Entry",
    "Line",
    "PaperValue",
    "as_csv",
    "as_latex",
    "as_markdown",
    "compare",
    "load_paper_values",
    "load_papers",
    "write_comparison",
]
