"""Metrics of runs whose points are images: distances of sets, LPIPS, the classifier's verdict."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from entropic_ot.device import make_rng
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.build import as_array
from entropic_ot.experiments.evaluation import FLOOR_SEED, Evaluation, Value
from entropic_ot.metrics.colour import hue_error
from entropic_ot.metrics.features import full_float32
from entropic_ot.metrics.frechet import frechet_distance
from entropic_ot.metrics.kernel_distance import kernel_distance
from entropic_ot.metrics.perceptual import MAX_SAMPLES, lpips_cost, lpips_diversity
from entropic_ot.metrics.precision_recall import NUM_NEIGHBOURS, share_in_manifold
from entropic_ot.metrics.real_side import real_features, split_real
from entropic_ot.metrics.registry import FEATURE_METRICS, FeatureMetric
from entropic_ot.problems.base import FiniteDistribution

SPLIT_SEED = 777
SUBSET_SEED = 778
REAL_ARRAYS = ("target", "x", "generated")
"""Arrays of the samples file that are the same for all runs of a case: their features are kept."""


def _precision(generated: np.ndarray, real: np.ndarray) -> float:
    return 100 * share_in_manifold(generated, real)


def _recall(generated: np.ndarray, real: np.ndarray) -> float:
    return 100 * share_in_manifold(real, generated)


def _kernel(generated: np.ndarray, real: np.ndarray) -> float:
    return kernel_distance(generated, real, rng=np.random.default_rng(SUBSET_SEED))


# Of features [n, d] and [m, d]; the fewest points of each side.
_MEASURES: dict[str, tuple[Callable[[np.ndarray, np.ndarray], float], int]] = {
    "frechet": (frechet_distance, 2),
    "kernel": (_kernel, 2),
    "precision": (_precision, NUM_NEIGHBOURS + 1),
    "recall": (_recall, NUM_NEIGHBOURS + 1),
}


def compare_features(e: Evaluation, name: str, metric: FeatureMetric) -> Value:
    """A set of images against the real test images; the floor: real training images instead."""
    measure, fewest = _MEASURES[metric.measure]
    real = _features(e, name, "target", metric.features)
    if metric.images == "target":
        _check_number(name, len(real), 8)
        a, b = split_real(real, seed=SPLIT_SEED)
        return Value(measure(a, b), None, len(a))
    points = _features(e, name, metric.images, metric.features)
    _check_number(name, min(len(points), len(real)), fewest)
    other = _other_real(e, len(points), e["target"].shape[1:])
    floor = None
    if other is not None:
        extractor = e.extractors[metric.features]
        floor = measure(real_features(other, extractor, cache=e.real_side), real)
    return Value(measure(points, real), floor, len(points))


def _features(e: Evaluation, name: str, array: str, features: str) -> np.ndarray:
    """Features [n, d] of an array of the samples file, computed once in an evaluation."""
    if (array, features) not in e.features:
        images, extractor = _images(e, name, array), e.extractors[features]
        cache = e.real_side if array in REAL_ARRAYS else None
        e.features[array, features] = real_features(images, extractor, cache=cache)
    return e.features[array, features]


def _images(e: Evaluation, name: str, array: str) -> np.ndarray:
    """In the 16 bits of the file: whatever embeds them makes 32 of a batch."""
    if array not in e.samples:
        raise ConfigError(
            f"evaluation.metrics: {name}: found no array `{array}` in the samples file, expected "
            "the generator's own images: it is a metric of latent problems. Take it out."
        )
    return e.samples[array]


def _check_number(name: str, found: int, fewest: int) -> None:
    if found < fewest:
        raise ConfigError(
            f"evaluation.num_samples: found {found} images on a side of {name}, expected "
            f"{fewest} at least. Raise it (the test sets bound it), or take {name} out."
        )


def _other_real(e: Evaluation, n: int, shape: tuple[int, ...]) -> np.ndarray | None:
    """n training images of the target, drawn without replacement.

    None where there are fewer, and where the test target holds the very photographs that the
    inputs were made of: other photographs are then no measure of what can be reached.
    """
    train = e.benchmark.target
    if (
        e.benchmark.paired_test
        or not isinstance(train, FiniteDistribution)
        or train.shape != shape
        or len(train) < n
    ):
        return None
    rows = torch.randperm(len(train), generator=make_rng(FLOOR_SEED))[:n]
    return as_array(train.at(rows))


def _share_correct(e: Evaluation) -> Value:
    assert e.classifier is not None
    classifier, digit = e.classifier, e.target_digit
    if digit is None:
        raise ConfigError(
            "evaluation.metrics: share_correct: found a problem without target_digit, expected "
            "one whose target is a digit. Take it out."
        )

    device = next(classifier.parameters()).device

    def share(images: np.ndarray) -> float:
        parts = torch.from_numpy(images).split(256)
        with full_float32():
            labels = torch.cat([classifier.labels(part.to(device)).cpu() for part in parts])
        return 100 * float((labels.numpy() == digit).mean())

    return Value(share(e["y"]), share(e["target"]), len(e["y"]))


def _lpips_diversity(e: Evaluation) -> Value:
    assert e.lpips is not None
    y = e.samples["conditional_y"]
    return Value(lpips_diversity(e.lpips, y), None, len(y) * min(y.shape[1], MAX_SAMPLES))


def _lpips_cost(e: Evaluation) -> Value:
    assert e.lpips is not None
    return Value(lpips_cost(e.lpips, e.samples["x"], e.samples["y"]), None, len(e.samples["y"]))


IMAGE_METRIC_FUNCTIONS: dict[str, Callable[[Evaluation], Value]] = {
    "share_three": _share_correct,
    "share_correct": _share_correct,
    "hue_error": lambda e: Value(hue_error(e["x"], e["y"]), None, len(e["y"])),
    "lpips_diversity": _lpips_diversity,
    "lpips_cost": _lpips_cost,
    **{
        name: partial(compare_features, name=name, metric=metric)
        for name, metric in FEATURE_METRICS.items()
    },
}
