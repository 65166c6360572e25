"""What figure notebooks read: samples with the run behind them, and the tidy table. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from entropic_ot.errors import DataError
from entropic_ot.experiments.config import ProblemConfig, load_run
from entropic_ot.experiments.paths import Layout
from entropic_ot.experiments.statistics import mean_over_seeds
from entropic_ot.experiments.tables import MetricRow, read_csv
from entropic_ot.plotting import METHODS, Cell, Point, method_style


class LazyArrays(Mapping[str, np.ndarray]):
    """The arrays of a samples file (entropic_ot.experiments.sample), each read when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        """The array in 32 bits; DataError when the file is damaged, KeyError without the name."""
        if name not in self._read:
            self._read[name] = self._load(name)
        return self._read[name]

    def _load(self, name: str) -> np.ndarray:
        if name not in self._names():
            raise KeyError(f"{name!r} is not in {self.path}, which holds {', '.join(self)}")
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return file[name].astype(np.float32)
        except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged file
            raise self._damaged(error) from None

    def _names(self) -> list[str]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return list(file.files)
        except Exception as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DataError:
        return DataError.about(
            self.path,
            found=f"a file that cannot be read ({type(error).__name__}: {error})",
            expected="the samples that `entropic-ot sample` writes",
            action="Delete it and run the workflow again.",
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())


@dataclass(frozen=True)
class FigureRun:
    """A trained run as figures see it."""

    case: str
    """Experiment and variant, as in paths: gaussian-d16."""
    experiment: str
    method: str
    epsilon: float
    seed: int
    problem: ProblemConfig
    arrays: LazyArrays


def load_samples_of(paths: Iterable[str | Path], scale: str) -> list[FigureRun]:
    """The runs behind samples files, by the scale's run configs; order: case, method, ε, seed.

    Cases keep the order of `paths`; methods have that of entropic_ot.plotting.METHODS.

    Raises:
        DataError: no run config of this scale belongs to one of the files.
        ConfigError: such a config cannot be read.
    """
    layout = Layout(scale)
    # A file's place is asked of the layout, for each config that there is; no path is taken apart.
    configs = {
        layout.samples(file.parent.name, file.stem): file
        for file in sorted((layout.root / "config").glob("*/*.json"))
    }
    runs = []
    for path in map(Path, paths):
        if path not in configs:
            raise DataError.about(
                path,
                found="no run config that belongs to these samples",
                expected=f"one below {layout.root / 'config'}",
                action=f"Give samples of scale {scale}, from the folder with results/ in it.",
            )
        run = load_run(configs[path])
        if layout.samples(run.case, run.name) != path:
            raise DataError.about(
                configs[path],
                found=f"the config of {run.case}/{run.name}",
                expected=f"that of the samples {path}",
                action="Delete it; `entropic-ot configure` writes it anew.",
            )
        runs.append(
            FigureRun(
                case=run.case,
                experiment=run.experiment,
                method=run.method,
                epsilon=run.epsilon,
                seed=run.seed,
                problem=run.problem,
                arrays=LazyArrays(path),
            )
        )
    cases, order = list(dict.fromkeys(run.case for run in runs)), list(METHODS)
    return sorted(
        runs,
        key=lambda r: (cases.index(r.case), order.index(r.method), r.epsilon, r.seed),
    )


def cases_of(runs: Sequence[FigureRun]) -> list[str]:
    """The cases, in the order of the runs."""
    return list(dict.fromkeys(run.case for run in runs))


def methods_of(runs: Sequence[FigureRun]) -> list[str]:
    """The methods, in the order of entropic_ot.plotting.METHODS."""
    return sorted({run.method for run in runs}, key=list(METHODS).index)


def epsilons_of(runs: Sequence[FigureRun]) -> list[float]:
    """The values of ε, from the smallest on."""
    return sorted({run.epsilon for run in runs})


def runs_of(
    runs: Sequence[FigureRun], *, case: str | None = None, method: str | None = None
) -> dict[float, FigureRun]:
    """ε -> the run with the smallest seed, of one case and one method where these are given."""
    chosen: dict[float, FigureRun] = {}
    for run in runs:
        if case not in (None, run.case) or method not in (None, run.method):
            continue
        if run.epsilon not in chosen or run.seed < chosen[run.epsilon].seed:
            chosen[run.epsilon] = run
    return dict(sorted(chosen.items()))


def read_metrics(path: str | Path) -> list[MetricRow]:
    """The lines of metrics.csv; DataError when it is missing or has other columns."""
    return read_csv(path)


@dataclass(frozen=True)
class Estimate:
    """A metric over the seeds of a run."""

    value: float
    """Mean."""
    half_width: float
    """Half of the 95 % interval of the mean (Student's t); 0 for one seed."""
    floor: float | None
    """Mean of the floors."""
    train_seconds: float
    """Mean seconds of training."""
    num_seeds: int

    def __str__(self) -> str:
        text = f"{self.value:.3g}"
        return text if self.num_seeds < 2 else f"{text} ± {self.half_width:.2g}"


def estimate(
    rows: Sequence[MetricRow], metric: str, *, case: str, method: str, epsilon: float
) -> Estimate | None:
    """The metric's mean over seeds with its interval; None when the table does not have it."""
    own = [
        row
        for row in rows
        if (row.metric, row.case, row.method, row.epsilon) == (metric, case, method, epsilon)
    ]
    if not own:
        return None
    values, floors = [row.value for row in own], [r.floor for r in own if r.floor is not None]
    over_seeds = mean_over_seeds(values)
    return Estimate(
        value=over_seeds.mean,
        half_width=over_seeds.half_width or 0.0,
        floor=float(np.mean(floors)) if floors else None,
        train_seconds=float(np.mean([row.train_seconds for row in own])),
        num_seeds=over_seeds.num_seeds,
    )


def series(
    rows: Sequence[MetricRow], metric: str, runs: Sequence[FigureRun], *, case: str
) -> dict[str, list[Point]]:
    """method -> the metric's points, for the runs of one case that the table has."""
    own = [run for run in runs if run.case == case]
    out: dict[str, list[Point]] = {}
    for method in methods_of(own):
        for epsilon in runs_of(own, method=method):
            found = estimate(rows, metric, case=case, method=method, epsilon=epsilon)
            if found is not None:
                point = Point(epsilon, found.value, found.half_width, found.floor)
                out.setdefault(method, []).append(point)
    return out


def comparison_table(
    rows: Sequence[MetricRow], metrics: Sequence[str], runs: Sequence[FigureRun], *, case: str
) -> tuple[list[list[Cell]], list[int]]:
    """Cells [ε, method, (value, floor) per metric, seconds] and the rows at which ε changes.

    Bold: the smallest value at that ε. Runs without any of the metrics are left out.
    """
    own = [run for run in runs if run.case == case]
    cells: list[list[Cell]] = []
    starts: list[int] = []
    for epsilon in epsilons_of(own):
        found = {
            method: [estimate(rows, m, case=case, method=method, epsilon=epsilon) for m in metrics]
            for method in methods_of(own)
            if epsilon in runs_of(own, method=method)
        }
        found = {method: values for method, values in found.items() if any(values)}
        best = [
            min((v.value for v in column if v and math.isfinite(v.value)), default=None)
            for column in zip(*found.values(), strict=True)
        ]
        if found:
            starts.append(len(cells))
        for number, (method, values) in enumerate(found.items()):
            line = [Cell(f"{epsilon:g}" if number == 0 else ""), _method_cell(method)]
            for value, smallest in zip(values, best, strict=True):
                bold = value is not None and value.value == smallest and len(found) > 1
                line.append(Cell("–" if value is None else str(value), bold=bold))
                floor = None if value is None else value.floor
                line.append(Cell("–" if floor is None else f"{floor:.3g}", colour="#777777"))
            seconds = next(v.train_seconds for v in values if v is not None)
            cells.append([*line, Cell(_seconds(seconds))])
    return cells, starts


def _method_cell(method: str) -> Cell:
    style = method_style(method)
    return Cell(style.label, colour=style.colour)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"


def as_markdown(header: Sequence[str], cells: Sequence[Sequence[Cell]]) -> str:
    """The same cells for a notebook's page."""
    lines = ["| " + " | ".join(text.replace("\n", " ") for text in header) + " |"]
    lines.append("|" + "---|" * len(header))
    for row in cells:
        lines.append("| " + " | ".join(f"**{c.text}**" if c.bold else c.text for c in row) + " |")
    return "\n".join(lines)
