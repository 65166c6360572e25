"""params.yaml: the one place where the numbers of all experiments stand.

The file is read strictly, the overrides of the chosen scale are laid over it, and every run is
resolved into a RunConfig of its own. Jobs never read params.yaml: they read the resolved files
(docs/decisions/0001-resolved-configs.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.config import (
    SOLVER_CONFIGS,
    ArraysProblem,
    ClassifierConfig,
    ComputeConfig,
    EvaluationConfig,
    MSCIProblem,
    ProblemConfig,
    ReferenceConfig,
    RunConfig,
    to_json,
)
from entropic_ot.experiments.paths import Layout, data_files, dataset_name, raw_files
from entropic_ot.files import write_text
from entropic_ot.metrics.registry import NEEDS_CLASSIFIER, NEEDS_REFERENCE, check_metrics
from entropic_ot.solvers.config import DiscretePlanConfig, SolverConfig
from entropic_ot.strict import convert, from_mapping, nearest

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

    enabled: bool
    """false leaves the experiment out of `all` (of this scale); it is checked all the same."""
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
    """Defaults of every experiment's evaluation."""
    classifier: ClassifierConfig
    """The independent digit classifier."""
    reference: DiscretePlanConfig
    """The large discrete plan behind conditional_energy_distance."""
    presets: dict[str, dict[str, Any]]
    """method -> preset name -> a complete set of settings."""
    experiments: dict[str, ExperimentParams]
    """The experiments by name."""
    figures: dict[str, FigureParams]
    """The figures by the name of their notebook."""
    scales: dict[str, Any]
    """scale -> keys of this file that differ at that scale."""


@dataclass(frozen=True)
class Run:
    """A run and the files that its jobs need."""

    config: RunConfig
    needs_classifier: bool
    reference: ReferenceConfig | None
    """The large discrete plan that a metric compares with; None when none does."""

    @property
    def case(self) -> str:
        return self.config.case

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def dataset(self) -> str | None:
        return dataset_name(self.config.problem)

    @property
    def data_files(self) -> list[Path]:
        """What the training reads besides its configuration."""
        return data_files(self.config.problem)


@dataclass(frozen=True)
class Params:
    """All that the workflow asks of params.yaml at one scale."""

    scale: str
    runs: list[Run]
    evaluations: dict[str, EvaluationConfig]
    classifier: ClassifierConfig
    figure_params: dict[str, FigureParams]
    left_out: list[str]

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.scale)

    @cached_property
    def cases(self) -> list[str]:
        return list(dict.fromkeys(run.case for run in self.runs))

    @cached_property
    def datasets(self) -> dict[str, ProblemConfig]:
        """Prepared data sets by folder name."""
        return {r.dataset: r.config.problem for r in self.runs if r.dataset is not None}

    @cached_property
    def needs_classifier(self) -> bool:
        return any(run.needs_classifier for run in self.runs)

    @cached_property
    def references(self) -> list[ReferenceConfig]:
        """The large discrete plans that metrics compare with, each once."""
        plans = (run.reference for run in self.runs)
        return list({(r.case, r.name): r for r in plans if r is not None}.values())

    @cached_property
    def figures(self) -> dict[str, list[Run]]:
        """The runs behind each figure; figures with an experiment left out are not made.

        An experiment on the user's own arrays needs no entry in params.yaml: where no figure shows
        it, there is one by its own name.
        """
        chosen = {}
        for name, figure in self.figure_params.items():
            runs = [r for r in self.runs if r.config.experiment in figure.experiments]
            if {r.config.experiment for r in runs} == set(figure.experiments):
                chosen[name] = runs
        shown = {run.config.experiment for runs in chosen.values() for run in runs}
        for run in self.runs:
            name = run.config.experiment
            if isinstance(run.config.problem, ArraysProblem) and name not in shown:
                chosen.setdefault(name, []).append(run)
        return chosen

    def notebook_of(self, figure: str) -> str:
        """The notebook that draws this figure, in workflow/notebooks: its own, or own_data."""
        return figure if figure in self.figure_params else "own_data"


class _UniqueKeyLoader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """YAML keeps the last of two equal keys; here that is an error."""


def _mapping_without_duplicates(loader: Any, node: Any) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:  # before merge keys (<<) are laid under the mapping's own
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            mark = key_node.start_mark
            raise ConfigError(
                f"{mark.name}: line {mark.line + 1}: key {key!r} stands twice; keep one of them"
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return {
        loader.construct_object(k, deep=True): loader.construct_object(v, deep=True)
        for k, v in node.value
    }


_UniqueKeyLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError on a missing file, bad syntax or a repeated key."""
    try:
        with path.open() as file:
            data = yaml.load(file, Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: not found; run from the repository's root or pass --params"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: found {type(data).__name__}, expected a mapping of keys")
    return data


def merged(base: Any, override: Any) -> Any:
    """`override` laid over `base`: mappings key by key, anything else replaced whole."""
    if isinstance(base, Mapping) and isinstance(override, Mapping):
        if "kind" in override and override["kind"] != base.get("kind", override["kind"]):
            return dict(override)  # another kind of problem or network has other keys
        keys = [*base, *(k for k in override if k not in base)]
        return {
            k: merged(base[k], override[k])
            if k in base and k in override
            else override.get(k, base.get(k))
            for k in keys
        }
    return override


def load_params(
    path: Path | str = "params.yaml",
    *,
    scale: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Params:
    """Read, check and resolve params.yaml at `scale` (default: the scale in the file).

    overrides: top-level keys laid over the file, as `snakemake --config` gives them.
    Raises ConfigError with the key path, what was found, what was expected, what to do.
    """
    data = merged(read_yaml(Path(path)), dict(overrides or {}))
    chosen = scale or data.get("scale")
    if chosen not in SCALES:
        raise ConfigError(f"{path}: scale: found {chosen!r}, expected one of {', '.join(SCALES)}")
    scales = data.get("scales")
    if not isinstance(scales, Mapping) or set(scales) != set(SCALES):
        raise ConfigError(f"{path}: scales: expected exactly the keys {', '.join(SCALES)}")
    for name in SCALES:
        override = scales[name] or {}
        if not isinstance(override, Mapping):
            raise ConfigError(f"{path}: scales.{name}: found {override!r}, expected a mapping")
        _check_override_keys(data, override, f"{path}: scales.{name}")
    override = scales[chosen] or {}
    at_scale = merged(data, override) | {"scale": chosen}
    params = _resolve(from_mapping(ParamsFile, at_scale, f"{path}: "), str(path))
    _check_per_epsilon(data, str(path))
    return params


def _check_override_keys(data: Mapping[str, Any], override: Mapping[str, Any], path: str) -> None:
    """Top-level keys and experiment names of an override must exist in the file itself."""
    for key in override:
        if key not in data or key in ("scale", "scales"):
            known = [k for k in data if k not in ("scale", "scales")]
            raise ConfigError(f"{path}.{key}: unknown key; {nearest(key, known)}")
    for section in ("experiments", "figures", "presets"):
        names = override.get(section) or {}
        if not isinstance(names, Mapping):
            raise ConfigError(f"{path}.{section}: found {names!r}, expected a mapping")
        for name in names:
            if name not in data[section]:
                raise ConfigError(
                    f"{path}.{section}.{name}: unknown; {nearest(name, data[section])}"
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
    _check_presets(params, path)
    for name, experiment in params.experiments.items():
        for variant, changed in _variants(experiment, f"{path}: experiments.{name}"):
            # Disabled ones are checked too, so that a mistake shows when it is made.
            at = f"{path}: " + (f"in variant {variant}: " if variant is not None else "")
            where = f"{at}experiments.{name}"
            problem = convert(ProblemConfig, changed.problem, f"{where}.problem")
            evaluation = from_mapping(
                EvaluationConfig,
                merged(params.evaluation, changed.evaluation),
                f"{where}.evaluation",
            )
            check_metrics(evaluation.metrics, problem.kind, f"{where}.evaluation.metrics")
            configs = list(_runs(params, name, variant, changed, problem, where))
            if not (experiment.enabled and changed.enabled):
                continue
            reason = _unavailable(problem)
            if reason:
                left_out.append(f"{name}{'-' + variant if variant else ''}: left out: {reason}")
                continue
            needs_classifier = bool(set(evaluation.metrics) & NEEDS_CLASSIFIER)
            needs_reference = bool(set(evaluation.metrics) & NEEDS_REFERENCE)
            for config in configs:
                evaluations[config.case] = evaluation
                reference = _reference(config, params.reference) if needs_reference else None
                runs.append(Run(config, needs_classifier, reference))
    if not runs and not left_out:
        raise ConfigError(f"{path}: experiments: none is enabled at scale {params.scale}")
    _no_shared_folders(runs, path)
    _check_figures(params, path)
    return Params(
        params.scale, runs, evaluations, params.classifier, dict(params.figures), left_out
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
            raise ConfigError(f"{path}.variants.{variant}: found {changes!r}, expected a mapping")
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
        method_params = from_mapping(MethodParams, _string_keys(data, where), where)
        presets = params.presets.get(method, {})
        if method_params.preset not in presets:
            raise ConfigError(
                f"{where}.preset: unknown preset; {nearest(method_params.preset, presets)}"
            )
        if not method_params.epsilons:
            raise ConfigError(f"{where}.epsilons: found an empty list, expected at least one")
        _no_repeats(method_params.epsilons, f"{where}.epsilons")
        for epsilon in method_params.epsilons:
            num_steps, settings, at = _at_epsilon(method_params, epsilon, where)
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


def _at_epsilon(method: MethodParams, epsilon: float, path: str) -> tuple[int, dict[str, Any], str]:
    """Steps, settings and key path at one epsilon, its block in `per_epsilon` laid over."""
    known = {f"{e:g}" for e in method.epsilons}
    for key, block in method.per_epsilon.items():
        _epsilon_text(key, f"{path}.per_epsilon.{key}")
        if not isinstance(block, Mapping | None):
            raise ConfigError(f"{path}.per_epsilon.{key}: found {block!r}, expected a mapping")
        for inner in block or {}:
            if inner not in ("num_steps", "settings"):
                raise ConfigError(
                    f"{path}.per_epsilon.{key}.{inner}: unknown key; "
                    f"{nearest(inner, ('num_steps', 'settings'))}"
                )
    key = f"{epsilon:g}"
    block = {f"{float(k):g}": v for k, v in method.per_epsilon.items()}.get(key) or {}
    at = f"{path}.per_epsilon.{key}" if block and key in known else path
    num_steps = convert(int, block.get("num_steps", method.num_steps), f"{at}.num_steps")
    return num_steps, merged(method.settings, block.get("settings") or {}), at


def _epsilon_text(key: object, path: str) -> str:
    """A key of `per_epsilon` as epsilons are written in the names of runs: 0.1 for 1e-1."""
    try:
        return f"{float(str(key)):g}"
    except ValueError:
        raise ConfigError(f"{path}: expected an epsilon") from None


def _check_per_epsilon(data: Mapping[str, Any], path: str) -> None:
    """Every key of `per_epsilon`, here or in a scale's overrides, is an epsilon at some scale.

    A scale may have fewer epsilons than the file, so what one scale does not use another may. The
    other scales are not checked in any other way: what is no mapping there is passed over.
    """
    at_scales = [merged(data, data["scales"][scale] or {}) for scale in SCALES]
    layers = {"": data} | {f"scales.{scale}.": data["scales"][scale] for scale in SCALES}
    for prefix, layer in layers.items():
        for name, variant, method, where in _places_of_methods(layer):
            keys = _below(layer, *where, "per_epsilon")
            known = _epsilons_anywhere(at_scales, name, variant, method) if keys else []
            for key in keys:
                at = f"{path}: {prefix}{'.'.join(where)}.per_epsilon.{key}"
                if known and _epsilon_text(key, at) not in known:
                    raise ConfigError(
                        f"{at}: found an epsilon that {method} has at no scale, expected one of "
                        f"{', '.join(known)}. Correct it, remove it or add it to `epsilons`."
                    )


def _places_of_methods(layer: Any) -> Iterator[tuple[str, str | None, str, tuple[str, ...]]]:
    """(experiment, variant, method, key path) of every block of a method in params.yaml."""
    for name in _below(layer, "experiments"):
        experiment = ("experiments", name)
        places: dict[str | None, tuple[str, ...]] = {None: experiment}
        for variant in _below(layer, *experiment, "variants"):
            places[variant] = (*experiment, "variants", variant)
        for key, place in places.items():
            for method in _below(layer, *place, "methods"):
                yield name, key, method, (*place, "methods", method)


def _epsilons_anywhere(
    at_scales: Iterable[Any], name: str, variant: str | None, method: str
) -> list[str]:
    """The epsilons of a method at all scales, in one variant or, if that is None, in all."""
    found: set[float] = set()
    for data in at_scales:
        experiment = _below(data, "experiments", name)
        blocks = _below(experiment, "variants")
        changes = blocks.values() if variant is None else [_below(blocks, variant)]
        for change in changes or [{}]:
            method_block = _below(merged(experiment, change or {}), "methods", method)
            epsilons = method_block.get("epsilons")
            if isinstance(epsilons, list):
                found |= {float(e) for e in epsilons if isinstance(e, int | float)}
    return [f"{epsilon:g}" for epsilon in sorted(found)]


def _below(data: Any, *keys: str) -> Mapping[str, Any]:
    """The mapping at a path of keys; empty where there is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _string_keys(data: Mapping[str, Any], path: str) -> dict[str, Any]:
    """YAML reads the epsilons of `per_epsilon` as numbers; keys are text everywhere else."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: found {data!r}, expected a mapping of keys to values")
    blocks = data.get("per_epsilon")
    if not isinstance(blocks, Mapping):
        return dict(data)
    return dict(data) | {"per_epsilon": {str(k): v for k, v in blocks.items()}}


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


def _unavailable(problem: ProblemConfig) -> str | None:
    """Why this experiment cannot run here; None when its data is present or can be had."""
    from entropic_ot.data.msci import msci_available
    from entropic_ot.data.sources import mirror_folders

    if isinstance(problem, MSCIProblem) and not msci_available(
        raw_files(problem)[0].parent, problem.dim, mirror_folders()
    ):
        return (
            f"the single-cell files full_cite_pcas_{problem.dim}_day_*.npy are neither in "
            f"{raw_files(problem)[0].parent} nor in a mirror folder (EOT_MIRROR); "
            f"get them with `entropic-ot fetch msci --dim {problem.dim}`"
        )
    return None


def write_configs(params: Params) -> list[Path]:
    """Write the resolved configuration of every run and case; only files whose text changed.

    Files of runs that are no longer in params.yaml are removed. Returns the files that belong.
    """
    layout, texts = params.layout, {}
    for run in params.runs:
        texts[layout.run_config(run.case, run.name)] = to_json(run.config)
    for case, evaluation in params.evaluations.items():
        texts[layout.evaluation_config(case)] = to_json(evaluation)
    for reference in params.references:
        path = layout.reference_config(reference.case, reference.name)
        texts[path] = to_json(reference)
    for dataset, problem in params.datasets.items():
        texts[layout.data_config(dataset)] = to_json(problem)
    if params.needs_classifier:
        texts[layout.classifier_config] = to_json(params.classifier)
    for path, text in texts.items():
        if not path.exists() or path.read_text() != text:
            write_text(path, text)
    for path in (layout.root / "config").rglob("*.json"):
        if path not in texts:
            path.unlink()
    return list(texts)
