"""Samples with the run behind them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from entropic_ot.errors import DataError
from entropic_ot.experiments.config import ProblemConfig, load_run
from entropic_ot.experiments.paths import Layout
from entropic_ot.plotting import METHODS


def read_record(path: str | Path) -> dict[str, Any]:
    """A provenance record; DataError when it is missing or damaged."""
    try:
        record = dict(json.loads(Path(path).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise DataError.about(
            path,
            found=f"no record that can be read ({error})",
            expected="the provenance that stands beside the result",
            action="Delete the result and run its rule again.",
        ) from None
    return record


class LazyArrays(Mapping[str, np.ndarray]):
    """The arrays of a samples file (entropic_ot.experiments.sample), each read when asked for."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._read: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        """The array in 32 bits; DataError when the file is damaged, KeyError without the name."""
        if name not in self._read:
            self._read[name] = self._load(name)
        return self._read[name]

    def first(self, name: str, count: int) -> np.ndarray:
        """The first rows of an array in 32 bits; nothing else of it is kept."""
        return self._load(name, count)

    def _load(self, name: str, count: int | None = None) -> np.ndarray:
        if name not in self._names():
            raise KeyError(f"{name!r} is not in {self.path}, which holds {', '.join(self)}")
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return file[name][:count].astype(np.float32)
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

    scale: str
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
                scale=scale,
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
