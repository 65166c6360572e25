"""Small problems that several tests run."""

from __future__ import annotations

from entropic_ot.experiments.config import GaussianProblem, MixtureProblem

GAUSSIAN = GaussianProblem(kind="gaussian", dim=3, source_seed=42, target_seed=43)
MIXTURE = MixtureProblem(
    kind="mixture",
    dim=3,
    num_components=5,
    mean_norm=5.0,
    component_std=0.25,
    source_std=0.5,
    parameters_seed=0,
    archive=None,
)
