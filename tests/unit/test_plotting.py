"""Figures: they draw what they are given, refuse what they cannot draw, and notebooks stay thin."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jupytext
import matplotlib
import nbformat
import numpy as np
import pytest
from matplotlib.axes import Axes

from entropic_ot import figure_data, plotting
from entropic_ot.errors import DataError
from entropic_ot.experiments.config import (
    SOLVER_CONFIGS,
    ColouredMNISTProblem,
    ComputeConfig,
    EightGaussiansProblem,
    GaussianProblem,
    MixtureProblem,
    MSCIProblem,
    ProblemConfig,
    RunConfig,
    SwissRollProblem,
    to_json,
)
from entropic_ot.experiments.paths import Layout
from entropic_ot.experiments.tables import as_csv
from entropic_ot.plotting import Cell, Point

NOTEBOOKS = sorted(Path(__file__).parents[2].glob("workflow/notebooks/*.py"))
LIMITS = ((-3.0, 3.0), (-3.0, 3.0))
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def own_style() -> Iterator[None]:
    with matplotlib.rc_context():
        plotting.use_style()
        yield


@pytest.fixture
def ax() -> Axes:
    return plotting.new_figure(2, 2).subplots()


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


# --- points --------------------------------------------------------------------------------------


def test_fitted_samples_draws_target_source_and_samples(ax: Axes) -> None:
    x, y, target = RNG.uniform(-2, 2, (3, 50, 2))
    plotting.fitted_samples(ax, y, target, LIMITS, colour="#0072B2", x=x)
    clouds = {str(c.get_label()): np.asarray(c.get_offsets()) for c in ax.collections}
    np.testing.assert_allclose(clouds["generated"], y)
    np.testing.assert_allclose(clouds["target"], target)
    np.testing.assert_allclose(clouds["source"], x)
    assert all(c.get_rasterized() for c in ax.collections), "dots make PDF files large"
    assert ax.get_aspect() == 1.0
    assert texts(ax) == []


def test_fitted_samples_tells_how_many_lie_outside(ax: Axes) -> None:
    y = np.zeros((100, 2))
    y[:20] = 10.0
    y[20:30] = np.nan
    plotting.fitted_samples(ax, y, np.zeros((5, 2)), LIMITS, colour="k")
    assert texts(ax) == ["30 % outside"]


def test_many_points_are_thinned_in_the_same_way_each_time() -> None:
    points = np.arange(20_000.0).reshape(-1, 2)
    shown = plotting.thin(points, 100)
    assert shown.shape == (100, 2)
    np.testing.assert_array_equal(shown, plotting.thin(points, 100))
    assert len(plotting.thin(points[:5], 100)) == 5
    assert shown[:, 0].mean() == pytest.approx(points[:, 0].mean(), rel=0.2)  # not the first ones


@pytest.mark.parametrize("shape", [(10,), (10, 3), (0, 2), (4, 10, 2)])
def test_points_of_a_wrong_shape_are_refused(ax: Axes, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[n, 2\]"):
        plotting.fitted_samples(ax, np.zeros(shape), np.zeros((5, 2)), LIMITS, colour="k")


def test_source_and_target_has_a_dot_for_each_point(ax: Axes) -> None:
    plotting.source_and_target(ax, np.zeros((7, 2)), np.ones((5, 2)), LIMITS)
    (cloud,) = ax.collections
    offsets, colours = np.asarray(cloud.get_offsets()), cloud.get_facecolor()
    assert len(offsets) == 12
    source = matplotlib.colors.to_rgba(plotting.SOURCE_COLOUR)
    np.testing.assert_allclose(colours[offsets[:, 0] == 0], np.tile(source, (7, 1)))


def test_trajectories_draws_whole_paths(ax: Axes) -> None:
    path = RNG.normal(size=(11, 30, 2))
    plotting.trajectories(ax, path, np.zeros((5, 2)), LIMITS, colour="k", count=8)
    assert len(ax.lines) == 8
    drawn = {tuple(line.get_xdata()) for line in ax.lines}
    assert drawn <= {tuple(path[:, i, 0]) for i in range(30)}


def test_trajectories_refuses_a_wrong_shape(ax: Axes) -> None:
    with pytest.raises(ValueError, match=r"path: found an array of shape \[11, 2\]"):
        plotting.trajectories(ax, np.zeros((11, 2)), np.zeros((5, 2)), LIMITS, colour="k")


def test_conditional_clouds_draws_points_within_the_panel(ax: Axes) -> None:
    x = np.array([[0.0, 0.0], [1.0, 0.0], [99.0, 0.0], [0.0, 2.0], [-1.0, 1.0], [-2.0, -2.0]])
    samples = x[:, None] + RNG.normal(size=(6, 20, 2))
    plotting.plane(ax, LIMITS)
    plotting.conditional_clouds(ax, x, samples, count=4)
    marked = [np.asarray(c.get_offsets()) for c in ax.collections]
    sources = [tuple(points[0]) for points in marked if len(points) == 1]
    assert len(sources) == 4
    assert (99.0, 0.0) not in sources
    clouds = [points for points in marked if len(points) == 20]
    assert any(np.allclose(cloud, samples[0]) for cloud in clouds)  # the one nearest to the mean


def test_conditional_clouds_needs_samples_for_each_point(ax: Axes) -> None:
    with pytest.raises(ValueError, match=r"conditional_y: .* expected \[3, k, 2\]"):
        plotting.conditional_clouds(ax, np.zeros((3, 2)), np.zeros((4, 9, 2)))


def test_spread_rows_are_far_from_each_other() -> None:
    points = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0], [5.1, 0.0], [0.0, 5.0]])
    assert set(plotting.spread_rows(points, 3)) & {2, 3}
    assert 4 in plotting.spread_rows(points, 3)
    assert list(plotting.spread_rows(points, 9)) == [0, 1, 2, 3, 4]


def test_limits_are_square_and_hold_the_points() -> None:
    points = RNG.normal(size=(1000, 2)) * [3, 1]
    (left, right), (bottom, top) = plotting.limits_around(points)
    assert right - left == pytest.approx(top - bottom)
    assert (np.abs(points[:, 0]) < max(-left, right)).mean() > 0.99


# --- numbers -------------------------------------------------------------------------------------


def test_metric_by_epsilon_draws_values_and_floors(ax: Axes) -> None:
    series = {
        "enot": [Point(1.0, 0.5, floor=0.01), Point(0.1, 0.2, floor=0.01)],
        "sinkhorn": [Point(10.0, 3.0, half_width=0.5)],
    }
    plotting.metric_by_epsilon(ax, series, "error", log=True)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.1", "1", "10"]
    drawn = {c.get_label(): list(c.lines[0].get_ydata()) for c in ax.containers}
    assert drawn == {"ENOT": [0.2, 0.5], "Sinkhorn": [3.0]}  # from the smallest epsilon on
    assert ax.get_yscale() == "log"
    low, high = ax.get_ylim()
    assert low < 0.01 and high > 3.5


def test_metric_by_epsilon_is_linear_when_a_value_is_not_positive(ax: Axes) -> None:
    plotting.metric_by_epsilon(ax, {"enot": [Point(1.0, 0.5, floor=-0.01)]}, "error", log=True)
    assert ax.get_yscale() == "linear"


def test_panels_without_values_say_so(ax: Axes) -> None:
    plotting.metric_by_epsilon(ax, {}, "error")
    plotting.bars(ax, {}, "distance")
    assert texts(ax) == ["no values of\nerror", "no values of\ndistance"]


def test_bars_have_values_and_a_line(ax: Axes) -> None:
    values = {("enot", "ENOT"): (2.5, 0.0), ("sinkhorn", "Sinkhorn"): (float("nan"), 0.0)}
    plotting.bars(ax, values, "distance", reference=4.0, reference_label="independent")
    assert [bar.get_height() for bar in ax.patches][:1] == [2.5]
    assert texts(ax) == ["2.5", "nan"]
    assert [line.get_ydata()[0] for line in ax.lines] == [4.0]
    assert ax.get_ylim()[1] > 4.0


def test_table_writes_every_cell(ax: Axes) -> None:
    rows = [[Cell("1"), Cell("0.5", bold=True)], [Cell("2"), Cell("0.7")]]
    plotting.table(ax, ["a", "b"], rows, rules_before=[0, 1])
    assert texts(ax) == ["a", "b", "1", "0.5", "2", "0.7"]
    assert [t.get_text() for t in ax.texts if t.get_weight() == "bold"] == ["0.5"]
    with pytest.raises(ValueError, match="row 1: found 1 cells, expected 2"):
        plotting.table(ax, ["a", "b"], [rows[0], rows[1][:1]], rules_before=[])


def test_unknown_methods_and_missing_runs(ax: Axes) -> None:
    with pytest.raises(ValueError, match="found 'enott', expected one of enot"):
        plotting.method_style("enott")
    assert len({style.colour for style in plotting.METHODS.values()}) == len(plotting.METHODS)
    plotting.missing_run(ax, "egnot", 0)
    plotting.missing_run(ax, "enot", 0)
    assert texts(ax) == [r"EgNOT needs $\varepsilon > 0$", "ENOT:\nnot run"]


# --- images --------------------------------------------------------------------------------------


def test_image_grid_clips_and_places_images(ax: Axes) -> None:
    images = np.full((2, 3, 3, 4, 4), -5.0)
    images[1, 2] = 5.0
    images[0, 1, :, 0, 0] = 0.0
    plotting.image_grid(ax, images, split_first_column=True, column_labels=["x", "a", "b"])
    picture = np.asarray(ax.images[0].get_array())
    assert picture.min() >= 0 and picture.max() <= 1
    pixels = picture[::3, ::3]  # each pixel is drawn as 3 x 3
    assert pixels.shape == (2 * 4 + 1, 3 * 4 + 2 * 1 + 2, 3)
    np.testing.assert_array_equal(pixels[:4, :4], 0)  # the first image
    np.testing.assert_array_equal(pixels[:4, 4:7], 1)  # a wider gap
    np.testing.assert_array_equal(pixels[0, 7], 0.5)
    np.testing.assert_array_equal(pixels[5:, 12:], 1)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["x", "a", "b"]


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 3, 4, 4), (2, 3, 2, 4, 4), (0, 3, 3, 4, 4)])
def test_image_grid_refuses_wrong_shapes(ax: Axes, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[rows, columns, channels, H, W\]"):
        plotting.image_grid(ax, np.zeros(shape))


def test_image_grid_wants_a_label_per_column(ax: Axes) -> None:
    with pytest.raises(ValueError, match="column_labels: found 1, expected 2"):
        plotting.image_grid(ax, np.zeros((1, 2, 3, 4, 4)), column_labels=["a"])


def test_evenly_spaced_has_both_ends() -> None:
    assert list(plotting.evenly_spaced(11, 6)) == [0, 2, 4, 6, 8, 10]
    assert list(plotting.evenly_spaced(3, 6)) == [0, 1, 2]


# --- files ---------------------------------------------------------------------------------------


def test_save_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    for name in ("a", "b"):
        figure, axes = plotting.new_panels(1, 2)
        plotting.fitted_samples(axes[0, 0], np.ones((9, 2)), np.ones((9, 2)), LIMITS, colour="k")
        assert plotting.save(figure, tmp_path / "new" / name) == tmp_path / "new" / f"{name}.png"
    for ending in ("png", "pdf"):
        first, second = ((tmp_path / "new" / f"{n}.{ending}").read_bytes() for n in "ab")
        assert first == second


def test_figures_do_not_need_torch() -> None:
    code = "import sys, entropic_ot.figure_data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- what notebooks read -------------------------------------------------------------------------

PROBLEMS: dict[str, tuple[str | None, ProblemConfig, tuple[int, ...]]] = {
    "toy_8gaussians": (
        None,
        EightGaussiansProblem(kind="toy_8gaussians", radius=5.0, std=0.5),
        (2,),
    ),
    "toy_swissroll": (None, SwissRollProblem(kind="toy_swissroll", noise=0.8, scale=0.1), (2,)),
    "gaussian": (
        "d3",
        GaussianProblem(kind="gaussian", dim=3, source_seed=42, target_seed=43),
        (3,),
    ),
    "mixture": (
        "d3",
        MixtureProblem(
            kind="mixture",
            dim=3,
            num_components=5,
            mean_norm=5.0,
            component_std=0.25,
            source_std=0.5,
            parameters_seed=0,
            archive=None,
        ),
        (3,),
    ),
    "cmnist_2to3": (
        "8px",
        ColouredMNISTProblem(
            kind="coloured_mnist", source_digit=2, target_digit=3, image_size=8, hue_seed=0
        ),
        (3, 8, 8),
    ),
    "msci": ("d50-2to4", MSCIProblem(kind="msci", dim=50, setting="2to4"), (50,)),
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


def make_run(experiment: str, method: str, epsilon: float, seed: int) -> RunConfig:
    variant, problem, _ = PROBLEMS[experiment]
    return RunConfig(
        scale="smoke",
        experiment=experiment,
        variant=variant,
        method=method,  # type: ignore[arg-type]
        epsilon=epsilon,
        seed=seed,
        num_steps=1,
        problem=problem,
        solver=SOLVER_CONFIGS[method](),
        compute=ComputeConfig(
            device="cpu", precision="float32", checkpoint_seconds=1.0, log_points=1
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
    assert (two.value, two.num_seeds, two.floor) == (1.5, 2, 0.5)
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
    assert [row[2].bold for row in cells] == [False, False, True]
    lines = figure_data.as_markdown(["a\nb", "c", "d", "e", "f"], cells).splitlines()
    assert lines[0] == "| a b | c | d | e | f |"
    assert lines[-1] == "|  | EgNOT | **1** | 0.5 | 12 |"
    assert figure_data.comparison_table([], ["bw_uvp_plan"], runs, case="gaussian-d3")[0] == []


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
    assert {notebook.stem for notebook in NOTEBOOKS} >= set(PROBLEMS)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_define_nothing_train_nothing_and_store_nothing(notebook: Path) -> None:
    for cell in code_of(notebook):
        assert not cell.get("outputs")
        for node in ast.walk(ast.parse(cell.source)):
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
            assert not isinstance(node, kinds), f"line {getattr(node, 'lineno', 0)}: {cell.source}"
            if isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                assert node.module == "IPython.display" or names <= {
                    *("figure_data", "plotting", "plotting_mixture")
                }
            assert not isinstance(node, ast.Import)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_the_four_parameters(notebook: Path) -> None:
    tagged = [c for c in code_of(notebook) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    names = [
        target.id
        for node in ast.parse(tagged[0].source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert sorted(names) == ["metrics", "out", "samples", "scale"]
    assert len(ast.parse(tagged[0].source).body) == 4


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
    (notebook,) = (path for path in NOTEBOOKS if path.stem == experiment)
    space = {"scale": "smoke", "metrics": str(table), "out": "figure", "samples": samples}
    monkeypatch.setattr("entropic_ot.plotting.DPI", 40)  # quick
    monkeypatch.setattr("IPython.display.display", lambda *_: None)
    for cell in code_of(notebook):
        if "parameters" not in cell.metadata.get("tags", []):
            exec(compile(cell.source, str(notebook), "exec"), space)
    assert Path("figure.png").stat().st_size > 0
    assert Path("figure.pdf").stat().st_size > 0
