"""The names of all metrics and the problems on which each is defined; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from entropic_ot.errors import ConfigError
from entropic_ot.strict import nearest

ALL = frozenset(
    {
        "toy_8gaussians",
        "toy_swissroll",
        "gaussian",
        "mixture",
        "coloured_mnist",
        "msci",
        "arrays",
        "faces",
        "image_classes",
    }
)
VECTORS = ALL - {"coloured_mnist", "faces", "image_classes"}


@dataclass(frozen=True)
class Metric:
    """What a name in params.yaml stands for."""

    problems: frozenset[str]
    unit: str
    lower_is_better: bool | None
    description: str


METRICS: dict[str, Metric] = {
    "bw_uvp_plan": Metric(
        frozenset({"gaussian"}), "%", True, "BW2-UVP of the joint plan against the closed form"
    ),
    "bw_uvp_target": Metric(
        frozenset({"gaussian", "mixture"}), "%", True, "BW2-UVP of the generated marginal"
    ),
    "bw_uvp_path": Metric(
        frozenset({"gaussian"}), "%", True, "BW2-UVP of X_t, mean over times inside (0, 1)"
    ),
    "cbw_uvp": Metric(
        frozenset({"gaussian", "mixture"}),
        "%",
        True,
        "mean over x of BW2 of y given x against the exact plan, in percent of half the variance",
    ),
    "energy_distance": Metric(VECTORS, "", True, "E|X-Y| - 1/2 E|X-X'| - 1/2 E|Y-Y'|, U-statistic"),
    "conditional_energy_distance": Metric(
        frozenset({"toy_8gaussians", "toy_swissroll"}),
        "",
        True,
        "mean over x of the energy distance of y given x to a large discrete plan",
    ),
    "energy_distance_independent": Metric(
        frozenset({"msci"}), "", None, "energy_distance of the independent coupling's bridge"
    ),
    "share_of_modes_min": Metric(
        frozenset({"toy_8gaussians"}),
        "%",
        None,
        "share of samples within 3 std of the emptiest mode",
    ),
    "share_of_modes_max": Metric(
        frozenset({"toy_8gaussians"}),
        "%",
        None,
        "share of samples within 3 std of the fullest mode",
    ),
    "conditional_variance": Metric(
        ALL, "", None, "mean over x of the variance of y given x, summed over coordinates"
    ),
    "cost_half_l2": Metric(ALL, "", None, "mean transport cost 1/2 |x - y|^2"),
    "share_three": Metric(
        frozenset({"coloured_mnist"}), "%", False, "outputs that the classifier calls the target"
    ),
    "fd_lenet": Metric(
        frozenset({"coloured_mnist"}),
        "",
        True,
        "Frechet distance in the classifier's features, which do not see colour",
    ),
    "hue_error": Metric(
        frozenset({"coloured_mnist"}), "degrees", True, "mean hue difference of input and output"
    ),
}
NEEDS_CLASSIFIER = frozenset({"share_three", "fd_lenet"})
NEEDS_REFERENCE = frozenset({"conditional_energy_distance"})
"""Metrics that compare with a large discrete plan: left out at epsilon = 0, where there is none."""


def check_metrics(names: Iterable[str], problem_kind: str, path: str) -> None:
    """ConfigError when a name is unknown or not defined for this kind of problem."""
    defined = [name for name, metric in METRICS.items() if problem_kind in metric.problems]
    for name in names:
        if name not in defined:
            raise ConfigError(
                f"{path}: {name!r} is not a metric of {problem_kind}; {nearest(name, defined)}"
            )
