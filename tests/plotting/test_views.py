"""How own data of any shape is brought into a picture."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from entropic_ot import plotting

RNG = np.random.default_rng(0)


def samples(*shape: int) -> dict[str, np.ndarray]:
    """A samples file of points of that shape, in 32 bits as figure_data reads them."""
    sizes = {
        "x": (40,), "y": (40,), "target": (50,), "conditional_x": (6,), "conditional_y": (6, 20),
    }  # fmt: skip
    return {n: RNG.normal(size=(*s, *shape)).astype(np.float32) for n, s in sizes.items()}


def test_points_in_the_plane_stay_as_they_are() -> None:
    arrays = samples(2)
    view = plotting.view_of(arrays)
    shown = view.of(arrays)
    for name in ("x", "y", "target", "conditional_x"):
        np.testing.assert_array_equal(shown[name], arrays[name])
    np.testing.assert_array_equal(shown["conditional_y"], arrays["conditional_y"][:, :12])
    assert view.labels == ("coordinate 1", "coordinate 2")


def test_one_coordinate_makes_a_line() -> None:
    arrays = samples(1)
    view = plotting.view_of(arrays)
    shown = view.of(arrays)
    np.testing.assert_array_equal(shown["y"], np.pad(arrays["y"], ((0, 0), (0, 1))))
    assert view.labels == ("coordinate 1", "")


def test_more_coordinates_are_seen_in_the_principal_components_of_the_target() -> None:
    """Standard deviations 3 and 2 along coordinates 4 and 1, 0.1 along the others."""
    arrays = samples(5)
    deviations = np.array([0.1, 2.0, 0.1, 0.1, 3.0])
    arrays["target"] = (RNG.normal(size=(3000, 5)) * deviations + 7).astype(np.float32)
    view = plotting.view_of(arrays)
    centred = arrays["target"] - arrays["target"].mean(axis=0)
    # The axes are estimated from 1000 points: they are off by about 0.1 / sqrt(1000) radians
    # towards the narrow directions, and by (2 * 3) / (9 - 4) / sqrt(1000) = 0.04 among themselves.
    shown = view.of(arrays)["target"]
    np.testing.assert_allclose(shown - shown.mean(axis=0), centred[:, [4, 1]], atol=1.0)
    assert np.corrcoef(shown[:, 0], centred[:, 4])[0, 1] > 0.99
    assert np.corrcoef(shown[:, 1], centred[:, 1])[0, 1] > 0.99
    # 9 / 13.03 and 4 / 13.03 of the variance; the standard error of such a share is about 1.5 %.
    shares = [int(label.split("(")[1].rstrip("%)")) for label in view.labels]
    assert shares == [pytest.approx(69, abs=5), pytest.approx(31, abs=5)]
    assert view.labels[0].startswith("PC 1 of the target (")


def test_arrays_that_are_no_pictures_are_flattened() -> None:
    arrays = samples(7, 4, 4)  # seven channels
    view = plotting.view_of(arrays)
    shown = view.of(arrays)
    assert shown["y"].shape == (40, 2)
    assert shown["conditional_y"].shape == (6, 12, 2)


def test_a_target_of_one_point_has_no_components_and_is_drawn_all_the_same(ax: Axes) -> None:
    arrays = samples(5)
    arrays["target"] = arrays["target"][:1]
    view = plotting.view_of(arrays)
    assert view.labels == ("PC 1 of the target (0%)", "PC 2 of the target (0%)")
    plotting.plan(ax, view.content, view.of(arrays), view.limits, colour="k")


def test_images_are_stretched_to_the_range_of_the_target() -> None:
    arrays = samples(3, 4, 4)
    arrays["target"] = RNG.uniform(0, 255, (50, 3, 4, 4)).astype(np.float32)
    view = plotting.view_of(arrays)
    shown = view.of(arrays)
    assert (view.content, view.limits) == ("images", None)
    assert shown["conditional_y"].shape == (6, 20, 3, 4, 4)
    everything = (arrays["target"] - arrays["target"].min()) / np.ptp(arrays["target"]) * 2 - 1
    np.testing.assert_allclose(shown["target"], everything[:6], atol=1e-5)  # float32


@pytest.mark.parametrize("shape", [(2,), (9,), (1, 4, 4)])
def test_own_data_fills_its_panels(shape: tuple[int, ...]) -> None:
    arrays = samples(*shape)
    view = plotting.view_of(arrays)
    _, side, axes = plotting.new_plan_panels(1, 1, 1)
    shown = view.of(arrays)
    plotting.data_column(side[0], shown, {}, view.limits, "Data", axis_labels=view.labels)
    plotting.plan_row(axes[0, 0], "enot", view.content, {0.1: shown}, [0.1], view.limits)
    assert side[0, 0].get_xlabel() == view.labels[0]
    for ax in (side[0, 0], axes[0, 0, 0]):
        assert bool(ax.images) == (len(shape) == 3)
        assert bool(ax.collections) == (len(shape) < 3)


def test_points_need_limits(ax: Axes) -> None:
    with pytest.raises(ValueError, match="limits: found None"):
        plotting.plan(ax, "fitted samples", samples(2), None, colour="k")
