"""What metrics read of one run, and what they give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from entropic_ot.device import make_rng
from entropic_ot.experiments.build import Benchmark, as_array
from entropic_ot.experiments.config import EvaluationConfig
from entropic_ot.experiments.reference_plans import ReferencePlans
from entropic_ot.metrics.features import FeatureExtractor
from entropic_ot.networks.classifier import DigitClassifier
from entropic_ot.networks.lpips_alexnet import LPIPSAlexNet

FLOOR_SEED = 777
"""Seed of the exact sampler behind the floors: other draws than those of the samples."""


@dataclass(frozen=True)
class Evaluation:
    """What metrics read; of the networks only those that the run's metrics need are there."""

    samples: Mapping[str, np.ndarray]
    benchmark: Benchmark
    epsilon: float
    settings: EvaluationConfig
    target_digit: int | None = None
    classifier: DigitClassifier | None = None
    reference: ReferencePlans | None = None
    extractors: Mapping[str, FeatureExtractor] = field(default_factory=dict)
    """Of features of images, by the names in metrics.registry.FEATURES."""
    lpips: LPIPSAlexNet | None = None
    real_side: Path | None = None
    """Folder in which features of real images are kept; None: nowhere."""
    features: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """Those computed so far, by the names of the array and of the features."""

    def __getitem__(self, name: str) -> np.ndarray:
        return self.samples[name].astype(np.float32)

    def fresh_target(self, n: int) -> np.ndarray:
        """n new draws of the target (problems given by a formula)."""
        return as_array(self.benchmark.test_target.sample(n, rng=make_rng(FLOOR_SEED)))


@dataclass(frozen=True)
class AtTime:
    """A metric of X_t at one time."""

    t: float
    value: float
    floor: float
    """What an exact sampler gets with as many points."""


@dataclass(frozen=True)
class Value:
    """A metric's value, its floor and the number of points behind it."""

    value: float
    floor: float | None
    """What an exact sampler gets with as many points (of sets of images: as many real ones of the
    training set, against the same real test images); None: unknown."""
    n: int
    floor_std: float | None = None
    """Standard deviation of the floor, where it is a mean over exact samplers; None: one draw."""
    over_time: tuple[AtTime, ...] = ()
    """What `value` and `floor` are the means of, for a metric of a process."""
