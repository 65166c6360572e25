"""From params.yaml at one scale to runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.config import (
    SOLVER_CONFIGS,
    EvaluationConfig,
    LatentProblem,
    ProblemConfig,
    ReferenceConfig,
    RunConfig,
    image_problem,
)
from entropic_ot.experiments.generator_config import ConvertedGenerator, TrainedGenerator
from entropic_ot.experiments.params import availability
from entropic_ot.experiments.params.auto_metrics import AutoMetrics
from entropic_ot.experiments.params.per_epsilon import at_epsilon, check_per_epsilon, string_keys
from entropic_ot.experiments.params.resolved import Params, Run
from entropic_ot.experiments.params.schema import (
    SCALES,
    ExperimentParams,
    MethodParams,
    ParamsFile,
)
from entropic_ot.experiments.params.yaml_file import merged, read_yaml
from entropic_ot.experiments.paths import dataset_name, generator_of
from entropic_ot.metrics.registry import check_metrics, needs_of
from entropic_ot.solvers.config import DiscretePlanConfig, SolverConfig
from entropic_ot.strict import convert, from_mapping, join, key_text, nearest, shown


def load_params(
    path: Path | str = "params.yaml",
    *,
    scale: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Params:
    """Read, check and resolve params.yaml at `scale` (default: the scale in the file).

    overrides: top-level keys laid over the file, as `snakemake --config` gives them.
    Raises ConfigError with the key path, what was found, what was expected, what to do; and
    DataError with all files that enabled experiments lack and that can be had from nowhere.
    """
    data = merged(read_yaml(Path(path)), dict(overrides or {}))
    chosen = scale or data.get("scale")
    if chosen not in SCALES:
        raise ConfigError(
            f"{path}: scale: found {shown(chosen)}, expected one of {', '.join(SCALES)}"
        )
    scales = data.get("scales")
    if not isinstance(scales, Mapping) or set(scales) != set(SCALES):
        raise ConfigError(f"{path}: scales: expected exactly the keys {', '.join(SCALES)}")
    for name in SCALES:
        override = scales[name] or {}
        if not isinstance(override, Mapping):
            raise ConfigError(f"{path}: scales.{name}: found {shown(override)}, expected a mapping")
        _check_override_keys(data, override, f"{path}: scales.{name}")
    override = scales[chosen] or {}
    at_scale = merged(data, override) | {"scale": chosen}
    params = _resolve(from_mapping(ParamsFile, at_scale, f"{path}: "), str(path))
    check_per_epsilon(data, str(path))
    return params


def _check_override_keys(data: Mapping[str, Any], override: Mapping[str, Any], path: str) -> None:
    """Top-level keys and experiment names of an override must exist in the file itself."""
    for key in override:
        if key not in data or key in ("scale", "scales"):
            known = [k for k in data if k not in ("scale", "scales")]
            raise ConfigError(f"{join(path, key)}: unknown key; {nearest(key, known)}")
    for section in ("experiments", "figures", "generators", "presets"):
        names = override.get(section) or {}
        if not isinstance(names, Mapping):
            raise ConfigError(f"{path}.{section}: found {shown(names)}, expected a mapping")
        block = data.get(section)
        if not isinstance(block, Mapping):
            continue  # an error of the file itself, which is checked next
        for name in names:
            if name not in block:
                raise ConfigError(
                    f"{join(f'{path}.{section}', name)}: unknown; {nearest(name, block)}"
                )


NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", flags=re.ASCII)


def _check_names(params: ParamsFile, path: str) -> None:
    """Names that become names of files, and words of the rules' shell commands."""
    named = [
        *((f"experiments.{key_text(name)}", name) for name in params.experiments),
        *(
            (f"experiments.{experiment}.variants.{key_text(variant)}", variant)
            for experiment, settings in params.experiments.items()
            for variant in settings.variants
        ),
        *((f"generators.{key_text(name)}", name) for name in params.generators),
        *((f"figures.{key_text(name)}", name) for name in params.figures),
        *((f"figures.{name}.notebook", fig.notebook) for name, fig in params.figures.items()),
    ]
    for where, name in named:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ConfigError.about(
                f"{path}: {where}",
                found=f"the name {shown(name)}",
                expected="1 to 100 letters, digits, '_', '-' and '.', without '-' or '.' in front",
                action="It becomes the name of a folder or file: choose another.",
            )


def _check_presets(params: ParamsFile, path: str) -> None:
    """Each preset is checked where it stands, not where an experiment starts from it."""
    for method, presets in params.presets.items():
        if method not in SOLVER_CONFIGS:
            raise ConfigError(
                f"{path}: presets.{method}: unknown method; {nearest(method, SOLVER_CONFIGS)}"
            )
        for name, settings in presets.items():
            from_mapping(SOLVER_CONFIGS[method], settings, f"{path}: presets.{method}.{name}")


def _resolve(params: ParamsFile, path: str) -> Params:
    runs: list[Run] = []
    evaluations: dict[str, EvaluationConfig] = {}
    left_out: list[str] = []
    auto_metrics = AutoMetrics()
    needed: dict[str, list[availability.MissingFile]] = {}
    _check_presets(params, path)
    _check_names(params, path)
    for name, experiment in params.experiments.items():
        for variant, changed in _variants(experiment, f"{path}: experiments.{name}"):
            # Disabled ones are checked too, so that a mistake shows when it is made.
            at = f"{path}: " + (f"in variant {variant}: " if variant is not None else "")
            where = f"{at}experiments.{name}"
            problem = convert(ProblemConfig, changed.problem, f"{where}.problem")
            _check_generator(problem, params, f"{where}.problem")
            evaluation, optional = auto_metrics.evaluation(
                merged(params.evaluation, changed.evaluation), f"{where}.evaluation"
            )
            at_metrics = f"{where}.evaluation.metrics"
            check_metrics(
                (*evaluation.metrics, *optional),
                problem.kind,
                at_metrics,
                images_kind=image_problem(problem).kind,
                image_size=getattr(image_problem(problem), "image_size", None),
            )
            configs = list(_runs(params, name, variant, changed, problem, where))
            if not (experiment.enabled and changed.enabled and configs):
                continue
            missing = availability.missing_files(problem) + _missing_pickle(problem, params)
            if missing and "auto" in (experiment.enabled, changed.enabled):
                left_out.append(availability.left_out_line(configs[0].case, missing))
                continue
            needed[configs[0].case] = missing
            if "inception" in needs_of(evaluation.metrics):
                availability.check_inception(at_metrics)
            evaluation = auto_metrics.added(evaluation, optional, configs[0].case)
            needs = needs_of(evaluation.metrics)
            for config in configs:
                evaluations[config.case] = evaluation
                reference = _reference(config, params.reference) if "reference" in needs else None
                runs.append(Run(config, needs, reference))
    if not runs and not left_out:
        raise ConfigError(f"{path}: experiments: none is enabled at scale {params.scale}")
    _no_shared_folders(runs, path)
    _check_figures(params, path)
    availability.check_all_there(needed, path)
    return Params(
        params.scale,
        runs,
        evaluations,
        params.classifier,
        dict(params.figures),
        left_out + auto_metrics.line(),
        params.generators,
        params.compute,
    )


def _check_figures(params: ParamsFile, path: str) -> None:
    """Every figure must name experiments, and only those that there are."""
    for name, figure in params.figures.items():
        if not figure.experiments:
            raise ConfigError(
                f"{path}: figures.{name}.experiments: found an empty list, expected at least one"
            )
        for experiment_name in figure.experiments:
            if experiment_name not in params.experiments:
                raise ConfigError(
                    f"{path}: figures.{name}.experiments: unknown experiment "
                    f"{experiment_name!r}; {nearest(experiment_name, params.experiments)}"
                )


def _reference(run: RunConfig, settings: DiscretePlanConfig) -> ReferenceConfig | None:
    """The plan for this run; None at epsilon = 0, where the metric is left out."""
    if run.epsilon == 0:
        return None
    return ReferenceConfig(
        scale=run.scale,
        case=run.case,
        epsilon=run.epsilon,
        problem=run.problem,
        settings=settings,
    )


def _variants(
    experiment: ExperimentParams, path: str
) -> Iterator[tuple[str | None, ExperimentParams]]:
    if not experiment.variants:
        yield None, experiment
    plain = {k: getattr(experiment, k) for k in experiment.__dataclass_fields__}
    for variant, changes in experiment.variants.items():
        if not isinstance(changes, Mapping | None):
            raise ConfigError(
                f"{path}.variants.{variant}: found {shown(changes)}, expected a mapping"
            )
        data = merged(plain, changes or {}) | {"variants": {}}
        yield variant, from_mapping(ExperimentParams, data, f"{path}.variants.{variant}")


def _runs(
    params: ParamsFile,
    name: str,
    variant: str | None,
    experiment: ExperimentParams,
    problem: ProblemConfig,
    path: str,
) -> Iterator[RunConfig]:
    if not experiment.seeds:
        raise ConfigError(f"{path}.seeds: found an empty list, expected at least one seed")
    _no_repeats(experiment.seeds, f"{path}.seeds")
    if not experiment.methods:
        raise ConfigError(f"{path}.methods: found none, expected at least one method")
    for method, data in experiment.methods.items():
        where = f"{path}.methods.{method}"
        if method not in SOLVER_CONFIGS:
            raise ConfigError(f"{where}: unknown method; {nearest(method, SOLVER_CONFIGS)}")
        if data is None:  # a variant or a scale leaves this method out
            continue
        method_params = from_mapping(MethodParams, string_keys(data, where), where)
        presets = params.presets.get(method, {})
        if method_params.preset not in presets:
            raise ConfigError(
                f"{where}.preset: unknown preset; {nearest(method_params.preset, presets)}"
            )
        if not method_params.epsilons:
            raise ConfigError(f"{where}.epsilons: found an empty list, expected at least one")
        _no_repeats(method_params.epsilons, f"{where}.epsilons")
        for epsilon in method_params.epsilons:
            num_steps, settings, at = at_epsilon(method_params, epsilon, where)
            settings = merged(presets[method_params.preset], settings)
            solver: SolverConfig = from_mapping(SOLVER_CONFIGS[method], settings, f"{at}.settings")
            for seed in experiment.seeds:
                try:
                    yield RunConfig(
                        scale=params.scale,
                        experiment=name,
                        variant=variant,
                        method=method,  # type: ignore[arg-type]
                        epsilon=epsilon,
                        seed=seed,
                        num_steps=num_steps,
                        problem=problem,
                        solver=solver,
                        compute=params.compute,
                    )
                except ConfigError as error:
                    raise ConfigError(f"{where}.{error}") from None


def _no_repeats(values: tuple[Any, ...], path: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"{path}: {value!r} stands twice; two runs would share one folder")


def _no_shared_folders(runs: list[Run], path: str) -> None:
    """Epsilons that are written alike, or a variant named like an experiment, share a folder."""
    seen: set[tuple[str, str]] = set()
    for run in runs:
        if (run.case, run.name) in seen:
            raise ConfigError(
                f"{path}: experiments.{run.config.experiment}: two runs would share the folder "
                f"{run.case}/{run.name}; change an epsilon (six digits count) or rename a variant"
            )
        seen.add((run.case, run.name))


def _check_generator(problem: ProblemConfig, params: ParamsFile, path: str) -> None:
    name = generator_of(problem)
    if name is None:
        return
    if name not in params.generators:
        raise ConfigError(f"{path}.generator: unknown; {nearest(name, params.generators)}")
    source = params.generators[name]
    assert isinstance(problem, LatentProblem)
    sides, latent = source.encoding.sides, source.encoding.latent
    if problem.space == "z" and problem.start != "base" and latent != "z":
        raise ConfigError(
            f"{path}.start: found {problem.start} in space z with generators.{name}.encoding."
            f"latent {latent}, expected z there: the mapping network has no inverse. Set it, or "
            f"{path}.start: base."
        )
    if problem.space == "encoded" and "source" not in sides:
        raise ConfigError(
            f"{path}.space: found encoded with generators.{name}.encoding.sides {list(sides)}, "
            "expected source among these: its images are what is encoded. Add it."
        )
    if isinstance(source, TrainedGenerator) and source.side == "target":
        own, learned = dataset_name(problem), dataset_name(source.images)
        if own != learned:
            raise ConfigError(
                f"{path}.generator: found {name}, which learns the target of {learned}, for images "
                f"of {own}, expected one that learns these. Change {path}.images or "
                f"generators.{name}.images."
            )


def _missing_pickle(problem: ProblemConfig, params: ParamsFile) -> list[availability.MissingFile]:
    """The published pickle of a latent problem's generator, where it is not there."""
    source = params.generators.get(generator_of(problem) or "")
    if not isinstance(source, ConvertedGenerator):
        return []
    return availability.missing_pickle(Path(source.pickle))
