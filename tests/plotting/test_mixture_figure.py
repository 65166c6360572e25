"""Drawing for the mixture benchmark."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from entropic_ot.plotting.mixture import (
    MODE_SIZE,
    conditional_modes,
    principal_plane,
)


def test_the_plane_holds_the_directions_of_largest_variance() -> None:
    rng = np.random.default_rng(0)
    scales = np.array([0.1, 3.0, 0.2, 2.0])
    points = 5 + rng.normal(size=(4000, 4)) * scales
    plane = principal_plane(points)
    np.testing.assert_allclose(np.abs(plane.axes), np.eye(4)[[1, 3]], atol=0.05)
    np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-12)
    assert plane.axes[0, 1] > 0 and plane.axes[1, 3] > 0
    np.testing.assert_allclose(plane(points).mean(0), 0, atol=1e-9)
    assert plane.share == pytest.approx(13 / 13.05, abs=0.01)
    assert plane(points.reshape(40, 100, 4)).shape == (40, 100, 2)


def test_in_two_dimensions_nothing_is_turned() -> None:
    points = np.random.default_rng(1).normal(size=(10, 2))
    np.testing.assert_array_equal(principal_plane(points)(points), points)


@pytest.mark.parametrize("shape", [(5,), (5, 1), (1, 3)])
def test_points_without_a_plane_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        principal_plane(np.zeros(shape))


def test_a_cross_stands_at_each_mode_that_is_seen() -> None:
    ax = Figure().subplots()
    ax.set(xlim=(-5, 5), ylim=(-5, 5))
    x = np.array([[0.0, 0.0], [3.0, 3.0]])
    samples = np.random.default_rng(2).normal(size=(2, 20, 2))
    means = np.array([[[1.0, 2.0], [3.0, 4.0]], [[-1.0, 0.0], [0.0, -1.0]]])
    weights = np.array([[0.75, 0.25], [1.0, 0.0]])
    conditional_modes(ax, x, samples, means, weights)
    crosses = [c for c in ax.collections if isinstance(c, PathCollection) and c.zorder == 8]
    assert len(crosses) == 2  # the white rim and the cross
    for cross in crosses:
        places = {tuple(np.asarray(p)) for p in cross.get_offsets()}
        assert places == {(1, 2), (3, 4), (-1, 0)}  # the mode without weight is left out
        assert sorted(cross.get_sizes()) == [0.25 * MODE_SIZE, 0.75 * MODE_SIZE, MODE_SIZE]
    with pytest.raises(ValueError, match=r"expected \[2, K, 2\]"):
        conditional_modes(ax, x, samples, means, weights[:1])
