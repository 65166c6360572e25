"""Figures: they draw what they are given, and refuse what they cannot draw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from entropic_ot import plotting
from entropic_ot.plotting import Cell, Point, TimePoint

LIMITS = ((-3.0, 3.0), (-3.0, 3.0))
RNG = np.random.default_rng(0)


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


def test_the_spread_of_a_floor_is_a_band_around_it(ax: Axes) -> None:
    points = [Point(1.0, 0.5, floor=0.0, floor_std=0.1), Point(0.1, 0.2, floor=0.05)]
    plotting.metric_by_epsilon(ax, {"enot": points}, "error")
    (band,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
    corners = np.asarray(band.get_paths()[0].vertices)
    assert {round(float(y), 9) for y in corners[:, 1]} == {-0.1, 0.1}
    assert corners[:, 0].min() == pytest.approx(0.58) and corners[:, 0].max() == pytest.approx(1.42)


def test_a_logarithmic_axis_labels_every_decade(ax: Axes) -> None:
    points = [Point(epsilon, value) for epsilon, value in ((0.1, 1e-4), (1.0, 0.2))]
    plotting.metric_by_epsilon(ax, {"enot": points}, "error", log=True)
    low, high = ax.get_ylim()
    inside = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert inside == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])


@pytest.mark.parametrize("ratio", [1.0, 1.1, 2.9, 3.0, 29.0])
@pytest.mark.parametrize("low", [0.13, 1.0, 4.2, 7.7])
def test_a_narrow_logarithmic_axis_has_two_labels_or_more(
    ax: Axes, low: float, ratio: float
) -> None:
    points = [Point(0.1, low), Point(1.0, ratio * low)]
    plotting.metric_by_epsilon(ax, {"enot": points}, "error", log=True)
    bottom, top = ax.get_ylim()
    inside = [
        label.get_text()
        for label in ax.get_yticklabels()
        if bottom <= label.get_position()[1] <= top
    ]
    assert len(set(inside)) >= 2


def test_metric_by_time_draws_a_curve_for_each_method_and_one_floor(ax: Axes) -> None:
    series = {
        "enot": [TimePoint(0.75, 0.5, 0.1, floor=0.01), TimePoint(0.25, 0.2, floor=0.02)],
        "egnot": [TimePoint(0.5, 3.0, floor=0.04)],
    }
    plotting.metric_by_time(ax, series, "title", label="error")
    curves = {c.get_label(): c.lines[0].get_xydata().tolist() for c in ax.containers}
    assert curves == {"ENOT": [[0.25, 0.2], [0.75, 0.5]], "EgNOT": [[0.5, 3.0]]}
    (floor,) = [line for line in ax.lines if line.get_label() == "exact sampler"]
    assert floor.get_xydata().tolist() == [[0.25, 0.02], [0.5, 0.04], [0.75, 0.01]]
    assert (ax.get_title(), ax.get_ylabel(), ax.get_xlim()) == ("title", "error", (0, 1))
    low, high = ax.get_ylim()
    assert ax.get_yscale() == "log" and low < 0.01 and high > 3


def test_metric_by_time_without_values_says_so(ax: Axes) -> None:
    plotting.metric_by_time(ax, {}, "title")
    assert texts(ax) == ["no values over t\ntitle"]


def test_panels_with_a_table_are_two_rows_for_each() -> None:
    figure, tops, below = plotting.new_panels_with_table([15, 4], 2, 3)
    assert tops.shape == (2, 3) and below.shape == (2, 3)
    figure.draw_without_rendering()
    heights = [ax.get_tightbbox().height for ax in tops[:, 0]]
    assert heights[0] > heights[1]  # room for more lines
    widths = [ax.get_position().width for ax in tops[0]]
    assert widths[2] > 1.5 * widths[0]
    assert plotting.new_panels_with_table([], 2, 0)[2].shape == (1, 1)


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


def test_real_and_generated_images_are_told_apart(ax: Axes) -> None:
    plotting.real_and_generated(ax, np.zeros((3, 3, 4, 4)), np.zeros((2, 3, 4, 4)))
    labels = [(t.get_text(), y) for t, y in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)]
    assert labels == [("real", 1.5), ("$G(z)$", 6.5)]
    with pytest.raises(ValueError, match="row_labels: found 2, expected 1"):
        plotting.image_grid(ax, np.zeros((1, 1, 1, 2, 2)), row_labels=["a", "b"])


def test_trajectories_say_where_they_start(ax: Axes) -> None:
    samples = {"path": np.zeros((3, 2, 1, 4, 4)), "path_t": np.array([0.0, 0.5, 1.0])}
    for start, first in ((None, "0"), ("encoded", "0\nencoded")):
        plotting.image_trajectories(ax, samples, num_inputs=2, num_times=3, start=start)
        assert [t.get_text() for t in ax.get_xticklabels()] == [first, "0.5", "1"]


def test_evenly_spaced_has_both_ends() -> None:
    assert list(plotting.evenly_spaced(11, 6)) == [0, 2, 4, 6, 8, 10]
    assert list(plotting.evenly_spaced(3, 6)) == [0, 1, 2]


# --- rows of plans -------------------------------------------------------------------------------

PLAN = {
    "x": RNG.normal(size=(30, 2)),
    "y": RNG.normal(size=(30, 2)),
    "target": RNG.normal(size=(30, 2)),
    "conditional_x": RNG.normal(size=(3, 2)),
    "conditional_y": RNG.normal(size=(3, 7, 2)),
    "path": RNG.normal(size=(5, 6, 2)),
}


def test_plan_row_has_a_panel_for_each_epsilon_and_tells_of_missing_runs() -> None:
    _, axes = plotting.new_panels(1, 3)
    plans = {0.1: PLAN, 1.0: PLAN}
    plotting.plan_row(axes[0], "egnot", "conditional plans", plans, [0, 0.1, 1], LIMITS, label="l")
    assert texts(axes[0, 0]) == ["EgNOT\nl", r"EgNOT needs $\varepsilon > 0$"]
    for ax in axes[0, 1:]:
        sizes = [len(np.asarray(c.get_offsets())) for c in ax.collections]
        assert sizes == [30, 30, 7, 1, 7, 1, 7, 1]  # target, samples, and a cloud for each point


def test_plans_are_drawn_in_the_three_ways_there_are(ax: Axes) -> None:
    plotting.plan(ax, "trajectories", PLAN, LIMITS, colour="k")
    assert len(ax.lines) == 6
    plotting.plan(ax, "fitted samples", PLAN, LIMITS, colour="k")
    assert {"target", "source", "generated"} <= {str(c.get_label()) for c in ax.collections}
    with pytest.raises(ValueError, match="content: found 'paths', expected one of fitted samples"):
        plotting.plan(ax, "paths", PLAN, LIMITS, colour="k")


def test_plan_panels_are_at_least_one() -> None:
    _, side, axes = plotting.new_plan_panels(2, 3, 4)
    assert side.shape == (2, 3) and axes.shape == (2, 3, 4)
    assert plotting.new_plan_panels(0, 3, 0)[2].shape == (1, 3, 1)


def test_the_side_of_plan_panels_may_have_more_panels_than_there_are_rows() -> None:
    _, side, axes = plotting.new_plan_panels(2, 3, 4, num_side=5)
    assert side.shape == (2, 5) and axes.shape == (2, 3, 4)


def test_the_last_columns_of_panels_may_be_wider() -> None:
    figure, axes = plotting.new_panels(1, 4, last_column=2.0, num_last=2)
    figure.draw_without_rendering()
    widths = [ax.get_position().width for ax in axes[0]]
    assert widths[0] == pytest.approx(widths[1]) and widths[2] == pytest.approx(widths[3])
    assert widths[2] == pytest.approx(2 * widths[0])


def test_data_column_wants_a_panel_for_each_metric() -> None:
    _, side, _ = plotting.new_plan_panels(1, 2, 1)
    curves = {"error": {"enot": [Point(1.0, 0.5)]}}
    plotting.data_column(side[0], PLAN, curves, LIMITS, "Data")
    assert [ax.get_title() for ax in side[0]] == ["Data", "error"]
    assert side[0][1].get_yscale() == "linear"
    plotting.data_column(side[0], PLAN, curves, LIMITS, "Data", log=["error"])
    assert side[0][1].get_yscale() == "log"
    with pytest.raises(ValueError, match="zip"):
        plotting.data_column(side[0], PLAN, {}, LIMITS, "Data")


def test_finish_adds_the_legend_or_says_that_there_are_no_samples(tmp_path: Path) -> None:
    figure, axes = plotting.new_panels(1, 1)
    assert plotting.finish(figure, tmp_path / "a", ["enot"], data=False) == tmp_path / "a.png"
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["ENOT"]
    figure, side, axes = plotting.new_plan_panels(1, 1, 1)
    plotting.finish(figure, tmp_path / "b", [])
    assert not figure.legends
    for panel in (side[0, 0], axes[0, 0, 0]):
        assert texts(panel) == ["no samples were given"]


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


@pytest.mark.parametrize("num_per_source", [4, 9])
def test_the_truth_stands_behind_as_many_samples_as_there_are(
    ax: Axes, num_per_source: int
) -> None:
    rng = np.random.default_rng(0)
    samples = {
        "conditional_x": rng.uniform(-1, 1, (6, 1, 8, 8)),
        "conditional_y": rng.uniform(-1, 1, (6, num_per_source, 1, 8, 8)),
        "target": rng.uniform(-1, 1, (20, 1, 8, 8)),
    }
    plotting.image_samples(ax, samples, num_inputs=3, num_samples=5, with_truth=True)
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels == ["$x$", *[""] * min(5, num_per_source), "sharp"]
    # Inputs are spread: rows 0, 2 or 3, and 5; the last column is the target's of the last of them.
    pixels = np.asarray(ax.get_images()[0].get_array())[::3, ::3]
    np.testing.assert_allclose(pixels[-8:, -8:, 0], (samples["target"][5, 0] + 1) / 2, atol=1e-6)
