"""Small problems that several tests run, and settings of evaluations."""

from __future__ import annotations

from entropic_ot.experiments.config import EvaluationConfig, GaussianProblem, MixtureProblem

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

PAIRS_ALONE = EvaluationConfig(
    num_samples=2,
    num_conditional=1,
    num_per_source=2,
    num_conditional_moments=0,
    num_per_moment=2,
    num_path_times=0,
    num_paths=1,
    batch_size=1000,
    seed=0,
    metrics=("energy_distance",),
)
"""For metrics of given pairs (x, y)."""
