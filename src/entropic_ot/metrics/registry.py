"""The names of all metrics and the problems on which each is defined; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

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
        "latent",
    }
)
TORCH_FIDELITY = "torch-fidelity>=0.4,<0.5"
"""The package behind Inception's features, the extra `fid` of pyproject.toml; tested with 0.4.0."""
DIGITS = frozenset({"coloured_mnist"})
"""Problems whose target is a digit, which the classifier knows."""
LATENT = frozenset({"latent"})
"""Problems with a generator, whose samples have images of its own; besides what is defined here
they have the metrics of their images."""
IMAGES = DIGITS | {"arrays", "faces", "image_classes"}
"""Problems whose points are images, or may be (arrays)."""
VECTORS = ALL - IMAGES - LATENT | {"arrays"}


@dataclass(frozen=True)
class Metric:
    """What a name in params.yaml stands for."""

    problems: frozenset[str]
    unit: str
    lower_is_better: bool | None
    description: str
    needs: frozenset[str] = frozenset()
    """What is loaded for it: lenet (the classifier), effnet, inception, lpips, reference."""
    depends_on_n: bool = False
    """Its bias, or for the unbiased kernel distance its noise, depends on the number of points, so
    tables print it."""
    latent_only: bool = False
    """Of a generator or its latents: for latent problems whose images are of one of `problems`."""


@dataclass(frozen=True)
class FeatureMetric:
    """A metric that compares two sets of images by their features."""

    measure: Literal["frechet", "kernel", "precision", "recall"]
    features: str
    """lenet, effnet or inception."""
    images: Literal["y", "x", "generated", "target"]
    """Array of the samples file that is compared with `target`; target: two halves of itself."""


FEATURES = {
    "lenet": "the digit classifier's features, which do not see colour",
    "effnet": "EfficientNet-Lite0's features",
    "inception": "the published Inception's features",
}
NETWORKS = frozenset({*FEATURES, "lpips"})
"""What metrics need that are networks."""
_FRECHET = {"lenet": "fd_lenet", "effnet": "fd_effnet", "inception": "fid"}
_KERNEL = {"lenet": "kid_lenet", "effnet": "kid_effnet", "inception": "kid"}


def _distances(
    distance: str, measure: Literal["frechet", "kernel"], features: str
) -> dict[str, FeatureMetric]:
    """Of the outputs, and of what stands beside them: generator, inputs, two halves."""
    return {
        distance: FeatureMetric(measure, features, "y"),
        f"{distance}_generator": FeatureMetric(measure, features, "generated"),
        f"{distance}_input": FeatureMetric(measure, features, "x"),
        f"{distance}_real": FeatureMetric(measure, features, "target"),
    }


def _feature_metrics() -> dict[str, FeatureMetric]:
    metrics: dict[str, FeatureMetric] = {}
    for name in FEATURES:
        metrics |= _distances(_FRECHET[name], "frechet", name)
        metrics |= _distances(_KERNEL[name], "kernel", name)
        metrics[f"precision_{name}"] = FeatureMetric("precision", name, "y")
        metrics[f"recall_{name}"] = FeatureMetric("recall", name, "y")
    return metrics


FEATURE_METRICS = _feature_metrics()


def _described(metric: FeatureMetric) -> Metric:
    features = f"in {FEATURES[metric.features]}"
    side = {
        "y": "outputs and real images",
        "x": "inputs and real images",
        "generated": "the generator's own images and real images",
        "target": "two halves of the real images",
    }[metric.images]
    text = {
        "frechet": f"Frechet distance between {side} {features}",
        "kernel": f"unbiased squared MMD (cubic kernel) between {side} {features}",
        "precision": f"share of outputs within the manifold of the real images {features}",
        "recall": f"share of real images within the manifold of the outputs {features}",
    }[metric.measure]
    share = metric.measure in ("precision", "recall")
    problems = DIGITS if metric.features == "lenet" else IMAGES
    return Metric(
        problems,
        "%" if share else "",
        not share if metric.images == "y" else None,
        text,
        frozenset({metric.features}),
        depends_on_n=True,
        latent_only=metric.images == "generated",
    )


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
        frozenset({"reference"}),
    ),
    "latent_energy_distance": Metric(
        IMAGES,
        "",
        True,
        "energy_distance of the outputs' latents to draws of the latent target",
        latent_only=True,
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
        frozenset({"coloured_mnist"}),
        "%",
        False,
        "outputs that the classifier calls the target",
        frozenset({"lenet"}),
    ),
    "share_correct": Metric(
        DIGITS,
        "%",
        False,
        "outputs that the classifier calls the target digit, whichever it is",
        frozenset({"lenet"}),
    ),
    "lpips_diversity": Metric(
        IMAGES,
        "",
        None,
        "mean over x of the mean LPIPS (AlexNet) over pairs of samples of y given x",
        frozenset({"lpips"}),
    ),
    "lpips_cost": Metric(
        IMAGES, "", None, "mean LPIPS (AlexNet) of input and output", frozenset({"lpips"})
    ),
    "hue_error": Metric(
        frozenset({"coloured_mnist"}), "degrees", True, "mean hue difference of input and output"
    ),
} | {name: _described(metric) for name, metric in FEATURE_METRICS.items()}

PUBLISHED_WEIGHTS = ("effnet", "inception", "lpips")
"""What `entropic-ot fetch` gets, by the names in Metric.needs."""
LPIPS_SMALLEST_SIDE = 31
"""Pixels: below, AlexNet's second pooling has nothing left to pool."""


def needs_of(names: Iterable[str]) -> frozenset[str]:
    """What must be loaded to compute these metrics."""
    return frozenset().union(*(METRICS[name].needs for name in names))


def check_metrics(
    names: Iterable[str],
    problem_kind: str,
    path: str,
    *,
    images_kind: str | None = None,
    image_size: int | None = None,
) -> None:
    """ConfigError when a name is unknown or not defined for this kind of problem.

    images_kind: of a latent problem, the kind of its images.
    image_size: side of the problem's images in pixels, where its settings tell it.
    """
    own, is_latent = {problem_kind, images_kind}, problem_kind in LATENT
    defined = [
        name
        for name, metric in METRICS.items()
        if own & metric.problems and (is_latent or not metric.latent_only)
    ]
    for name in names:
        if name in METRICS and name not in defined:
            metric = METRICS[name]
            kinds = "latent" if metric.latent_only else ", ".join(sorted(metric.problems))
            raise ConfigError(
                f"{path}: {name!r} is not a metric of {problem_kind} but of {kinds}; take it out"
            )
        if name not in defined:
            raise ConfigError(
                f"{path}: {name!r} is not a metric of {problem_kind}; {nearest(name, defined)}"
            )
        too_small = image_size is not None and image_size < LPIPS_SMALLEST_SIDE
        if "lpips" in METRICS[name].needs and too_small:
            raise ConfigError(
                f"{path}: found {name} for images of {image_size} pixels, expected sides of "
                f"{LPIPS_SMALLEST_SIDE} at least (AlexNet pools smaller ones to nothing). "
                "Take it out, or raise problem.image_size."
            )
