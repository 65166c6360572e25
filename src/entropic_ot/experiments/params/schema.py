"""What may stand in params.yaml, before scales and variants are resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from entropic_ot.experiments.config import ClassifierConfig, ComputeConfig
from entropic_ot.experiments.generator_config import GeneratorSource
from entropic_ot.solvers.config import DiscretePlanConfig

SCALES = ("smoke", "laptop", "paper")


@dataclass(frozen=True, kw_only=True)
class MethodParams:
    """One method within an experiment."""

    preset: str
    """Key below `presets.<method>` whose settings these start from."""
    epsilons: tuple[float, ...]
    """One run for each of these and each seed."""
    num_steps: int
    """Outer training steps."""
    settings: dict[str, Any]
    """Settings that differ from the preset."""
    per_epsilon: dict[str, Any]
    """epsilon -> {num_steps, settings} that differ for it, which some scale must have."""


@dataclass(frozen=True, kw_only=True)
class ExperimentParams:
    """One experiment; each variant is the experiment with some keys changed."""

    enabled: Literal[True, False, "auto"]
    """false leaves the experiment out of `all` (of this scale); it is checked all the same.
    auto: it takes part if its data is there or can be fetched, and one line says if not.
    true: data that is not there and cannot be fetched is an error before anything runs."""
    problem: dict[str, Any]
    """The problem, with its `kind`."""
    seeds: tuple[int, ...]
    """One run for each of these."""
    evaluation: dict[str, Any]
    """What differs from the top-level `evaluation`."""
    methods: dict[str, Any]
    """enot, egnot, sinkhorn, lightsb -> MethodParams; null leaves a method out."""
    variants: dict[str, Any]
    """name -> keys of this experiment that differ; {} for none."""


@dataclass(frozen=True, kw_only=True)
class FigureParams:
    """One figure or table notebook of workflow/notebooks."""

    experiments: tuple[str, ...]
    """Experiments whose samples it reads; it is made when all of them are in `all`."""
    notebook: str
    """The notebook that draws it: workflow/notebooks/<notebook>.py."""
    caption: str
    """One sentence for the report."""


@dataclass(frozen=True, kw_only=True)
class ParamsFile:
    """The whole of params.yaml."""

    scale: Literal["smoke", "laptop", "paper"]
    """Which overrides below `scales` apply, and the folder of the results."""
    compute: ComputeConfig
    """Device and precision."""
    evaluation: dict[str, Any]
    """Defaults of every experiment's evaluation (EvaluationParams)."""
    classifier: ClassifierConfig
    """The independent digit classifier."""
    reference: DiscretePlanConfig
    """The large discrete plan behind conditional_energy_distance."""
    generators: dict[str, GeneratorSource]
    """StyleGAN2 generators by name; those that an enabled experiment uses are made."""
    presets: dict[str, dict[str, Any]]
    """method -> preset name -> a complete set of settings."""
    experiments: dict[str, ExperimentParams]
    """The experiments by name."""
    figures: dict[str, FigureParams]
    """The figures by the name of their notebook."""
    scales: dict[str, Any]
    """scale -> keys of this file that differ at that scale."""
