"""params.yaml: overrides, resolution into runs, and the words of each refusal."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from params_edits import Edit, change, remove

from entropic_ot.errors import ConfigError
from entropic_ot.experiments import config as config_module
from entropic_ot.experiments.config import (
    SOLVER_CONFIGS,
    RunConfig,
    load_classifier,
    load_evaluation,
    load_problem,
    load_reference,
    load_run,
    load_sampling,
    to_json,
)
from entropic_ot.experiments.params import (
    Params,
    load_params,
    merged,
    read_yaml,
    typed,
    write_configs,
)
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.solvers.config import EgNOTConfig, ENOTConfig, LightSBConfig, SinkhornConfig

ROOT = Path(__file__).parents[2]
SIZES = {"width": 256, "depth": 3, "patch": 1}
NETWORK = {"kind": "mlp"} | SIZES


@pytest.fixture(scope="module")
def original() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.fixture
def data(original: dict[str, Any]) -> dict[str, Any]:
    """params.yaml with two experiments, no overrides, and numbers that these tests rely on."""
    data = copy.deepcopy(original)
    data["scale"] = "laptop"
    data["experiments"] = {k: data["experiments"][k] for k in ("gaussian", "toy_8gaussians")}
    data["figures"] = {k: data["figures"][k] for k in ("gaussian", "toy_8gaussians")}
    data["scales"] = {"smoke": {}, "laptop": {}, "paper": {}}
    data["evaluation"]["num_paths"] = 256
    data["presets"]["enot"]["vectors"]["drift"] = NETWORK | {}
    data["presets"]["enot"]["vectors"]["potential"] = NETWORK | {}
    data["presets"]["egnot"]["vectors"]["step_size"] = 0.09
    gaussian = data["experiments"]["gaussian"]
    gaussian |= {"seeds": [0], "variants": {"d16": {}}, "enabled": True}
    for method, block in gaussian["methods"].items():
        block |= {"epsilons": [0.1, 1, 10], "num_steps": 600, "settings": {}, "per_epsilon": {}}
        if method == "egnot":
            block["per_epsilon"] = {10: {"settings": {"step_size": 0.02}}}
    toy = data["experiments"]["toy_8gaussians"]
    toy |= {"seeds": [0], "variants": {}, "enabled": True}
    toy["methods"]["enot"]["epsilons"] = [0, 0.1]
    return data


def resolved(data: dict[str, Any], folder: Path, **options: Any) -> Params:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return load_params(path, **options)


def names(params: Params, case: str) -> list[str]:
    return [run.name for run in params.runs if run.case == case]


# --- the repository's own file --------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_the_repositorys_params_resolve_at_every_scale(scale: str) -> None:
    params = load_params(ROOT / "params.yaml", scale=scale)
    assert params.scale == scale
    assert params.layout.root == Path("results") / scale
    folders = [(run.case, run.name) for run in params.runs]
    assert len(set(folders)) == len(folders)
    assert {run.config.scale for run in params.runs} == {scale}
    assert "toy_8gaussians" in params.cases and "gaussian-d16" in params.cases


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_persistent_chains_of_orl_have_batches_of_its_180_photographs(scale: str) -> None:
    runs = load_params(ROOT / "params.yaml", scale=scale).runs
    solvers = [run.config.solver for run in runs if run.case == "faces_deblur-orl"]
    chains = [solver for solver in solvers if isinstance(solver, EgNOTConfig)]
    assert chains and all(solver.chains == "persistent" for solver in chains)
    assert all(solver.batch_size <= 180 for solver in chains)


def test_the_scale_in_the_file_is_the_default(data: dict[str, Any], tmp_path: Path) -> None:
    data["scale"] = "paper"
    assert resolved(data, tmp_path).scale == "paper"
    assert resolved(data, tmp_path, scale="smoke").scale == "smoke"


def test_an_epsilon_is_added_by_params_yaml_alone(data: dict[str, Any], tmp_path: Path) -> None:
    before = names(resolved(data, tmp_path), "gaussian-d16")
    data["experiments"]["gaussian"]["methods"]["enot"]["epsilons"].append(2.5)
    after = names(resolved(data, tmp_path), "gaussian-d16")
    assert set(after) - set(before) == {"enot-eps2.5-seed0"}
    assert set(before) < set(after)


def test_a_seed_and_an_experiment_are_added_by_params_yaml_alone(
    data: dict[str, Any], tmp_path: Path
) -> None:
    experiment = copy.deepcopy(data["experiments"]["toy_8gaussians"])
    data["experiments"]["wide"] = experiment | {
        "problem": {"kind": "toy_8gaussians", "radius": 9, "std": 0.5},
        "seeds": [0, 7],
    }
    params = resolved(data, tmp_path)
    assert "enot-eps0.1-seed7" in names(params, "wide")
    assert len(names(params, "wide")) == 2 * len(names(params, "toy_8gaussians"))


# --- overrides ------------------------------------------------------------------------------------


def test_a_scale_lays_its_keys_over_the_file(data: dict[str, Any], tmp_path: Path) -> None:
    data["scales"]["smoke"] = {
        "evaluation": {"num_paths": 3},
        "presets": {"enot": {"vectors": {"drift": {"width": 5}}}},
        "experiments": {"gaussian": {"methods": {"enot": {"epsilons": [7]}, "sinkhorn": None}}},
    }
    smoke, laptop = (resolved(data, tmp_path, scale=s) for s in ("smoke", "laptop"))
    assert smoke.evaluations["toy_8gaussians"].num_paths == 3
    assert laptop.evaluations["toy_8gaussians"].num_paths == 256
    assert "enot-eps7-seed0" in names(smoke, "gaussian-d16")
    assert not [n for n in names(smoke, "gaussian-d16") if n.startswith("sinkhorn")]
    solver = next(r.config.solver for r in smoke.runs if r.config.method == "enot")
    assert isinstance(solver, ENOTConfig)
    assert (solver.drift.width, solver.drift.depth, solver.potential.width) == (5, 3, 256)


def test_overrides_of_the_command_line_come_before_the_scale(
    data: dict[str, Any], tmp_path: Path
) -> None:
    overrides = {"evaluation": {"num_paths": 11}}
    assert resolved(data, tmp_path, overrides=overrides).evaluations["gaussian-d16"].num_paths == 11
    with pytest.raises(ConfigError, match=r"evaluatoin: unknown key; did you mean 'evaluation'"):
        resolved(data, tmp_path, overrides={"evaluatoin": {}})


def test_text_of_the_command_line_is_read_as_yaml_reads_it(
    data: dict[str, Any], tmp_path: Path
) -> None:
    """`snakemake --config compute='{checkpoint_seconds: 2}'` gives the number as text."""
    text = {"compute": {"checkpoint_seconds": "2"}, "evaluation": {"metrics": ["cost_half_l2"]}}
    assert resolved(data, tmp_path, overrides=typed(text)).compute.checkpoint_seconds == 2
    given = {
        "a": ["1", "1.5e+0", "true", "null", "laptop", "[1", "{a: 1}", 3, None],
        "b": {"c": "0"},
    }
    read = {"a": [1, 1.5, True, None, "laptop", "[1", "{a: 1}", 3, None], "b": {"c": 0}}
    assert typed(given) == read


def test_settings_at_one_epsilon_are_laid_over_those_of_the_method(
    data: dict[str, Any], tmp_path: Path
) -> None:
    method = data["experiments"]["gaussian"]["methods"]["egnot"]
    method["settings"] = {"batch_size": 99}
    method["per_epsilon"] = {10: {"num_steps": 5, "settings": {"step_size": 0.03}}}
    runs = {r.name: r.config for r in resolved(data, tmp_path).runs if r.case == "gaussian-d16"}
    ten, one = runs["egnot-eps10-seed0"], runs["egnot-eps1-seed0"]
    assert isinstance(ten.solver, EgNOTConfig) and isinstance(one.solver, EgNOTConfig)
    assert (ten.num_steps, one.num_steps) == (5, 600)
    assert (ten.solver.step_size, one.solver.step_size) == (0.03, 0.09)
    assert (ten.solver.batch_size, one.solver.batch_size) == (99, 99)


@pytest.mark.parametrize("key", [10, 10.0, "10", "1.0e1"])
def test_an_epsilon_may_be_written_in_any_way(
    data: dict[str, Any], tmp_path: Path, key: Any
) -> None:
    method = data["experiments"]["gaussian"]["methods"]["egnot"]
    method["per_epsilon"] = {key: {"num_steps": 5}}
    runs = {r.name: r.config.num_steps for r in resolved(data, tmp_path).runs}
    assert runs["egnot-eps10-seed0"] == 5


def test_variants_are_the_experiment_with_some_keys_changed(
    data: dict[str, Any], tmp_path: Path
) -> None:
    data["experiments"]["gaussian"]["variants"] = {
        "d2": {"problem": {"dim": 2}, "seeds": [4]},
        "d16": {},
        "d64": {"problem": {"dim": 64}, "enabled": False},
        "none": {"methods": {"enot": None, "egnot": None}},
    }
    params = resolved(data, tmp_path)
    assert params.cases == ["gaussian-d2", "gaussian-d16", "gaussian-none", "toy_8gaussians"]
    assert set(names(params, "gaussian-d2")) > {"enot-eps1-seed4"}
    left = {n.split("-")[0] for n in names(params, "gaussian-none")}
    assert left == {"sinkhorn", "lightsb"}
    problem = next(r.config.problem for r in params.runs if r.case == "gaussian-d2")
    assert (problem.dim, problem.source_seed) == (2, 42)  # type: ignore[union-attr]


def test_another_kind_of_network_replaces_the_whole_block() -> None:
    base = {"kind": "unet", "width": 8, "patch": 2}
    assert merged(base, {"width": 9}) == {"kind": "unet", "width": 9, "patch": 2}
    assert merged(base, {"kind": "mlp", "width": 9}) == {"kind": "mlp", "width": 9}
    assert merged({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}
    assert merged({"a": {"b": 1}}, {"a": None}) == {"a": None}


def test_a_disabled_experiment_and_its_figure_are_left_out(
    data: dict[str, Any], tmp_path: Path
) -> None:
    data["experiments"]["gaussian"]["enabled"] = False
    params = resolved(data, tmp_path)
    assert params.cases == ["toy_8gaussians"]
    assert list(params.figures) == ["toy_8gaussians"]


def test_an_experiment_without_its_data_is_named_and_left_out(
    original: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EOT_MIRROR", raising=False)
    params = resolved(original, tmp_path)
    assert not [case for case in params.cases if case.startswith("msci")]
    first = (
        "msci-d50-2to4: left out: data/raw/msci/full_cite_pcas_50_day_2.npy and 3 more are neither"
    )
    assert params.left_out[0].startswith(first)
    assert "msci" not in params.figures


# --- refusals -------------------------------------------------------------------------------------


def gaussian(data: dict[str, Any]) -> dict[str, Any]:
    return data["experiments"]["gaussian"]


GAUSSIAN = ("experiments", "gaussian")
ENOT = (*GAUSSIAN, "methods", "enot")
EGNOT = (*GAUSSIAN, "methods", "egnot")
LIGHTSB = (*GAUSSIAN, "methods", "lightsb")


def of_images(**problem: Any) -> Edit:
    """Gaussian's Sinkhorn and LightSB on a problem of 16 x 16 images."""

    def edit(data: dict[str, Any]) -> None:
        for method in ("enot", "egnot"):  # their networks are for vectors, which is refused first
            del gaussian(data)["methods"][method]
        gaussian(data)["problem"] = {**problem, "image_size": 16}
        gaussian(data)["evaluation"] = {"metrics": ["cost_half_l2"]}

    return edit


REFUSED: dict[str, tuple[Edit, str]] = {
    "unknown top-level key": (
        change("experimnts", to={}),
        "params.yaml: experimnts: unknown key; did you mean 'experiments'?",
    ),
    "unknown key of an experiment": (
        change(*GAUSSIAN, "sedes", to=[0]),
        "params.yaml: experiments.gaussian.sedes: unknown key; did you mean 'seeds'?",
    ),
    "unknown method": (
        change(*GAUSSIAN, "methods", "enott", to=None),
        "experiments.gaussian.methods.enott: unknown method; did you mean 'enot'?",
    ),
    "unknown key of a method": (
        change(*ENOT, "num_step", to=3),
        "experiments.gaussian.methods.enot.num_step: unknown key; did you mean 'num_steps'?",
    ),
    "unknown setting": (
        change(*ENOT, "settings", to={"batchsize": 3}),
        "experiments.gaussian.methods.enot.settings.batchsize: unknown key; "
        "did you mean 'batch_size'?",
    ),
    "unknown setting of a network": (
        change(*ENOT, "settings", to={"drift": {"widht": 3}}),
        "experiments.gaussian.methods.enot.settings.drift.widht: unknown key; "
        "did you mean 'width'?",
    ),
    "unknown setting at one epsilon": (
        change(*ENOT, "per_epsilon", to={10: {"settings": {"batchsize": 3}}}),
        "experiments.gaussian.methods.enot.per_epsilon.10.settings.batchsize: unknown key; "
        "did you mean 'batch_size'?",
    ),
    "unknown key at one epsilon": (
        change(*ENOT, "per_epsilon", to={10: {"steps": 3}}),
        "methods.enot.per_epsilon.10.steps: unknown key; did you mean 'num_steps'?",
    ),
    "something else than an epsilon": (
        change(*ENOT, "per_epsilon", to={"ten": {}}),
        "methods.enot.per_epsilon.ten: found no number as a key, expected an epsilon",
    ),
    "no mapping at one epsilon": (
        change(*ENOT, "per_epsilon", to={10: 5}),
        "methods.enot.per_epsilon.10: found 5, expected a mapping",
    ),
    "unknown preset": (
        change(*ENOT, "preset", to="vector"),
        "methods.enot.preset: unknown preset; did you mean 'vectors'?",
    ),
    "unknown key of a preset": (
        change("presets", "enot", "vectors", "num_euler_step", to=5),
        "params.yaml: presets.enot.vectors.num_euler_step: unknown key; did you mean 'num_euler_st",
    ),
    "preset of an unknown method": (
        change("presets", "enott", to={}),
        "params.yaml: presets.enott: unknown method; did you mean 'enot'?",
    ),
    "image network for vectors": (
        change(*ENOT, "settings", to={"drift": {"kind": "unet"} | SIZES}),
        "methods.enot.drift: found kind 'unet' for vectors [dim], expected mlp",
    ),
    "unknown problem": (
        change(*GAUSSIAN, "problem", "kind", to="gausian"),
        "experiments.gaussian.problem.kind: found 'gausian'; did you mean 'gaussian'?",
    ),
    "unknown key of a variant": (
        change(*GAUSSIAN, "variants", to={"d2": {"problm": {}}}),
        "experiments.gaussian.variants.d2.problm: unknown key; did you mean 'problem'?",
    ),
    "no mapping for a variant": (
        change(*GAUSSIAN, "variants", to={"d2": 2}),
        "experiments.gaussian.variants.d2: found 2, expected a mapping",
    ),
    "unknown metric": (
        change(*GAUSSIAN, "evaluation", to={"metrics": ["bw_uvp_pln"]}),
        "experiments.gaussian.evaluation.metrics: 'bw_uvp_pln' is not a metric of gaussian; "
        "did you mean 'bw_uvp_plan'?",
    ),
    "metric of another problem": (
        change(*GAUSSIAN, "evaluation", to={"metrics": ["hue_error"]}),
        "'hue_error' is not a metric of gaussian",
    ),
    "unknown experiment of a figure": (
        change("figures", "gaussian", "experiments", to=["gausian"]),
        "figures.gaussian.experiments: unknown experiment 'gausian'; did you mean 'gaussian'?",
    ),
    "unknown experiment of a scale": (
        change("scales", "laptop", to={"experiments": {"gausian": {}}}),
        "scales.laptop.experiments.gausian: unknown; did you mean 'gaussian'?",
    ),
    "unknown experiment of a scale that is not chosen": (
        change("scales", "smoke", to={"experiments": {"gausian": {}}}),
        "scales.smoke.experiments.gausian: unknown; did you mean 'gaussian'?",
    ),
    "unknown key of a scale": (
        change("scales", "laptop", to={"evalution": {}}),
        "scales.laptop.evalution: unknown key; did you mean 'evaluation'?",
    ),
    "no mapping of a scale": (
        change("scales", "laptop", to={"experiments": 5}),
        "scales.laptop.experiments: found 5, expected a mapping",
    ),
    "unknown scale": (
        change("scale", to="lapptop"),
        "params.yaml: scale: found 'lapptop', expected one of smoke, laptop, paper",
    ),
    "a fourth scale": (
        change("scales", "huge", to={}),
        "params.yaml: scales: expected exactly the keys smoke, laptop, paper",
    ),
    "missing top-level key": (
        remove("compute"),
        "params.yaml: compute: missing, expected a mapping. Add the key.",
    ),
    "missing key of a method": (
        remove(*ENOT, "num_steps"),
        "experiments.gaussian.methods.enot.num_steps: missing, expected an integer. Add the key.",
    ),
    "missing setting": (
        remove("presets", "enot", "vectors", "batch_size"),
        "presets.enot.vectors.batch_size: missing, expected an integer. Add the key.",
    ),
    "text for a number": (
        change(*GAUSSIAN, "problem", "dim", to="sixteen"),
        "experiments.gaussian.problem.dim: found 'sixteen', expected an integer",
    ),
    "a number that YAML reads as text": (
        change(*ENOT, "settings", to={"drift_learning_rate": "1e-3"}),
        "methods.enot.settings.drift_learning_rate: found '1e-3', expected a number "
        "(YAML reads 1e-3 as text: write 1.0e-3)",
    ),
    "a fraction for an integer": (
        change(*ENOT, "num_steps", to=1.5),
        "methods.enot.num_steps: found 1.5, expected an integer",
    ),
    "a fraction for an integer at one epsilon": (
        change(*ENOT, "per_epsilon", to={10: {"num_steps": 1.5}}),
        "methods.enot.per_epsilon.10.num_steps: found 1.5, expected an integer",
    ),
    "a number for a list": (
        change(*GAUSSIAN, "seeds", to=0),
        "experiments.gaussian.seeds: found 0, expected a list of an integer",
    ),
    "negative epsilon": (
        change(*ENOT, "epsilons", to=[-0.1]),
        "experiments.gaussian.methods.enot.epsilon: found -0.1, expected a number >= 0",
    ),
    "infinite epsilon": (
        change(*ENOT, "epsilons", to=[float("inf")]),
        "experiments.gaussian.methods.enot.epsilon: found inf, expected a number >= 0",
    ),
    "epsilon that is not a number": (
        change(*ENOT, "epsilons", to=[float("nan")]),
        "experiments.gaussian.methods.enot.epsilon: found nan, expected a number >= 0",
    ),
    "epsilon 0 for EgNOT": (
        change(*EGNOT, "epsilons", to=[0]),
        "experiments.gaussian.methods.egnot.epsilon: found 0 for egnot, expected a number > 0",
    ),
    "epsilon 0 for LightSB": (
        change(*LIGHTSB, "epsilons", to=[0]),
        "experiments.gaussian.methods.lightsb.epsilon: found 0 for lightsb, expected a number > 0",
    ),
    "LightSB for coloured digits": (
        of_images(kind="coloured_mnist", source_digit=2, target_digit=3, hue_seed=0),
        "experiments.gaussian.methods.lightsb.method: found lightsb for a problem of images "
        "(coloured_mnist), expected enot, egnot or sinkhorn",
    ),
    "LightSB for a folder of images": (
        of_images(kind="arrays", source="a", target="b", test_share=0.1, split_seed=0),
        "experiments.gaussian.methods.lightsb.method: found lightsb for a problem of images "
        "(arrays), expected enot",
    ),
    "unknown covariance": (
        change(*LIGHTSB, "settings", to={"covariance": "round"}),
        "experiments.gaussian.methods.lightsb.settings.covariance: found 'round', expected one of "
        "'diagonal', 'full'",
    ),
    "no epsilon": (
        change(*ENOT, "epsilons", to=[]),
        "experiments.gaussian.methods.enot.epsilons: found an empty list",
    ),
    "no seed": (
        change(*GAUSSIAN, "seeds", to=[]),
        "experiments.gaussian.seeds: found an empty list",
    ),
    "no metric": (
        change(*GAUSSIAN, "evaluation", to={"metrics": []}),
        "experiments.gaussian.evaluation.metrics: found an empty list",
    ),
    "no method": (
        change(*GAUSSIAN, "methods", to={}),
        "experiments.gaussian.methods: found none",
    ),
    "no experiment of a figure": (
        change("figures", "gaussian", "experiments", to=[]),
        "figures.gaussian.experiments: found an empty list",
    ),
    "an epsilon twice": (
        change(*ENOT, "epsilons", to=[1, 0.1, 1.0]),
        "experiments.gaussian.methods.enot.epsilons: 1.0 stands twice",
    ),
    "a seed twice": (
        change(*GAUSSIAN, "seeds", to=[3, 3]),
        "experiments.gaussian.seeds: 3 stands twice",
    ),
    "a metric twice": (
        change(*GAUSSIAN, "evaluation", to={"metrics": ["cost_half_l2", "cost_half_l2"]}),
        "experiments.gaussian.evaluation.metrics: 'cost_half_l2' stands twice",
    ),
    "two epsilons that are written alike": (
        change(*ENOT, "epsilons", to=[0.1, 0.1 + 1e-9]),
        "two runs would share the folder gaussian-d16/enot-eps0.1-seed0",
    ),
    "no step": (
        change(*ENOT, "num_steps", to=0),
        "methods.enot.num_steps: found 0, expected an integer >= 1",
    ),
    "one Euler step without noise": (
        change(*ENOT, "settings", to={"num_euler_steps": 1, "noise_last_step": False}),
        "methods.enot.num_euler_steps: found 1 with noise_last_step: false at epsilon = 0.1, "
        "expected at least 2",
    ),
    "negative seed": (
        change(*GAUSSIAN, "seeds", to=[-1]),
        "found -1, expected an integer >= 0",
    ),
    "empty batch": (
        change(*ENOT, "settings", to={"batch_size": 0}),
        "methods.enot.settings.batch_size: found 0, expected an integer >= 1",
    ),
    "no width": (
        change(*ENOT, "settings", to={"drift": {"width": 0}}),
        "methods.enot.settings.drift.width: found 0, expected an integer >= 1",
    ),
    "negative learning rate at one epsilon": (
        change(*ENOT, "per_epsilon", to={10: {"settings": {"drift_learning_rate": -1}}}),
        "methods.enot.per_epsilon.10.settings.drift_learning_rate: found -1.0, "
        "expected a finite number > 0",
    ),
    "no dimension": (
        change(*GAUSSIAN, "problem", "dim", to=0),
        "experiments.gaussian.problem.dim: found 0, expected an integer >= 1",
    ),
    "one sample": (
        change(*GAUSSIAN, "evaluation", to={"num_samples": 1}),
        "experiments.gaussian.evaluation.num_samples: found 1, expected an integer >= 2",
    ),
    "no log": (
        change("compute", "log_points", to=0),
        "params.yaml: compute.log_points: found 0, expected an integer >= 1",
    ),
    "no epoch": (
        change("classifier", "num_epochs", to=0),
        "params.yaml: classifier.num_epochs: found 0, expected an integer >= 1",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_misfits_are_refused_with_their_key_path(
    data: dict[str, Any], tmp_path: Path, what: str
) -> None:
    edit, message = REFUSED[what]
    resolved(copy.deepcopy(data), tmp_path)  # fine before the change
    edit(data)
    with pytest.raises(ConfigError) as caught:
        resolved(data, tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path / "params.yaml") in str(caught.value)


def test_an_epsilon_that_another_scale_has_may_have_settings(
    data: dict[str, Any], tmp_path: Path
) -> None:
    method = gaussian(data)["methods"]["egnot"]
    method["epsilons"], method["per_epsilon"] = [0.1, 1], {"5": {"num_steps": 7}}
    data["scales"]["paper"] = {
        "experiments": {"gaussian": {"methods": {"egnot": {"epsilons": [1, 5]}}}}
    }
    laptop, paper = (resolved(data, tmp_path, scale=scale) for scale in ("laptop", "paper"))
    assert not [name for name in names(laptop, "gaussian-d16") if "eps5" in name]
    steps = {run.name: run.config.num_steps for run in paper.runs if run.case == "gaussian-d16"}
    assert (steps["egnot-eps1-seed0"], steps["egnot-eps5-seed0"]) == (600, 7)


PER_EPSILON = {7: {"num_steps": 7}}
AT_NO_SCALE = {
    "experiment": (
        change(*ENOT, "per_epsilon", to=PER_EPSILON),
        "experiments.gaussian.methods.enot.per_epsilon.7: found an epsilon that enot has at no "
        "scale, expected one of 0.1, 1, 10. Correct it",
    ),
    "scale that is not the chosen one": (
        change(
            *("scales", "paper"),
            to={"experiments": {"gaussian": {"methods": {"enot": {"per_epsilon": PER_EPSILON}}}}},
        ),
        "scales.paper.experiments.gaussian.methods.enot.per_epsilon.7: found an epsilon",
    ),
    "variant with other epsilons": (
        change(
            *(*GAUSSIAN, "variants"),
            to={
                "d2": {"methods": {"enot": {"epsilons": [2], "per_epsilon": {10: {}}}}},
                "d16": {"methods": {"enot": {"epsilons": [10]}}},
            },
        ),
        "experiments.gaussian.variants.d2.methods.enot.per_epsilon.10: found an epsilon that enot "
        "has at no scale, expected one of 2. Correct it",
    ),
    "experiment that is disabled": (
        lambda data: (
            gaussian(data).update(enabled=False)
            or change(*ENOT, "per_epsilon", to=PER_EPSILON)(data)
        ),
        "experiments.gaussian.methods.enot.per_epsilon.7: found an epsilon",
    ),
}


@pytest.mark.parametrize("where", AT_NO_SCALE)
def test_settings_of_an_epsilon_that_no_scale_has_are_refused(
    data: dict[str, Any], tmp_path: Path, where: str
) -> None:
    edit, message = AT_NO_SCALE[where]
    edit(data)
    with pytest.raises(ConfigError) as caught:
        resolved(data, tmp_path)
    assert f"{tmp_path / 'params.yaml'}: {message}" in str(caught.value)


def test_a_method_that_is_left_out_everywhere_may_keep_its_settings(
    data: dict[str, Any], tmp_path: Path
) -> None:
    gaussian(data)["variants"] = {"d16": {"methods": {"egnot": None}}}
    assert gaussian(data)["methods"]["egnot"]["per_epsilon"]
    assert "egnot-eps10-seed0" not in names(resolved(data, tmp_path), "gaussian-d16")


def test_a_variant_named_like_an_experiment_is_refused(
    data: dict[str, Any], tmp_path: Path
) -> None:
    data["experiments"]["gaussian-d16"] = copy.deepcopy(gaussian(data)) | {"variants": {}}
    with pytest.raises(ConfigError, match="two runs would share the folder gaussian-d16/enot-eps"):
        resolved(data, tmp_path)


DISABLED = {
    "experiment": change(*GAUSSIAN, "enabled", to=False),
    "its only variant": change(*GAUSSIAN, "variants", to={"d16": {"enabled": False}}),
}


@pytest.mark.parametrize("disable", DISABLED.values(), ids=DISABLED)
@pytest.mark.parametrize(
    "what",
    [
        *("unknown setting", "unknown problem", "unknown metric", "unknown preset"),
        *("no step", "no seed", "epsilon 0 for EgNOT", "no dimension", "one sample"),
    ],
)
def test_what_is_disabled_is_checked_too(
    data: dict[str, Any], tmp_path: Path, disable: Edit, what: str
) -> None:
    disable(data)
    assert resolved(copy.deepcopy(data), tmp_path).cases == ["toy_8gaussians"]
    edit, message = REFUSED[what]
    edit(data)
    with pytest.raises(ConfigError) as caught:
        resolved(data, tmp_path)
    assert message in str(caught.value)


def test_a_misfit_in_a_variant_names_the_variant(data: dict[str, Any], tmp_path: Path) -> None:
    gaussian(data)["variants"]["d0"] = {"problem": {"dim": 0}, "enabled": False}
    message = r"yaml: in variant d0: experiments\.gaussian\.problem\.dim: found 0"
    with pytest.raises(ConfigError, match=message):
        resolved(data, tmp_path)


def test_an_experiment_without_its_data_is_checked_too(
    original: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EOT_MIRROR", raising=False)
    original = copy.deepcopy(original)
    change("experiments", "msci", "methods", "enot", "preset", to="vector")(original)
    with pytest.raises(ConfigError, match=r"msci\.methods\.enot\.preset: unknown preset"):
        resolved(original, tmp_path)


def test_the_files_that_a_disabled_experiment_names_need_not_exist(
    original: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    original = copy.deepcopy(original)
    change("experiments", "my_data", "problem", "source", to="nowhere/x.npy")(original)
    assert "my_data" not in resolved(original, tmp_path).cases


def test_nothing_enabled_is_refused(data: dict[str, Any], tmp_path: Path) -> None:
    for experiment in data["experiments"].values():
        experiment["enabled"] = False
    with pytest.raises(ConfigError, match="experiments: none is enabled at scale laptop"):
        resolved(data, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scale: smoke\nscale: paper\n", r"params.yaml: line 2: key 'scale' stands twice"),
        ("a:\n  b: 1\n  b: 2\n", r"line 3: key 'b' stands twice"),
        ("a: [1, 2", "not valid YAML"),
        ("- a\n", "found list, expected a mapping"),
    ],
)
def test_unreadable_yaml(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: not found.*--params"):
        load_params(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: NetworkConfig(kind="mlp", width=0, depth=1), "width"),
        (lambda: NetworkConfig(kind="mlp", width=1, depth=0), "depth"),
        (lambda: NetworkConfig(kind="unet", width=1, depth=1, patch=0), "patch"),
        (lambda: ENOTConfig(num_euler_steps=0), "num_euler_steps"),
        (lambda: ENOTConfig(num_drift_steps=0), "num_drift_steps"),
        (lambda: ENOTConfig(batch_size=-1), "batch_size"),
        (lambda: ENOTConfig(drift_learning_rate=0.0), "drift_learning_rate"),
        (lambda: ENOTConfig(potential_learning_rate=-1.0), "potential_learning_rate"),
        (lambda: ENOTConfig(adam_beta1=1.0), "adam_beta1"),
        (lambda: ENOTConfig(ema_decay=1.0), "ema_decay"),
        (lambda: ENOTConfig(epsilon_ramp=1.5), "epsilon_ramp"),
        (lambda: EgNOTConfig(num_langevin_steps=0), "num_langevin_steps"),
        (lambda: EgNOTConfig(num_test_langevin_steps=0), "num_test_langevin_steps"),
        (lambda: EgNOTConfig(step_size=0.0), "step_size"),
        (lambda: EgNOTConfig(buffer_probability=1.1), "buffer_probability"),
        (lambda: EgNOTConfig(buffer_size=511), "buffer_size"),
        (lambda: EgNOTConfig(batch_size=0), "batch_size"),
        (lambda: EgNOTConfig(learning_rate=float("nan")), "learning_rate"),
        (lambda: EgNOTConfig(adam_beta1=-0.1), "adam_beta1"),
        (lambda: EgNOTConfig(ema_decay=-0.1), "ema_decay"),
        (lambda: SinkhornConfig(num_points=0), "num_points"),
        (lambda: SinkhornConfig(num_iterations=0), "num_iterations"),
        (lambda: SinkhornConfig(tolerance=0.0), "tolerance"),
        (lambda: LightSBConfig(num_components=0), "num_components"),
        (lambda: LightSBConfig(initial_scale=0.0), "initial_scale"),
        (lambda: LightSBConfig(batch_size=0), "batch_size"),
        (lambda: LightSBConfig(learning_rate=0.0), "learning_rate"),
        (lambda: LightSBConfig(adam_beta1=1.0), "adam_beta1"),
        (lambda: LightSBConfig(ema_decay=1.0), "ema_decay"),
    ],
)
def test_settings_outside_their_range_are_refused_in_python_too(
    make: Callable[[], object], key: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}: found .*, expected "):
        make()


def test_the_limits_themselves_are_accepted() -> None:
    ENOTConfig(num_euler_steps=1, batch_size=1, adam_beta1=0.0, ema_decay=0.0, epsilon_ramp=1.0)
    EgNOTConfig(buffer_probability=1.0, buffer_size=512)
    ENOTConfig(num_euler_steps=1, noise_last_step=False).check_epsilon(0.0)
    ENOTConfig(num_euler_steps=1, noise_last_step=True).check_epsilon(1.0)
    ENOTConfig(num_euler_steps=2, noise_last_step=False).check_epsilon(1.0)
    EgNOTConfig(chains="persistent", buffer_size=1)


@pytest.mark.parametrize(
    ("method", "preset"),
    [("enot", "vectors"), ("egnot", "vectors"), ("sinkhorn", "default"), ("lightsb", "default")],
)
def test_the_defaults_in_python_are_a_preset(
    original: dict[str, Any], method: str, preset: str
) -> None:
    settings = original["presets"][method][preset]
    assert dataclasses.asdict(SOLVER_CONFIGS[method]()) == settings


# --- the resolved files ---------------------------------------------------------------------------


def test_a_run_survives_the_round_trip_through_its_file(
    original: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = resolved(original, tmp_path)
    write_configs(params)
    layout = params.layout
    methods = set()
    for run in params.runs:
        file = layout.run_config(run.case, run.name)
        assert load_run(file) == run.config
        assert load_run(file).sha256 == run.config.sha256
        methods.add(run.config.method)
    assert methods == {"enot", "egnot", "sinkhorn", "lightsb"}
    for case, evaluation in params.evaluations.items():
        assert load_evaluation(layout.evaluation_config(case)) == evaluation
        sampling = load_sampling(layout.sampling_config(case))
        assert vars(evaluation) == vars(sampling) | {"metrics": evaluation.metrics}
        assert str(layout.sampling_config(case)) not in params.page.settings
    for plan in params.references:
        assert load_reference(layout.reference_config(plan.case, plan.name)) == plan
    for dataset, problem in params.datasets.items():
        assert load_problem(layout.data_config(dataset)) == problem
    assert load_classifier(layout.classifier_config) == params.classifier


def test_runs_of_a_case_share_one_reference_for_each_epsilon_above_zero(
    data: dict[str, Any], tmp_path: Path
) -> None:
    params = resolved(data, tmp_path)
    toys = [run for run in params.runs if run.case == "toy_8gaussians"]
    assert {run.config.epsilon for run in toys} >= {0, 0.1}
    for run in toys:
        assert (run.reference is None) == (run.config.epsilon == 0)
    epsilons = {run.config.epsilon for run in toys} - {0}
    assert [(r.case, r.epsilon) for r in params.references].count(("toy_8gaussians", 0.1)) == 1
    assert {(r.case, r.epsilon) for r in params.references} == {
        ("toy_8gaussians", epsilon) for epsilon in epsilons
    }
    data["experiments"]["toy_8gaussians"]["evaluation"]["metrics"] = ["cost_half_l2"]
    assert resolved(data, tmp_path).references == []


def test_a_mixture_has_no_plan_at_epsilon_zero(
    original: dict[str, Any], data: dict[str, Any], tmp_path: Path
) -> None:
    data["experiments"]["mixture"] = original["experiments"]["mixture"] | {"enabled": True}
    data = copy.deepcopy(data)
    assert "enot-eps1-seed0" in names(resolved(data, tmp_path), "mixture-d16")
    data["experiments"]["mixture"]["methods"]["enot"]["epsilons"] = [0]
    with pytest.raises(ConfigError, match=r"enot\.epsilon: found 0 for the problem mixture"):
        resolved(data, tmp_path)


def test_the_archive_of_a_mixture_is_what_its_runs_depend_on(
    original: dict[str, Any],
    data: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my").mkdir()
    Path("my/parameters.zip").touch()
    mixture = copy.deepcopy(original["experiments"]["mixture"]) | {"enabled": True}
    data["experiments"]["mixture"] = mixture
    assert not [
        r for r in resolved(data, tmp_path).runs if r.case == "mixture-d16" and r.data_files
    ]
    mixture["problem"]["archive"] = "my/parameters.zip"
    runs = [run for run in resolved(data, tmp_path).runs if run.case == "mixture-d16"]
    assert runs and all(run.data_files == [Path("my/parameters.zip")] for run in runs)


def test_every_number_of_a_run_counts_in_its_hash(data: dict[str, Any], tmp_path: Path) -> None:
    run = resolved(data, tmp_path).runs[0].config
    assert isinstance(run.solver, ENOTConfig)
    for changed in (
        dataclasses.replace(run, seed=run.seed + 1),
        dataclasses.replace(run, epsilon=run.epsilon + 1),
        dataclasses.replace(run, solver=dataclasses.replace(run.solver, batch_size=3)),
    ):
        assert changed.sha256 != run.sha256


def test_only_files_whose_text_changes_are_written(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = write_configs(resolved(data, tmp_path))
    assert len(files) == len(set(files)) > 10

    def states() -> dict[Path, tuple[int, int]]:  # a rewritten file has another inode
        return {f: (f.stat().st_ino, f.stat().st_mtime_ns) for f in files}

    before = states()
    assert write_configs(resolved(data, tmp_path)) == files
    assert states() == before
    data["experiments"]["gaussian"]["methods"]["egnot"]["per_epsilon"] = {1: {"num_steps": 7}}
    write_configs(resolved(data, tmp_path))
    after = states()
    changed = {f.as_posix() for f in files if after[f] != before[f]}
    assert changed == {
        "results/laptop/config/gaussian-d16/egnot-eps1-seed0.json",
        "results/laptop/config/gaussian-d16/egnot-eps10-seed0.json",  # its block was taken out
    }


def test_files_of_runs_that_are_gone_are_removed(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_configs(resolved(data, tmp_path))
    del data["experiments"]["gaussian"]["methods"]["sinkhorn"]
    write_configs(resolved(data, tmp_path))
    left = {p.name for p in Path("results/laptop/config/gaussian-d16").iterdir()}
    assert not [name for name in left if name.startswith("sinkhorn")]
    assert "enot-eps1-seed0.json" in left and "evaluation.json" in left


def written_run(data: dict[str, Any], folder: Path) -> tuple[Path, dict[str, Any]]:
    config = next(r.config for r in resolved(data, folder).runs if r.config.method == "egnot")
    path = folder / "run.json"
    path.write_text(to_json(config))
    return path, json.loads(path.read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "enott"}, r"run\.json: method: found 'enott', expected one of"),
        ({"epsilon": 0}, r"run\.json\.epsilon: found 0 for egnot"),
        ({"extra": 1}, r"run\.json\.extra: unknown key"),
        ({"seed": "0"}, r"run\.json\.seed: found '0', expected an integer"),
        ({"solver": {}}, r"run\.json\.solver\.potential: missing"),
    ],
)
def test_an_edited_run_file_is_checked_again(
    data: dict[str, Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path, run = written_run(data, tmp_path)
    path.write_text(json.dumps({**run, **changes}))
    with pytest.raises(ConfigError, match=message):
        load_run(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not valid JSON"), ("[]", r"found \[\], expected a mapping"), (None, "not found")],
)
def test_an_unreadable_run_file_says_what_writes_it(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "run.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_run(path)


def test_names_and_paths_come_from_the_run(data: dict[str, Any], tmp_path: Path) -> None:
    run = next(r for r in resolved(data, tmp_path).runs if r.name == "enot-eps0.1-seed0")
    assert isinstance(run.config, RunConfig)
    assert run.case == "gaussian-d16"
    assert dataclasses.replace(run.config, variant=None).case == "gaussian"
    assert config_module.SOLVER_CONFIGS[run.config.method] is type(run.config.solver)


def test_a_merge_key_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "merge.yaml"
    path.write_text("base: &base {x: 1, y: 2}\nother: {<<: *base, x: 5}\n")
    assert read_yaml(path)["other"] == {"x": 5, "y": 2}
