"""The figure of the comparison tables, and the notebook that makes them."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import jupytext
import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from entropic_ot.experiments.comparison import PaperValue, compare
from entropic_ot.experiments.comparison.paper_values import METHOD_LABELS
from entropic_ot.experiments.tables import MetricRow, as_csv
from entropic_ot.plotting import METHODS
from entropic_ot.plotting import comparison as pictures

REPOSITORY = Path(__file__).parents[2]
ROW = MetricRow(
    experiment="gaussian", variant="d2", method="enot", epsilon=1.0, dim=2, seed=0,
    metric="bw_uvp_plan", value=0.1, floor=0.02, floor_std=None, n=9, train_seconds=1.0,
    device="CPU", commit=None, dirty=False,
)  # fmt: skip
PAPER = PaperValue(
    experiment="gaussian", variant=None, dim=2, epsilon=1.0, method="enot", metric="bw_uvp_plan",
    value=0.05, interval=None, remembered=True, same_problem=True, paper="enot", place=None,
    train_seconds=None, device=None,
)  # fmt: skip


def row(**changed: object) -> MetricRow:
    return dataclasses.replace(ROW, **changed)  # type: ignore[arg-type]


def paper(**changed: object) -> PaperValue:
    return dataclasses.replace(PAPER, **changed)  # type: ignore[arg-type]


def bars(ax: Axes, label: str) -> list[tuple[float, float, float, str]]:
    """(left, right, height, colour) of the horizontal bars of one label."""
    found = []
    for lines in ax.collections:
        if isinstance(lines, LineCollection) and lines.get_label() == label:
            for (left, height), (right, _) in lines.get_segments():
                colour = matplotlib.colors.to_hex(lines.get_colors()[0])  # type: ignore[attr-defined]
                found.append((left, right, height, colour.upper()))
    return found


def test_a_panel_has_means_intervals_floors_and_published_numbers(ax: Axes) -> None:
    rows = [row(value=0.1), row(value=0.2, seed=1), row(method="egnot", value=0.4)]
    rows += [row(method="enot", value=0.3, epsilon=10.0, floor=0.03)]
    published = [paper(), paper(method="LSOT", value=6.77), paper(value=0.29, dim=128)]
    (table,) = compare(rows, published)
    pictures.comparison_panel(ax, table)
    means = {tuple(np.round([c[0].get_xdata()[0], c[0].get_ydata()[0]], 3)) for c in ax.containers}
    assert means == {(-0.19, 0.15), (0.19, 0.4), (0.81, 0.3)}
    with_interval = [c for c in ax.containers if c.has_yerr]  # type: ignore[attr-defined]
    (interval,) = (c[2][0].get_segments()[0] for c in with_interval)
    np.testing.assert_allclose(interval[:, 1], [0.15 - 0.6353, 0.15 + 0.6353], rtol=1e-3)
    (mark,) = bars(ax, "paper")
    assert mark[0] < -0.19 < mark[1] and mark[2:] == (0.05, METHODS["enot"].colour)
    assert [height for _, _, height, _ in bars(ax, "floor")] == [0.02, 0.03]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1\nd2", "10"]
    assert ax.get_yscale() == "log"
    low, high = ax.get_ylim()
    assert low < 0.02 and high > 0.15 + 0.6353, "floor and interval are within the panel"
    assert high < 6.77, "peers that are not run here do not stretch the axis"
    assert ax.get_title() == "gaussian: bw_uvp_plan [%], lower is better"


def test_a_panel_of_a_distance_says_of_how_many_images(ax: Axes) -> None:
    distance = row(experiment="faces_deblur", variant="orl", metric="kid_effnet", n=40)
    (table,) = compare([distance], [])
    pictures.comparison_panel(ax, table)
    assert ax.get_title() == "faces_deblur: kid_effnet, lower is better, n = 40"


def test_a_number_of_another_draw_of_the_problem_is_dotted(ax: Axes) -> None:
    (table,) = compare([row(), row(method="egnot")], [paper(), paper(method="egnot", value=0.3)])
    (other,) = compare([row()], [paper(same_problem=False)])
    pictures.comparison_panel(ax, table)
    solid = [c.get_linestyle() for c in ax.collections if c.get_label() == "paper"]
    ax.clear()
    pictures.comparison_panel(ax, other)
    (dotted,) = [c.get_linestyle() for c in ax.collections if c.get_label() == "paper"]
    assert [dashes for ((_, dashes),) in solid] == [None, None]  # type: ignore[misc]
    ((_, dashes),) = dotted  # type: ignore[misc]
    assert dashes is not None


def test_negative_values_have_a_linear_axis_and_nan_is_left_out(ax: Axes) -> None:
    changed = {"experiment": "toy_swissroll", "variant": None, "metric": "energy_distance"}
    rows = [row(value=-0.001, **changed), row(method="egnot", value=float("nan"), **changed)]
    (table,) = compare(rows, [])
    pictures.comparison_panel(ax, table)
    assert ax.get_yscale() == "linear"
    assert len(ax.containers) == 1
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1\nD = 2"]


def test_only_metrics_with_a_better_direction_are_drawn() -> None:
    rows = [row(), row(metric="bw_uvp_target"), row(metric="cost_half_l2")]
    figure = pictures.comparison_figure(compare(rows, [paper()]))
    titles = [ax.get_title() for ax in figure.axes]
    assert [title.partition(" [")[0] for title in titles] == [
        "gaussian: bw_uvp_plan",
        "gaussian: bw_uvp_target",
    ]
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["ENOT", "floor", "paper, in its method's colour (m)"]


def test_a_method_without_a_style_is_refused(ax: Axes) -> None:
    (table,) = compare([row(method="new")], [])
    with pytest.raises(ValueError, match=r"method: found 'new', .*plotting\.METHODS"):
        pictures.comparison_panel(ax, table)


def test_labels_are_those_of_the_other_figures() -> None:
    for method, style in METHODS.items():
        assert METHOD_LABELS[method] == style.label


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("empty", [False, True])
def test_the_notebook_writes_tables_and_figure(
    empty: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [] if empty else [dataclasses.asdict(row()), dataclasses.asdict(row(method="sinkhorn"))]
    (tmp_path / "metrics.csv").write_text(as_csv([{**r, "scale": "smoke"} for r in rows]))
    shown: list[object] = []
    monkeypatch.setattr("entropic_ot.plotting.DPI", 40)  # quick
    monkeypatch.setattr("IPython.display.display", shown.append)
    space = {
        "metrics": str(tmp_path / "metrics.csv"),
        "out": str(tmp_path / "comparison"),
        "paper_values": str(REPOSITORY / "workflow/paper_values.yaml"),
        "tables": str(tmp_path / "tables"),
    }
    path = REPOSITORY / "workflow/notebooks/tables.py"
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            exec(compile(ast.parse(cell.source), str(path), "exec"), space)
    for file in ("comparison.png", "comparison.pdf", "tables/comparison.csv"):
        assert (tmp_path / file).stat().st_size > 0
    text = (tmp_path / "tables/comparison.md").read_text()
    assert ("ENOT 0.012 (m)" in text) == (not empty)
    assert shown[0].data == text  # type: ignore[attr-defined]
