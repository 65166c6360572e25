"""What figure notebooks read: samples with the run behind them, and the tidy table. No torch."""

from entropic_ot.figure_data.image_metrics import DISTANCES, NOTES, OTHERS
from entropic_ot.figure_data.metrics import (
    Estimate,
    MetricRow,
    as_markdown,
    comparison_table,
    estimate,
    read_metrics,
    series,
    series_over_time,
)
from entropic_ot.figure_data.results import (
    Results,
    load_results,
)
from entropic_ot.figure_data.samples import (
    FigureRun,
    LazyArrays,
    cases_of,
    epsilons_of,
    load_samples_of,
    methods_of,
    read_record,
    runs_of,
)

__all__ = [
    "DISTANCES",
    "NOTES",
    "OTHERS",
    "Estimate",
    "FigureRun",
    "LazyArrays",
    "MetricRow",
    "Results",
    "as_markdown",
    "cases_of",
    "comparison_table",
    "epsilons_of",
    "estimate",
    "load_results",
    "load_samples_of",
    "methods_of",
    "read_metrics",
    "read_record",
    "runs_of",
    "series",
    "series_over_time",
]
