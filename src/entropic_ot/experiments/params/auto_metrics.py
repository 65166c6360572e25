"""evaluation.auto_metrics: metrics that are computed where what they need is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.config import EvaluationConfig
from entropic_ot.experiments.params import availability
from entropic_ot.metrics.registry import METRICS
from entropic_ot.strict import from_mapping

KEY = "auto_metrics"
Names: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EvaluationParams(EvaluationConfig):
    """`evaluation` in params.yaml: EvaluationConfig, of which jobs read, and one key more."""

    auto_metrics: Names
    """Metrics in Inception's features, computed where weights and package are there."""


@dataclass
class AutoMetrics:
    """Adds them to evaluations, and keeps which were left out."""

    not_computed: dict[str, list[str]] = field(default_factory=dict)
    """metric -> the cases without it."""

    def evaluation(self, settings: Mapping[str, Any], path: str) -> tuple[EvaluationConfig, Names]:
        """The evaluation without automatic metrics, and these metrics' names.

        Raises:
            ConfigError: an unknown key or value, or a metric that is always at hand.
        """
        asked = from_mapping(EvaluationParams, settings, path)
        names = asked.auto_metrics
        plain = {key: value for key, value in vars(asked).items() if key != KEY}
        evaluation = EvaluationConfig(**plain)
        for name in names:
            if name in evaluation.metrics or names.count(name) > 1:
                raise ConfigError(f"{path}.{KEY}: {name!r} stands twice; keep one of them")
            if name in METRICS and "inception" not in METRICS[name].needs:
                raise ConfigError.about(
                    f"{path}.{KEY}",
                    found=f"{name}, whose files every machine can get",
                    expected="metrics in Inception's features: fid, kid and their like",
                    action=f"Move {name} to {path}.metrics.",
                )
        return evaluation, names

    def added(self, evaluation: EvaluationConfig, names: Names, case: str) -> EvaluationConfig:
        """The evaluation of a case with those of `names` that can be computed."""
        if names and availability.inception_lacks() is not None:
            for name in names:
                self.not_computed.setdefault(name, []).append(case)
            return evaluation
        return replace(evaluation, metrics=(*evaluation.metrics, *names))

    def line(self) -> list[str]:
        """One line on all that is left out, which starts with the metrics' names; or none."""
        lack = availability.inception_lacks()
        if lack is None or not self.not_computed:
            return []
        return [availability.not_computed_line(self.not_computed, lack)]
