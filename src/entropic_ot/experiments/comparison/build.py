"""From rows of metrics.csv and published numbers to comparison tables; pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from entropic_ot.errors import DataError
from entropic_ot.experiments.comparison.paper_values import METHOD_LABELS, PaperValue
from entropic_ot.experiments.statistics import MeanOverSeeds, clearly_best, mean_over_seeds
from entropic_ot.experiments.tables import MetricRow
from entropic_ot.metrics.registry import METRICS, Metric
from entropic_ot.strict import nearest

INDEPENDENT, INDEPENDENT_METRIC = "independent", "energy_distance_independent"
"""The coupling that pairs points at random is a metric of every run and a baseline here."""
SETTINGS = ("2to4", "3to7")
MEAN_OF_SETTINGS = "+".join(SETTINGS)
"""Variant of the lines with the protocol's number of msci: the mean over both settings."""


@dataclass(frozen=True)
class Entry:
    """One method in one line of a table: what we measured, what was published, or both."""

    method: str
    measured: MeanOverSeeds | None
    floor: float | None
    """Mean floor: what an exact sampler gets with as many points; None: not known."""
    floor_std: float | None
    """Mean standard deviation of the floor; None: not known."""
    paper: PaperValue | None
    train_seconds: float | None
    """Mean seconds of a training; None for what is not trained or not run."""
    devices: tuple[str, ...]
    commits: tuple[str, ...]
    """Short hashes, with + where tracked files differed from the commit."""
    is_best: bool = False
    """Clearly the best of the line (statistics.clearly_best)."""
    is_worse_than_paper: bool = False
    """Our mean is on the wrong side of the number published for this method on this problem."""


@dataclass(frozen=True)
class Line:
    """One problem (variant, dimension) at one epsilon."""

    variant: str | None
    dim: int
    epsilon: float
    entries: dict[str, Entry]
    """By method: ours in the order of METHOD_LABELS, then the papers' peers."""

    @property
    def measured(self) -> dict[str, MeanOverSeeds]:
        """What was run here, by method."""
        return {m: e.measured for m, e in self.entries.items() if e.measured is not None}

    @property
    def floor(self) -> float | None:
        """Mean of the methods' floors."""
        return _mean([e.floor for e in self.entries.values() if e.floor is not None])

    @property
    def floor_std(self) -> float | None:
        """Mean of the floors' standard deviations."""
        return _mean([e.floor_std for e in self.entries.values() if e.floor_std is not None])


@dataclass(frozen=True)
class Comparison:
    """All lines of one experiment and metric."""

    experiment: str
    metric: str
    lines: tuple[Line, ...]
    num_points: tuple[int, ...] = ()
    """Numbers of points behind the measured values; empty where nothing was run."""

    @property
    def definition(self) -> Metric:
        """Unit, direction and description."""
        return METRICS[self.metric]

    @property
    def methods(self) -> list[str]:
        """Methods that were run, in the order of the columns."""
        found = dict.fromkeys(m for line in self.lines for m in line.measured)
        return _in_order(found)


def compare(rows: Iterable[MetricRow], paper: Sequence[PaperValue]) -> list[Comparison]:
    """One table per experiment and metric that has rows, in the order of the rows.

    To msci's energy distance, lines with the mean over both settings are added: it is taken for
    each seed that has both, and the interval is over these means. Published numbers join the lines
    with their experiment, metric, dimension, epsilon and variant (any, where theirs is None);
    those that nothing was run for get lines of their own, and a table of their own where their
    metric was not measured in an experiment that was run.

    Raises:
        DataError: a metric is not in the registry, or one run stands twice.
    """
    grouped = _grouped(rows)
    experiments = list(dict.fromkeys(experiment for experiment, _ in grouped))
    for value in paper:
        if value.experiment in experiments:
            grouped.setdefault((value.experiment, value.metric), {})
    keys = sorted(grouped, key=lambda key: experiments.index(key[0]))  # stable: metrics stay
    return [
        Comparison(*key, _lines(*key, grouped[key], paper), _num_points(grouped[key]))
        for key in keys
    ]


def _num_points(groups: _Groups) -> tuple[int, ...]:
    rows = (
        row
        for methods in groups.values()
        for seeds in methods.values()
        for own in seeds.values()
        for row in own
    )
    return tuple(sorted({row.n for row in rows}))


# Variant, dimension and epsilon of a line; its rows by method and seed.
_Key = tuple[str | None, int, float]
_Groups = dict[_Key, dict[str, dict[int, list[MetricRow]]]]


def _grouped(rows: Iterable[MetricRow]) -> dict[tuple[str, str], _Groups]:
    tables: dict[tuple[str, str], _Groups] = {}
    for row in rows:
        if row.metric not in METRICS:
            raise DataError(
                f"metrics.csv: metric: unknown {row.metric!r}; {nearest(row.metric, METRICS)}"
            )
        metric, method = row.metric, row.method
        if row.metric == INDEPENDENT_METRIC:
            metric, method = "energy_distance", INDEPENDENT
        lines = tables.setdefault((row.experiment, metric), {})
        seeds = lines.setdefault((row.variant, row.dim, row.epsilon), {}).setdefault(method, {})
        if row.seed not in seeds:
            seeds[row.seed] = [row]
        elif method != INDEPENDENT:  # its value does not depend on the run that it was made with
            raise DataError(
                f"metrics.csv: {row.case} {method} epsilon {row.epsilon:g} seed {row.seed}: "
                f"{metric} stands twice; make the table anew with `entropic-ot table`"
            )
    for (experiment, metric), lines in tables.items():
        if (experiment, metric) == ("msci", "energy_distance"):
            lines.update(_means_of_settings(lines))
    return tables


def _means_of_settings(lines: _Groups) -> _Groups:
    """Lines of both settings together: for each method the seeds that have both."""
    combined: _Groups = {}
    for dim, epsilon in dict.fromkeys((dim, epsilon) for _, dim, epsilon in lines):
        found = {
            setting: methods
            for (variant, *rest), methods in lines.items()
            for setting in SETTINGS
            if rest == [dim, epsilon] and (variant or "").endswith(setting)
        }
        if set(found) != set(SETTINGS):
            continue
        first, second = (found[setting] for setting in SETTINGS)
        methods = {
            method: {
                seed: own[seed] + second[method][seed] for seed in own if seed in second[method]
            }
            for method, own in first.items()
            if method in second
        }
        methods = {method: seeds for method, seeds in methods.items() if seeds}
        if methods:
            combined[MEAN_OF_SETTINGS, dim, epsilon] = methods
    return combined


def _lines(
    experiment: str, metric: str, groups: _Groups, paper: Sequence[PaperValue]
) -> tuple[Line, ...]:
    """Measured lines with the numbers published for them, then those nothing was run for."""
    published = [v for v in paper if (v.experiment, v.metric) == (experiment, metric)]
    direction = METRICS[metric].lower_is_better
    keys = dict.fromkeys(groups)
    for value in published:
        if not any(_belongs(value, key) for key in groups):
            keys[value.variant, value.dim, value.epsilon] = None
    order = [variant for variant, _, _ in keys if variant != MEAN_OF_SETTINGS] + [MEAN_OF_SETTINGS]
    lines = []
    for key in sorted(keys, key=lambda k: (k[1], order.index(k[0]), k[2])):
        values = {value.method: value for value in published if _belongs(value, key)}
        measured = groups.get(key, {})
        methods = _in_order([*measured, *values])
        entries = {m: _entry(m, measured.get(m, {}), values.get(m)) for m in methods}
        lines.append(Line(*key, entries=_judged(entries, direction)))
    return tuple(lines)


def _belongs(value: PaperValue, key: _Key) -> bool:
    variant, dim, epsilon = key
    if (value.dim, value.epsilon) != (dim, epsilon):
        return False
    return value.variant in (None, variant)


def _entry(
    method: str, seeds: Mapping[int, Sequence[MetricRow]], paper: PaperValue | None
) -> Entry:
    rows = [row for own in seeds.values() for row in own]
    measured = None
    if seeds:
        measured = mean_over_seeds(
            [math.fsum(row.value for row in own) / len(own) for own in seeds.values()]
        )
    return Entry(
        method=method,
        measured=measured,
        floor=_mean([row.floor for row in rows if row.floor is not None]),
        floor_std=_mean([row.floor_std for row in rows if row.floor_std is not None]),
        paper=paper,
        train_seconds=None if method == INDEPENDENT else _mean([r.train_seconds for r in rows]),
        devices=() if method == INDEPENDENT else tuple(dict.fromkeys(r.device for r in rows)),
        commits=tuple(dict.fromkeys(map(_commit, rows))),
    )


def _commit(row: MetricRow) -> str:
    return (row.commit[:8] if row.commit else "unknown") + ("+" if row.dirty else "")


def _judged(entries: dict[str, Entry], lower_is_better: bool | None) -> dict[str, Entry]:
    """The same with is_best and is_worse_than_paper; all false where no direction is better."""
    if lower_is_better is None:
        return entries
    sign = 1 if lower_is_better else -1
    best = clearly_best(_intervals(entries), lower_is_better=lower_is_better)
    return {
        method: replace(
            entry,
            is_best=method == best,
            is_worse_than_paper=entry.measured is not None
            and entry.paper is not None
            and entry.paper.same_problem
            and not sign * entry.measured.mean <= sign * entry.paper.value,
        )
        for method, entry in entries.items()
    }


def _intervals(entries: Mapping[str, Entry]) -> dict[str, MeanOverSeeds]:
    """What was measured; a coupling that no seed enters has no width."""
    measured = {m: entry.measured for m, entry in entries.items() if entry.measured is not None}
    if INDEPENDENT in measured:
        measured[INDEPENDENT] = replace(measured[INDEPENDENT], half_width=0.0)
    return measured


def _in_order(methods: Iterable[str]) -> list[str]:
    """Each once, in the order of METHOD_LABELS; those that are not in it come last."""
    known = list(METHOD_LABELS)
    return sorted(
        dict.fromkeys(methods), key=lambda m: known.index(m) if m in known else len(known)
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
