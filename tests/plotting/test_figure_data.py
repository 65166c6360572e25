"""What figure notebooks read is what was computed, and the notebooks stay thin."""

from __future__ import annotations

import ast
import dataclasses
import json
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
import pytest
import yaml
from problem_configs import GAUSSIAN, MIXTURE

from entropic_ot import figure_data
from entropic_ot.errors import DataError
from entropic_ot.experiments import over_time
from entropic_ot.experiments.config import (
    SOLVER_CONFIGS,
    ArraysProblem,
    ColouredMNISTProblem,
    ComputeConfig,
    EightGaussiansProblem,
    LatentProblem,
    MSCIProblem,
    ProblemConfig,
    RunConfig,
    SwissRollProblem,
    to_json,
)
from entropic_ot.experiments.paths import Layout
from entropic_ot.experiments.tables import as_csv
from entropic_ot.metrics.registry import FEATURE_METRICS
from entropic_ot.networks.config import NetworkConfig

NOTEBOOKS = sorted(Path(__file__).parents[2].glob("workflow/notebooks/*.py"))
NOTEBOOK_IMPORTS = {"encoding", "figure_data", "plotting", "mixture", "comparison"}
FOUR_PARAMETERS = ["metrics", "out", "samples", "scale"]
MORE_PARAMETERS = {"encoding": ["latents", "provenance"], "tables": ["paper_values", "tables"]}
RNG = np.random.default_rng(0)


OWN_DATA = ArraysProblem(
    kind="arrays", source="a.npy", target="b.npy", image_size=None, test_share=0.1, split_seed=0
)
DIGITS = ColouredMNISTProblem(
    kind="coloured_mnist", source_digit=2, target_digit=3, image_size=8, hue_seed=0
)
PROBLEMS: dict[str, tuple[str | None, ProblemConfig, tuple[int, ...]]] = {
    "toy_8gaussians": (
        None,
        EightGaussiansProblem(kind="toy_8gaussians", radius=5.0, std=0.5),
        (2,),
    ),
    "toy_swissroll": (None, SwissRollProblem(kind="toy_swissroll", noise=0.8, scale=0.1), (2,)),
    "gaussian": (
        "d3",
        GAUSSIAN,
        (3,),
    ),
    "mixture": (
        "d3",
        MIXTURE,
        (3,),
    ),
    "cmnist_2to3": ("8px", DIGITS, (3, 8, 8)),
    "cmnist_latent": (
        "encoded",
        LatentProblem(
            kind="latent", images=DIGITS, generator="threes", space="encoded", start="base"
        ),
        (3, 8, 8),
    ),
    "msci": ("d50-2to4", MSCIProblem(kind="msci", dim=50, setting="2to4"), (50,)),
    "my_points": (None, OWN_DATA, (5,)),
    "my_images": (None, OWN_DATA, (1, 8, 8)),
}
NOTEBOOK_OF = {
    "my_points": "own_data",
    "my_images": "own_data",
    "cmnist_2to3": "image_plans",
    "cmnist_latent": "image_plans",
}
RUNS = (("enot", 0.0, 0), ("enot", 1.0, 1), ("enot", 1.0, 0), ("egnot", 1.0, 0))
METRICS = (
    "cbw_uvp",
    "bw_uvp_plan",
    "bw_uvp_target",
    "energy_distance",
    "energy_distance_independent",
    "conditional_variance",
    "cost_half_l2",
    "share_three",
    "hue_error",
)


DRIFT, POTENTIAL = (NetworkConfig(kind=k, width=8, depth=1) for k in ("unet", "conv"))
IMAGE_NETWORKS: dict[str, dict[str, NetworkConfig]] = {
    "enot": {"drift": DRIFT, "potential": POTENTIAL},
    "egnot": {"potential": POTENTIAL},
}


def make_run(experiment: str, method: str, epsilon: float, seed: int) -> RunConfig:
    variant, problem, _ = PROBLEMS[experiment]
    images = isinstance(problem, ColouredMNISTProblem) or (
        isinstance(problem, ArraysProblem) and problem.image_size is not None
    )
    return RunConfig(
        scale="smoke",
        experiment=experiment,
        variant=variant,
        method=method,  # type: ignore[arg-type]
        epsilon=epsilon,
        seed=seed,
        num_steps=1,
        problem=problem,
        solver=SOLVER_CONFIGS[method](**(IMAGE_NETWORKS[method] if images else {})),
        compute=ComputeConfig(
            device="cpu",
            precision="float32",
            compile="never",
            checkpoint_seconds=1.0,
            log_points=1,
        ),
    )


def write_results(experiment: str) -> tuple[list[str], Path]:
    """Configs, samples and the table of a few runs, below the current directory."""
    layout, samples, rows = Layout("smoke"), [], []
    shape = PROBLEMS[experiment][2]
    for method, epsilon, seed in RUNS:
        if experiment == "mixture":  # it has no epsilon = 0
            epsilon = epsilon or 0.1
        run = make_run(experiment, method, epsilon, seed)
        config, file = layout.run_config(run.case, run.name), layout.samples(run.case, run.name)
        for path, folder in ((config, config.parent), (file, file.parent)):
            folder.mkdir(parents=True, exist_ok=True)
            samples += [str(path)] if path == file else []
        config.write_text(to_json(run))
        (config.parent / "evaluation.json").write_text("{}")  # stands there, and is no run
        arrays = {
            "x": (20, *shape),
            "y": (20, *shape),
            "target": (20, *shape),
            "conditional_x": (3, *shape),
            "conditional_y": (3, 4, *shape),
            "path": (5, 6, *shape),
        }
        if experiment == "cmnist_latent":
            arrays["generated"] = (20, *shape)
        if experiment == "mixture":
            arrays |= {
                "conditional_mode_means": (3, 5, *shape),
                "conditional_mode_weights": (3, 5),
            }
        np.savez(
            file,
            path_t=np.linspace(0, 1, 5, dtype=np.float32),
            **{name: RNG.normal(size=size).astype(np.float16) for name, size in arrays.items()},
        )
        for metric in METRICS:
            rows.append(
                {
                    "scale": "smoke",
                    "experiment": experiment,
                    "variant": run.variant,
                    "method": method,
                    "epsilon": epsilon,
                    "dim": 3,
                    "seed": seed,
                    "metric": metric,
                    "value": 1.0 + seed,
                    "floor": None if metric == "hue_error" else 0.5,
                    "n": 20,
                    "train_seconds": 12.34,
                }
            )
    table = layout.tables / "metrics.csv"
    table.parent.mkdir(parents=True)
    table.write_text(as_csv(rows))
    at_times = [
        {name: row[name] for name in over_time.COLUMNS if name in row}
        | {"metric": "bw_uvp_path", "t": t, "value": t + row["seed"], "floor": 0.25}
        for row in rows
        if row["metric"] == "bw_uvp_plan"
        for t in (0.5, 0.25)
    ]
    table.with_name(over_time.FILE).write_text(over_time.as_csv(at_times))
    return samples, table


def test_samples_are_matched_to_their_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples, _ = write_results("gaussian")
    runs = figure_data.load_samples_of(samples, "smoke")
    assert [(r.method, r.epsilon, r.seed) for r in runs] == [
        ("enot", 0.0, 0),
        ("enot", 1.0, 0),
        ("enot", 1.0, 1),
        ("egnot", 1.0, 0),
    ]
    assert {r.case for r in runs} == {"gaussian-d3"}
    assert figure_data.methods_of(runs) == ["enot", "egnot"]
    assert figure_data.epsilons_of(runs) == [0.0, 1.0]
    assert [r.seed for r in figure_data.runs_of(runs, method="enot").values()] == [0, 0]
    arrays = runs[0].arrays
    assert arrays["x"].dtype == np.float32
    assert arrays["conditional_y"].shape == (3, 4, 3)
    assert arrays["x"] is arrays["x"], "read once"
    assert set(arrays) == {
        "x", "y", "target", "conditional_x", "conditional_y", "path", "path_t",
    }  # fmt: skip
    with pytest.raises(KeyError, match="'z' is not in"):
        arrays["z"]


def test_samples_without_a_run_and_damaged_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    samples, _ = write_results("gaussian")
    with pytest.raises(DataError, match="no run config"):
        figure_data.load_samples_of([*samples, "results/smoke/samples/other/enot.npz"], "smoke")
    with pytest.raises(DataError, match="no run config"):
        figure_data.load_samples_of(samples, "laptop")
    Path(samples[0]).write_bytes(b"no zip file")
    with pytest.raises(DataError, match="cannot be read"):
        figure_data.load_samples_of(samples[:1], "smoke")[0].arrays["x"]
    config = Layout("smoke").run_config("gaussian-d3", "enot-eps0-seed0")
    config.write_text(to_json(make_run("gaussian", "enot", 2.0, 0)))
    with pytest.raises(DataError, match="the config of gaussian-d3/enot-eps2-seed0"):
        figure_data.load_samples_of(samples, "smoke")


def test_estimates_over_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples, table = write_results("gaussian")
    rows, runs = figure_data.read_metrics(table), figure_data.load_samples_of(samples, "smoke")
    two = figure_data.estimate(rows, "bw_uvp_plan", case="gaussian-d3", method="enot", epsilon=1.0)
    assert two is not None
    # Values 1 and 2: standard error 1/2, Student's t with one degree of freedom 12.706.
    assert (two.value, two.over_seeds.num_seeds, two.floor) == (1.5, 2, 0.5)
    assert two.floor_std is None
    assert two.half_width == pytest.approx(12.706 / 2, rel=1e-4)
    assert str(two) == "1.5 ± 6.4"
    one = figure_data.estimate(rows, "hue_error", case="gaussian-d3", method="enot", epsilon=0.0)
    assert one is not None and (one.half_width, one.floor, str(one)) == (0.0, None, "1")
    key = {"case": "gaussian-d3", "method": "sinkhorn", "epsilon": 1.0}
    assert figure_data.estimate(rows, "bw_uvp_plan", **key) is None  # type: ignore[arg-type]
    points = figure_data.series(rows, "bw_uvp_plan", runs, case="gaussian-d3")
    assert {m: [p.value for p in own] for m, own in points.items()} == {
        "enot": [1.0, 1.5],
        "egnot": [1.0],
    }


def test_a_metric_over_time_is_a_mean_over_seeds_at_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    samples, table = write_results("gaussian")
    results = figure_data.load_results(samples, table, "smoke")
    found = results.over_time("bw_uvp_path", "gaussian-d3", 1.0, ["enot", "egnot", "lightsb"])
    assert list(found) == ["enot", "egnot"]  # there is no LightSB
    assert [(p.t, p.value, p.floor) for p in found["enot"]] == [(0.25, 0.75, 0.25), (0.5, 1, 0.25)]
    assert [p.half_width for p in found["enot"]] == pytest.approx([12.706 / 2] * 2, rel=1e-4)
    assert [(p.t, p.value, p.half_width) for p in found["egnot"]] == [
        (0.25, 0.25, 0),
        (0.5, 0.5, 0),
    ]
    assert results.of_case("gaussian-d3").over_time("bw_uvp_path", "gaussian-d3", 0.0, ["enot"])
    assert results.over_time("bw_uvp_path", "gaussian-d3", 3.0, ["enot"]) == {}
    for contents in ("a,b\n1,2\n", None):
        table.with_name(over_time.FILE).unlink()
        if contents is not None:
            table.with_name(over_time.FILE).write_text(contents)
        with pytest.raises(DataError, match=r"over_time\.csv: found .*entropic-ot table"):
            figure_data.load_results(samples, table, "smoke")


def test_comparison_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples, table = write_results("gaussian")
    rows, runs = figure_data.read_metrics(table), figure_data.load_samples_of(samples, "smoke")
    cells, starts = figure_data.comparison_table(rows, ["bw_uvp_plan"], runs, case="gaussian-d3")
    assert [[cell.text for cell in row] for row in cells] == [
        ["0", "ENOT", "1", "0.5", "12"],
        ["1", "ENOT", "1.5 ± 6.4", "0.5", "12"],
        ["", "EgNOT", "1", "0.5", "12"],
    ]
    assert starts == [0, 1]
    assert not any(row[2].bold for row in cells)  # EgNOT has one seed: nothing is clear
    apart = [
        dataclasses.replace(row, value=value, seed=seed, floor=0.5, floor_std=0.25)
        for row, values in ((rows[0], (7.0, 7.1, 7.2)), (rows[-1], (1.0, 1.1, 1.2)))
        for seed, value in enumerate(values)
    ]
    apart = [dataclasses.replace(row, metric="bw_uvp_plan", epsilon=1.0) for row in apart]
    cells, _ = figure_data.comparison_table(apart, ["bw_uvp_plan"], runs, case="gaussian-d3")
    assert [row[2].bold for row in cells] == [False, True]
    lines = figure_data.as_markdown(["a\nb", "c", "d", "e", "f"], cells).splitlines()
    assert lines[0] == "| a b | c | d | e | f |"
    assert lines[-1] == "|  | EgNOT | **1.10 ± 0.25** | 0.5 ± 0.25 | 12 |"
    assert figure_data.comparison_table([], ["bw_uvp_plan"], runs, case="gaussian-d3")[0] == []


def test_results_are_what_one_figure_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples, table = write_results("gaussian")
    results = figure_data.load_results(samples, table, "smoke")
    case = "gaussian-d3"
    assert (results.cases, results.methods, results.epsilons) == ([case], ["enot", "egnot"], [0, 1])
    assert results.heading(case) == "Data"
    assert results.of_case("other").runs == []
    assert results.data(case)["x"].shape == (20, 3)
    assert list(results.plans(case, "enot")) == [0.0, 1.0]
    assert list(results.plans(case, "egnot")) == [1.0]
    assert list(results.curves({"bw_uvp_plan": "label"}, case)["label"]) == ["enot", "egnot"]
    bars = results.bars("bw_uvp_plan", case)
    assert list(bars) == [("enot", "ENOT\n0"), ("enot", "ENOT\n1"), ("egnot", "EgNOT")]
    assert bars["egnot", "EgNOT"] == (1.0, 0.0)
    assert results.last_value("bw_uvp_plan", case) == 1.0
    assert results.last_value("fid", case) is None
    formats = {"share_three": "called “3”: {:.0f} %", "fid": "FID {:.1f}"}
    formats["hue_error"] = "hue {:.0f}°"
    note = results.note(case, "egnot", 1.0, formats)
    assert note == "called “3”: 1 % (0),  hue 1°"
    assert results.note(case, "sinkhorn", 1.0, formats) == ""
    variance = {"conditional_variance": "variance {:.0f}"}  # no method is ranked by it
    assert results.note(case, "egnot", 1.0, variance) == "variance 1"


def test_the_number_of_outputs_is_that_of_the_distances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Diversity and variance count all outputs of each input, 320 of 40; real/real half of 40."""
    monkeypatch.chdir(tmp_path)
    samples, table = write_results("gaussian")
    results = figure_data.load_results(samples, table, "smoke")
    one = results.rows[0]
    counts = {"lpips_diversity": 320, "conditional_variance": 320, "fd_effnet_real": 20}
    others = [dataclasses.replace(one, metric=name, n=n) for name, n in counts.items()]
    rows = [*others, dataclasses.replace(one, metric="fd_effnet", n=40)]
    assert figure_data.Results(results.runs, rows).num_samples(one.case) == 40
    assert figure_data.Results(results.runs, others).num_samples(one.case) is None


def asked_for(settings: Any) -> set[str]:
    """Every metric in this part of params.yaml, automatic ones too."""
    if not isinstance(settings, dict):
        return set()
    own = {m for key in ("metrics", "auto_metrics") for m in settings.get(key) or []}
    return own.union(*map(asked_for, settings.values()))


def test_every_metric_of_an_experiment_on_images_has_a_column() -> None:
    params = yaml.safe_load((NOTEBOOKS[0].parents[2] / "params.yaml").read_text())
    tables = [f for f in params["figures"].values() if f["notebook"] == "image_table"]
    names = {name for figure in tables for name in figure["experiments"]}
    blocks = [params, *params["scales"].values()]
    asked = asked_for(
        {f"{n} {name}": b["experiments"].get(name) for n, b in enumerate(blocks) for name in names}
    )
    assert {"fid", "fid_generator", "precision_lenet", "latent_energy_distance"} <= asked
    columns = figure_data.DISTANCES | figure_data.OTHERS
    assert asked <= set(columns)
    assert set(FEATURE_METRICS) <= set(columns)
    assert set(figure_data.NOTES) <= set(columns)
    assert len(set(columns.values())) == len(columns)


def test_a_table_of_images_says_what_methods_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    samples, table = write_results("cmnist_latent")
    results = figure_data.load_results(samples, table, "smoke")
    header, cells, rules = results.image_table(figure_data.OTHERS, seconds=True)
    assert header[:6] == ["case", "n", "ε", "method", "called\n“3” [%]", "real"]
    assert header[-1] == "train\n[s]" and header.count("real") == 1
    assert all(len(line) == len(header) for line in cells) and rules == [0, 1]
    case = results.cases[0]
    problem = PROBLEMS["cmnist_latent"][1]
    for file, seconds in zip(Layout("smoke").shared_records(problem), (300, 55.4), strict=True):
        assert results.shared_seconds(case) is None
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"train_seconds": seconds}))
    assert results.shared_seconds(case) == 355.4
    header, cells, _ = results.image_table(figure_data.OTHERS, seconds=True)
    assert (header[-1], cells[-1][-1].text) == ("shared\n[s]", "355")
    header, _, _ = results.image_table(figure_data.DISTANCES, seconds=False)
    assert header == ["case", "n", "ε", "method"]
    assert Layout("smoke").shared_records(DIGITS) == []


def test_the_first_rows_are_read_without_keeping_the_others(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(12, dtype=np.float16).reshape(6, 2))
    arrays = figure_data.LazyArrays(tmp_path / "a.npz")
    first = arrays.first("x", 2)
    assert first.dtype == np.float32 and first.tolist() == [[0, 1], [2, 3]]
    assert arrays["x"].shape == (6, 2) and arrays.first("x", 9).shape == (6, 2)


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    for text in (None, "{", "3"):
        if text is not None:
            path.write_text(text)
        with pytest.raises(DataError, match=r"provenance\.json: found no record"):
            figure_data.read_record(path)
    path.write_text('{"commit": "abc"}')
    assert figure_data.read_record(path) == {"commit": "abc"}


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    for name in ("metrics.csv", "absent.csv"):
        with pytest.raises(DataError, match="entropic-ot table"):
            figure_data.read_metrics(tmp_path / name)


# --- notebooks -----------------------------------------------------------------------------------


def read(notebook: Path) -> nbformat.NotebookNode:
    return jupytext.read(notebook)


def code_of(notebook: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(notebook).cells if cell.cell_type == "code"]


def test_there_is_a_notebook_for_each_experiment() -> None:
    assert {notebook.stem for notebook in NOTEBOOKS} >= {
        NOTEBOOK_OF.get(name, name) for name in PROBLEMS
    }


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_define_nothing_train_nothing_and_store_nothing(notebook: Path) -> None:
    for cell in code_of(notebook):
        assert not cell.get("outputs")
        for node in ast.walk(ast.parse(cell.source)):
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
            assert not isinstance(node, kinds), f"line {getattr(node, 'lineno', 0)}: {cell.source}"
            if isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                assert node.module == "IPython.display" or names <= NOTEBOOK_IMPORTS
            assert not isinstance(node, ast.Import)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_the_four_parameters_and_only_those_of_their_rule_besides(
    notebook: Path,
) -> None:
    tagged = [c for c in code_of(notebook) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    names = [
        target.id
        for node in ast.parse(tagged[0].source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    expected = FOUR_PARAMETERS + MORE_PARAMETERS.get(notebook.stem, [])
    assert sorted(names) == sorted(expected)
    assert len(ast.parse(tagged[0].source).body) == len(expected)


@pytest.mark.filterwarnings("error")  # Matplotlib warns when panels do not fit
@pytest.mark.parametrize("given", ["all", "one", "none"])
@pytest.mark.parametrize("experiment", PROBLEMS)
def test_notebooks_draw_whatever_there_is(
    experiment: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All runs; the one of EgNOT with an empty table; and nothing at all."""
    monkeypatch.chdir(tmp_path)
    samples, table = write_results(experiment)
    if given != "all":
        table.write_text(as_csv([]))
        samples = samples[-1:] if given == "one" else []
    name = NOTEBOOK_OF.get(experiment, experiment)
    (notebook,) = (path for path in NOTEBOOKS if path.stem == name)
    space = {"scale": "smoke", "metrics": str(table), "out": "figure", "samples": samples}
    monkeypatch.setattr("entropic_ot.plotting.figures.DPI", 40)  # quick
    monkeypatch.setattr("IPython.display.display", lambda *_: None)
    for cell in code_of(notebook):
        if "parameters" not in cell.metadata.get("tags", []):
            exec(compile(cell.source, str(notebook), "exec"), space)
    assert Path("figure.png").stat().st_size > 0
    assert Path("figure.pdf").stat().st_size > 0
