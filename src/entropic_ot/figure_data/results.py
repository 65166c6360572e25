"""All that one figure is drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from entropic_ot.experiments.config import LatentProblem, ProblemConfig
from entropic_ot.figure_data.metrics import (
    Estimate,
    MetricRow,
    comparison_table,
    estimate,
    read_metrics,
    series,
)
from entropic_ot.figure_data.samples import (
    FigureRun,
    LazyArrays,
    cases_of,
    epsilons_of,
    load_samples_of,
    methods_of,
    runs_of,
)
from entropic_ot.plotting import Cell, Point, method_style

NOTES_A_LINE = 2


@dataclass(frozen=True)
class Results:
    """Runs with their samples, and the table of all metrics."""

    runs: list[FigureRun]
    rows: list[MetricRow]

    @property
    def cases(self) -> list[str]:
        """The cases, in the order of the samples."""
        return cases_of(self.runs)

    @property
    def methods(self) -> list[str]:
        """The methods, in the order of entropic_ot.plotting.METHODS."""
        return methods_of(self.runs)

    @property
    def epsilons(self) -> list[float]:
        """The values of ε, from the smallest on."""
        return epsilons_of(self.runs)

    def of_case(self, case: str) -> Results:
        """The same with the runs of one case alone."""
        return Results([run for run in self.runs if run.case == case], self.rows)

    def data(self, case: str) -> LazyArrays:
        """Samples of the case's first run: its x and target are those of all runs."""
        return self._first(case).arrays

    def problem(self, case: str) -> ProblemConfig:
        """The problem of a case."""
        return self._first(case).problem

    def _first(self, case: str) -> FigureRun:
        return next(iter(runs_of(self.runs, case=case).values()))

    def heading(self, case: str) -> str:
        """Of the panel with the data: the case's name where there are several."""
        return "Data" if len(self.cases) == 1 else case

    def plans(self, case: str, method: str) -> dict[float, LazyArrays]:
        """ε -> samples of a method's run with the smallest seed."""
        found = runs_of(self.runs, case=case, method=method)
        return {epsilon: run.arrays for epsilon, run in found.items()}

    def estimate(self, metric: str, case: str, method: str, epsilon: float) -> Estimate | None:
        """The metric's mean over seeds; None when the table does not have it."""
        return estimate(self.rows, metric, case=case, method=method, epsilon=epsilon)

    def curves(self, metrics: Mapping[str, str], case: str) -> dict[str, dict[str, list[Point]]]:
        """{metric: label} -> {label: {method: its points}}, for plotting.data_column."""
        return {
            label: series(self.rows, metric, self.runs, case=case)
            for metric, label in metrics.items()
        }

    def bars(self, metric: str, case: str) -> dict[tuple[str, str], tuple[float, float]]:
        """(method, name below its bar) -> (value, half-width), for plotting.bars.

        Methods with several ε have a bar for each.
        """
        heights = {}
        for method in self.methods:
            label, epsilons = method_style(method).label, list(self.plans(case, method))
            for epsilon in epsilons:
                value = self.estimate(metric, case, method, epsilon)
                name = label if len(epsilons) == 1 else f"{label}\n{epsilon:g}"
                if value:
                    heights[method, name] = (value.value, value.half_width)
        return heights

    def has(self, metric: str) -> bool:
        """Whether the table has this metric for one of the runs."""
        return any(row.metric == metric and row.case in self.cases for row in self.rows)

    def last_value(self, metric: str, case: str) -> float | None:
        """Of the last method's largest ε: for a metric that is the same for all runs."""
        values = [value for value, _ in self.bars(metric, case).values()]
        return values[-1] if values else None

    def comparison_table(
        self, metrics: Iterable[str], case: str
    ) -> tuple[list[list[Cell]], list[int]]:
        """Cells and the rows at which ε changes, for plotting.table."""
        return comparison_table(self.rows, list(metrics), self.runs, case=case)

    def note(self, case: str, method: str, epsilon: float, formats: Mapping[str, str]) -> str:
        """What metrics say, those of `formats` (metric -> text with a place for its value) that
        there are; the floor in parentheses, where there is one."""
        notes = []
        for metric, text in formats.items():
            found = self.estimate(metric, case, method, epsilon)
            if found:
                number = text[text.index("{") : text.index("}") + 1]
                floor = "" if found.floor is None else f" ({number.format(found.floor)})"
                notes.append(text.format(found.value) + floor)
        lines = [
            notes[start : start + NOTES_A_LINE] for start in range(0, len(notes), NOTES_A_LINE)
        ]
        return "\n".join(",  ".join(line) for line in lines)

    def shows(self, kind: str, case: str, method: str) -> bool:
        """Whether samples of a case hold "trajectories" of a method, or images of a "generator".

        A generator is shown once, for the first case and method that have it.
        """
        if kind == "trajectories":
            return method == "enot"
        first: dict[str, str] = {}
        for other in self.cases:
            problem = self.problem(other)
            if isinstance(problem, LatentProblem):
                first.setdefault(problem.generator, other)
        return case in first.values() and method == self.of_case(case).methods[0]

    def num_samples(self, case: str) -> int | None:
        """Outputs behind the distances of a case; None where the table does not say it.

        A diversity counts several outputs of one input, so it is asked only where nothing else is.
        """
        rows = [row for row in self.rows if row.case == case and row.n]
        distances = [row for row in rows if not row.metric.endswith("_diversity")]
        return max((row.n for row in distances or rows), default=None)


def load_results(samples: Iterable[str | Path], metrics: str | Path, scale: str) -> Results:
    """The runs behind samples files, and metrics.csv; errors as load_samples_of, read_metrics."""
    return Results(load_samples_of(samples, scale), read_metrics(metrics))
