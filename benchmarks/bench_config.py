"""The settings of the benchmarks, read strictly from settings.yaml and params.yaml."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.config import (
    SOLVER_CONFIGS,
    ColouredMNISTProblem,
    GaussianProblem,
    Method,
    RunConfig,
)
from entropic_ot.experiments.params import load_params, merged, read_yaml
from entropic_ot.networks.config import KINDS, NetworkConfig
from entropic_ot.solvers.config import SolverConfig
from entropic_ot.strict import at_least, convert, from_mapping, nearest

SETTINGS = Path(__file__).with_name("settings.yaml")
PARAMS = Path("params.yaml")
IMAGE_KINDS = {kind for (_, axes), kinds in KINDS.items() if axes == 3 for kind in kinds}


@dataclass(frozen=True, kw_only=True)
class RandomImages:
    """Uniformly random colour images on either side: speed does not depend on the pixels."""

    kind: Literal["images"]
    """The data's name."""
    num: int
    """Images on either side."""
    size: int
    """Side in pixels."""

    def __post_init__(self) -> None:
        at_least(1, self, "num", "size")


@dataclass(frozen=True, kw_only=True)
class SolverCase:
    """A solver at work: a training step, Langevin steps of given chains, or sampling."""

    kind: Literal["solver"]
    """The case's kind."""
    work: Literal["step", "langevin", "sample"]
    """What is timed: `step`, `langevin` or `sample` of the solver."""
    method: Literal["enot", "egnot"]
    """Which solver."""
    preset: str
    """Key below presets.<method> of params.yaml."""
    settings: dict[str, Any]
    """Settings that differ from the preset."""
    epsilon: float
    """Entropic regularisation."""
    data: GaussianProblem | RandomImages
    """What is transported."""
    num_points: int
    """Points of `langevin` and `sample`; a step takes its batch size from the settings."""
    num_steps: int
    """Steps of `langevin`; steps after which the gradients of `step` are compared."""
    max_repeats: int
    """Most repetitions, however many are asked for."""


@dataclass(frozen=True, kw_only=True)
class BufferCase:
    """The replay buffer alone: one draw and one push of a training step."""

    kind: Literal["buffer"]
    """The case's kind."""
    dim: int
    """Coordinates of a point."""
    buffer_size: int
    """Pairs in the buffer."""
    batch_size: int
    """Pairs that are written."""
    buffer_probability: float
    """Share of them that is drawn."""
    max_repeats: int
    """Most repetitions."""


@dataclass(frozen=True, kw_only=True)
class PrepareCase:
    """The preparation of the coloured digits."""

    kind: Literal["prepare"]
    """The case's kind."""
    raw: str
    """Folder of MNIST's files."""
    image_size: int
    """Side in pixels."""
    source_digit: int
    """Digit of the source."""
    target_digit: int
    """Digit of the target."""
    seed: int
    """Of the hues."""
    max_repeats: int
    """Most repetitions."""


@dataclass(frozen=True, kw_only=True)
class FetchCase:
    """Files out of a mirror folder, checked by their sha256."""

    kind: Literal["fetch"]
    """The case's kind."""
    num_files: int
    """Random files in the folder."""
    file_mb: int
    """Size of each, in 2^20 bytes."""
    max_repeats: int
    """Most repetitions."""

    def __post_init__(self) -> None:
        at_least(1, self, "num_files", "file_mb")


@dataclass(frozen=True, kw_only=True)
class CommandCase:
    """The seconds of a command, which has no reference."""

    kind: Literal["command"]
    """The case's kind."""
    command: tuple[str, ...]
    """The words; python is the running interpreter."""
    needs: str | None
    """Program that must be installed; the case is skipped where it is not."""
    expect: str
    """Must stand in what the command prints; the case is skipped where it does not."""
    otherwise: str
    """What to do then."""
    max_repeats: int
    """Most repetitions."""


@dataclass(frozen=True, kw_only=True)
class LatentCase:
    """The gradient in z of 1/2 |x - G(z)|^2, G a StyleGAN2 generator with random weights."""

    kind: Literal["latent_gradient"]
    """The case's kind."""
    image_size: int
    """Side in pixels, a power of two."""
    channel_base: int
    """Channels at a resolution are channel_base over it, ..."""
    channel_max: int
    """... but at most this many."""
    mapping_layers: int
    """Layers from z to w."""
    latent_dim: int
    """Coordinates of z and w."""
    batch_size: int
    """Images."""
    max_repeats: int
    """Most repetitions."""

    def __post_init__(self) -> None:
        at_least(1, self, "batch_size", "mapping_layers", "latent_dim")


CaseConfig = SolverCase | BufferCase | PrepareCase | FetchCase | CommandCase | LatentCase


@dataclass(frozen=True, kw_only=True)
class QualityMethod:
    """One training of time_to_quality.py."""

    preset: str
    """Key below presets.<method> of params.yaml."""
    settings: dict[str, Any]
    """Settings that differ from the preset."""
    num_steps: int
    """Outer training steps."""
    evaluate_every: int
    """Steps between evaluations, whose time is not counted."""
    num_samples: int
    """Points of an evaluation."""
    batch_size: int
    """Points sampled at once."""

    def __post_init__(self) -> None:
        at_least(1, self, "num_steps", "evaluate_every", "batch_size")
        at_least(2, self, "num_samples")


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """All of time_to_quality.py."""

    data: GaussianProblem
    """A problem with a closed form."""
    epsilon: float
    """Entropic regularisation."""
    seed: int
    """Of weights and draws."""
    thresholds: tuple[float, ...]
    """Values of bw_uvp_plan in percent that are to be reached."""
    methods: dict[str, QualityMethod]
    """enot, egnot -> training."""


@dataclass(frozen=True, kw_only=True)
class ScalingMethod:
    """What scaling.py changes of one method."""

    preset: str
    """Key below presets.<method> of params.yaml."""
    settings: dict[str, Any]
    """Settings that differ from the preset at the base point."""
    values: dict[str, Any]
    """dim, epsilon or a setting -> list of its values, the rest being as at the base point."""


@dataclass(frozen=True, kw_only=True)
class ScalingConfig:
    """All of scaling.py."""

    dim: int
    """Coordinates of a point at the base point."""
    epsilon: float
    """Entropic regularisation there."""
    seconds_a_point: float
    """Timed steps of a point stop after this."""
    methods: dict[str, ScalingMethod]
    """enot, egnot -> what is changed."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole of settings.yaml."""

    cases: dict[str, CaseConfig]
    """What run.py times, by name."""
    time_to_quality: QualityConfig
    """What time_to_quality.py trains."""
    scaling: ScalingConfig
    """What scaling.py measures."""


def load_settings(path: Path = SETTINGS) -> Settings:
    """settings.yaml, strictly: ConfigError names an unknown, missing or misfitting key."""
    return from_mapping(Settings, read_yaml(path), f"{path}: ")


def choose_cases(settings: Settings, names: list[str] | None) -> dict[str, CaseConfig]:
    """The cases with these names (all, for None); ConfigError on an unknown one."""
    for name in names or []:
        if name not in settings.cases:
            raise ConfigError(f"--only: unknown case {name!r}; {nearest(name, settings.cases)}")
    return {k: v for k, v in settings.cases.items() if names is None or k in names}


def _networks(solver: SolverConfig) -> list[NetworkConfig]:
    values = [getattr(solver, field.name) for field in dataclasses.fields(solver)]
    return [value for value in values if isinstance(value, NetworkConfig)]


def run_config(
    method: str, preset: str, settings: dict[str, Any], *, epsilon: float, seed: int = 0
) -> RunConfig:
    """The configuration that the workflow would build a solver from, with these settings.

    Any run of params.yaml stands in for what is no setting of the solver (device, precision).
    """
    presets = read_yaml(PARAMS)["presets"][method]
    if preset not in presets:
        raise ConfigError(f"preset of {method}: unknown {preset!r}; {nearest(preset, presets)}")
    solver = convert(SOLVER_CONFIGS[method], merged(presets[preset], settings), f"{method}")
    images = any(network.kind in IMAGE_KINDS for network in _networks(solver))
    anyone = next(
        run.config
        for run in load_params(PARAMS).runs
        if isinstance(run.config.problem, ColouredMNISTProblem) == images
    )
    return dataclasses.replace(
        anyone, method=cast(Method, method), epsilon=epsilon, seed=seed, solver=solver
    )
