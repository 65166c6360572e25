"""The numbers of the papers, read strictly from workflow/paper_values.yaml."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.params import read_yaml
from entropic_ot.metrics.registry import METRICS
from entropic_ot.strict import at_least, from_mapping, nearest, not_negative, positive

EXPERIMENTS = (
    *("toy_8gaussians", "toy_swissroll", "gaussian", "mixture"),
    *("cmnist_2to3", "faces_deblur", "msci"),
)
"""Experiments with published numbers; their names are those of params.yaml."""
METHOD_LABELS = {
    "independent": "independent coupling",
    "sinkhorn": "Sinkhorn",
    "lightsb": "LightSB",
    "enot": "ENOT",
    "egnot": "EgNOT",
}
"""Methods that are run here, in the order of the tables' columns; others have printed names."""


@dataclass(frozen=True, kw_only=True)
class PaperValue:
    """One published number."""

    experiment: str
    """Experiment of params.yaml that it is compared with."""
    variant: str | None
    """Its variant; null: every variant of this dimension. 2to4+3to7: the mean of both settings."""
    dim: int
    """Dimension D."""
    epsilon: float
    """Entropic regularisation in the convention of docs/conventions.md."""
    method: str
    """A method of this project (enot, egnot, lightsb, sinkhorn), or a peer as printed."""
    metric: str
    """Name from the registry."""
    value: float
    """As printed, in the registry's unit."""
    interval: float | None
    """Printed half-width of a 95 % interval; null: none printed."""
    remembered: bool
    """true: remembered, not read from the paper; tables print it with the mark (m). false: read,
    in the paper or where `place` says."""
    same_problem: bool
    """Whether it is of the very problem that is run here. false: of another draw of its random
    parameters; tables print the mark ‡ and call ours neither better nor worse."""
    paper: str
    """Key below `papers`: where it was published."""
    place: str | None
    """Section or table; null: not known."""
    train_seconds: float | None
    """Published seconds of a training; null: none known."""
    device: str | None
    """What these seconds were measured on; null: not known."""

    def __post_init__(self) -> None:
        at_least(1, self, "dim")
        not_negative(self, "epsilon")
        if not math.isfinite(self.value):
            raise ConfigError(f"value: found {self.value!r}, expected a finite number")
        if self.interval is not None:
            not_negative(self, "interval")
        if self.train_seconds is not None:
            positive(self, "train_seconds")

    @property
    def mark(self) -> str:
        """(m) for a remembered number, ‡ for one of another draw of the problem."""
        return " ".join(["(m)"] * self.remembered + ["‡"] * (not self.same_problem))

    @property
    def key(self) -> tuple[str, str | None, int, float, str, str]:
        """What there may be one number of."""
        return (
            self.experiment, self.variant, self.dim, self.epsilon, self.method, self.metric,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PaperValuesFile:
    """The whole of workflow/paper_values.yaml."""

    papers: dict[str, str]
    """Short name -> the paper, as it is cited."""
    values: tuple[PaperValue, ...]
    """The numbers."""


def load_paper_values(
    path: str | Path,
    *,
    experiments: Iterable[str] = EXPERIMENTS,
    metrics: Iterable[str] = METRICS,
) -> list[PaperValue]:
    """The published numbers in a YAML file, in its order.

    Raises:
        ConfigError: the file is missing or no YAML; a key is unknown, missing or of the wrong
            type; an experiment, a metric or a paper is unknown (the nearest known one is named);
            a number stands twice.
    """
    file = from_mapping(PaperValuesFile, read_yaml(Path(path)), f"{path}: ")
    names = {"experiment": list(experiments), "metric": list(metrics), "paper": list(file.papers)}
    first: dict[tuple[object, ...], int] = {}
    for number, value in enumerate(file.values):
        where = f"{path}: values[{number}]"
        for field, known in names.items():
            if (found := getattr(value, field)) not in known:
                raise ConfigError(f"{where}.{field}: unknown {found!r}; {nearest(found, known)}")
        if value.method not in METHOD_LABELS and value.method.lower() in METHOD_LABELS:
            raise ConfigError(
                f"{where}.method: found {value.method!r}, expected {value.method.lower()!r}: "
                "methods of this project are written as in params.yaml"
            )
        if value.key in first:
            raise ConfigError(
                f"{where}: the same experiment, variant, dim, epsilon, method and metric as "
                f"values[{first[value.key]}]; keep one of them"
            )
        first[value.key] = number
    return list(file.values)


def load_papers(path: str | Path) -> dict[str, str]:
    """Short name -> the paper as it is cited, from the same file; ConfigError as above."""
    return from_mapping(PaperValuesFile, read_yaml(Path(path)), f"{path}: ").papers
