"""All that one figure is drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from entropic_ot.experiments.config import LatentProblem, ProblemConfig
from entropic_ot.experiments.over_time import FILE, TimeRow, read_csv
from entropic_ot.experiments.paths import Layout
from entropic_ot.figure_data.metrics import (
    Estimate,
    MetricRow,
    comparison_table,
    estimate,
    read_metrics,
    seconds_text,
    series,
    series_over_time,
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
from entropic_ot.metrics.registry import FEATURE_METRICS, METRICS
from entropic_ot.plotting import Cell, Point, TimePoint, method_style

NOTES_A_LINE = 2
SHARED = "shared\n[s]"
IMAGE_TABLE_START = ("case", "n", "ε", "method")


@dataclass(frozen=True)
class Results:
    """Runs with their samples, and the tables of all metrics."""

    runs: list[FigureRun]
    rows: list[MetricRow]
    time_rows: list[TimeRow] = field(default_factory=list)

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
        own = [run for run in self.runs if run.case == case]
        return Results(own, self.rows, self.time_rows)

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

    def over_time(
        self, metric: str, case: str, epsilon: float, methods: Iterable[str]
    ) -> dict[str, list[TimePoint]]:
        """method -> a metric of X_t at each t, of those methods that have it."""
        return series_over_time(self.time_rows, metric, case=case, epsilon=epsilon, methods=methods)

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

    def image_table(
        self, measures: Mapping[str, str], *, seconds: bool
    ) -> tuple[list[str], list[list[Cell]], list[int]]:
        """Header, cells and the rows at which a rule stands: all cases below each other.

        measures: metric -> heading, of which those that the table has are shown. A metric by which
        methods are ranked has its floor in a column "real", where there is one. With `seconds`, the
        columns of what a method's training takes and, where that is known, of what it
        shares with others (shared_seconds).
        """
        shown = [metric for metric in measures if self.has(metric)]
        floors = ["real" if METRICS[m].lower_is_better is not None else "" for m in shown]
        header = [*IMAGE_TABLE_START]
        header += [h for m, floor in zip(shown, floors, strict=True) for h in (measures[m], floor)]
        header += ["train\n[s]", SHARED]
        cells: list[list[Cell]] = []
        rules: list[int] = []
        for case in self.cases:
            lines, starts = self.comparison_table(shown, case)
            rules += [len(cells) + start for start in starts]
            shared, n = self.shared_seconds(case), self.num_samples(case)
            for number, line in enumerate(lines):
                first = [case, f"{n or '–'}"] if number == 0 else ["", ""]
                last = "–" if shared is None else seconds_text(shared)
                cells.append([*map(Cell, first), *line, Cell(last)])
        keep = [
            column
            for column, name in enumerate(header)
            if (seconds or not name.endswith("[s]"))
            and name
            and (name not in ("real", SHARED) or any(line[column].text != "–" for line in cells))
        ]
        cells = [[line[column] for column in keep] for line in cells]
        return [header[column] for column in keep], cells, rules

    def shared_seconds(self, case: str) -> float | None:
        """Seconds of what a latent case's methods share: its generator, and encoding images.

        None for other cases, and where the records of that are not there.
        """
        first = self._first(case)
        files = Layout(first.scale).shared_records(first.problem)
        if not files or not all(file.exists() for file in files):
            return None
        return sum(float(read_record(file)["train_seconds"]) for file in files)

    def note(self, case: str, method: str, epsilon: float, formats: Mapping[str, str]) -> str:
        """What metrics say, those of `formats` (metric -> text with a place for its value) that
        there are; the floor in parentheses, where there is one and methods are ranked by them."""
        notes = []
        for metric, text in formats.items():
            found = self.estimate(metric, case, method, epsilon)
            if found:
                number = text[text.index("{") : text.index("}") + 1]
                ranked = METRICS[metric].lower_is_better is not None
                known = ranked and found.floor is not None
                floor = f" ({number.format(found.floor)})" if known else ""
                notes.append(text.format(found.value) + floor)
        lines = [
            notes[start : start + NOTES_A_LINE] for start in range(0, len(notes), NOTES_A_LINE)
        ]
        return "\n".join(",  ".join(line) for line in lines)

    def is_encoded(self, case: str) -> bool:
        """Whether its methods see encoded images, so that paths start at G of an encoding."""
        problem = self.problem(case)
        return isinstance(problem, LatentProblem) and problem.space == "encoded"

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
        """Outputs behind the distances of a case (y of FeatureMetric); None without a distance.

        Other metrics count other things: a diversity several outputs of one input, the distance of
        two halves of the real images half of them.
        """
        of_outputs = {name for name, metric in FEATURE_METRICS.items() if metric.images == "y"}
        rows = [row for row in self.rows if row.case == case and row.metric in of_outputs]
        return max((row.n for row in rows), default=None)


def load_results(samples: Iterable[str | Path], metrics: str | Path, scale: str) -> Results:
    """The runs behind samples files, metrics.csv, and over_time.csv beside it.

    Errors are those of load_samples_of, read_metrics and over_time.read_csv.
    """
    time_rows = read_csv(Path(metrics).with_name(FILE))
    return Results(load_samples_of(samples, scale), read_metrics(metrics), time_rows)
