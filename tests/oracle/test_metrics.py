"""Metrics against values known by hand and against plain, slow definitions."""

from __future__ import annotations

import numpy as np
import pytest

from entropic_ot.data import coloured_mnist
from entropic_ot.errors import DataError
from entropic_ot.metrics import energy_distance as module
from entropic_ot.metrics.bures import bw_uvp, bw_uvp_of_samples
from entropic_ot.metrics.colour import hue_error
from entropic_ot.metrics.energy_distance import energy_distance, spread_of_exact_samples
from entropic_ot.metrics.plan import conditional_variance, cost_half_l2, mode_shares
from entropic_ot.problems.gaussian import haar_covariance

A, B = haar_covariance(4, seed=42), haar_covariance(4, seed=43)
ZERO = np.zeros(4)


# --- BW-UVP ---------------------------------------------------------------------------------------


def test_equal_gaussians_are_at_distance_zero() -> None:
    assert bw_uvp(ZERO, A, ZERO, A) == pytest.approx(0, abs=1e-10)


def test_a_shift_costs_half_its_square() -> None:
    shift = np.array([1.0, 2.0, 0.0, -2.0])  # |shift|^2 = 9
    expected = 100 * (9 / 2) / (np.trace(A) / 2)
    assert bw_uvp(shift, A, ZERO, A) == pytest.approx(expected)


def test_a_stretched_gaussian_is_at_the_square_of_its_excess() -> None:
    """S = s^2 Sigma: BW2^2 = 1/2 (1 - s)^2 tr Sigma, whatever Sigma is."""
    assert bw_uvp(ZERO, 1.21 * A, ZERO, A) == pytest.approx(100 * 0.1**2)


def test_commuting_gaussians_are_compared_axis_by_axis() -> None:
    estimate, truth = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    expected = 100 * (((1 - 2) ** 2 + 0 + (3 - 1) ** 2) / 2) / (9 / 2)
    assert bw_uvp(np.zeros(3), estimate, np.zeros(3), truth) == pytest.approx(expected)


def test_gaussians_that_do_not_commute() -> None:
    """tr (S^1/2 S' S^1/2)^1/2 is the sum of the roots of the eigenvalues of S S'."""
    assert np.abs(A @ B - B @ A).max() > 0.1
    cross = np.sqrt(np.linalg.eigvals(A @ B).real).sum()
    expected = 100 * (np.trace(A) / 2 + np.trace(B) / 2 - cross) / (np.trace(B) / 2)
    assert bw_uvp(ZERO, A, ZERO, B) == pytest.approx(expected)


def test_of_samples_takes_mean_and_covariance_from_the_points() -> None:
    points = np.array([[0.0], [1.0], [2.0]], dtype=np.float32)  # mean 1, variance 1
    assert bw_uvp_of_samples(points, np.zeros(1), np.ones((1, 1))) == pytest.approx(100)
    assert bw_uvp_of_samples(points, np.ones(1), 4 * np.ones((1, 1))) == pytest.approx(25)


# --- energy distance ------------------------------------------------------------------------------


def direct_energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    def mean(a: np.ndarray, b: np.ndarray, *, same: bool) -> float:
        pairs = [
            np.linalg.norm(a[i] - b[j])
            for i in range(len(a))
            for j in range(len(b))
            if not (same and i == j)
        ]
        return float(np.mean(pairs))

    return mean(x, y, same=False) - mean(x, x, same=True) / 2 - mean(y, y, same=True) / 2


def test_energy_distance_is_that_of_a_direct_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((17, 3)), 1 + rng.standard_normal((11, 3))
    expected = direct_energy_distance(x, y)
    # float32 distances of size 3: 1e-7 relative each.
    assert energy_distance(x, y) == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr(module, "CHUNK", 4)  # blocks that do not divide the number of points
    assert energy_distance(x, y) == pytest.approx(expected, abs=1e-6)


def test_energy_distance_of_distant_points_is_their_distance() -> None:
    """Two points at 0 and two at 10: half the usual energy distance, so 10 and not 20."""
    assert energy_distance(np.zeros((2, 1)), np.full((2, 1), 10.0)) == pytest.approx(10)


def test_energy_distance_keeps_its_digits_far_from_the_origin() -> None:
    """Squares of coordinates of 3000 would leave errors of 1 in the squared distances."""
    x = np.array([[3000.0, 0], [3000.25, 0], [3000.5, 0]], dtype=np.float32)
    assert energy_distance(x, x + 0.5) == pytest.approx(direct_energy_distance(x, x + 0.5))


@pytest.mark.parametrize(("n", "m"), [(60, 60), (20, 200)])
def test_the_spread_of_exact_samples_is_that_of_their_distances(n: int, m: int) -> None:
    """Also for counts that differ, and from splits of other counts than those asked for."""
    rng = np.random.default_rng(3)
    law = rng.exponential(size=(3000, 2)) * [1.0, 3.0]
    values = [
        energy_distance(rng.exponential(size=(n, 2)) * [1.0, 3.0], law[rng.choice(3000, m)])
        for _ in range(400)
    ]
    spread = spread_of_exact_samples(law, n, m, rng=rng)
    # 20 splits know it to 16 %, 400 values to 4 %. Without the splits' counts: off by 2 or more.
    assert spread == pytest.approx(np.std(values), rel=0.4)
    assert abs(np.mean(values)) < 4 * np.std(values) / 20  # around zero


def test_too_few_points_tell_no_spread() -> None:
    rng = np.random.default_rng(0)
    assert spread_of_exact_samples(rng.normal(size=(7, 2)), 5, 5, rng=rng) is None
    eight = spread_of_exact_samples(rng.normal(size=(8, 2)), 5, 5, rng=rng)
    assert eight is not None and eight > 0


def test_energy_distance_of_a_single_point_is_refused() -> None:
    with pytest.raises(DataError, match="sides of 1 and 3 points; expected two"):
        energy_distance(np.zeros((1, 2), np.float32), np.ones((3, 2), np.float32))


def test_energy_distance_is_unbiased() -> None:
    """Equal distributions give 0 on average; with i = j counted, 4 points would give 0.28."""
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((1500, 2, 4, 1))
    values = np.array([energy_distance(x, y) for x, y in draws])
    standard_error = values.std() / np.sqrt(len(values))
    assert values.min() < 0
    assert values.mean() == pytest.approx(0, abs=4 * standard_error)
    assert 4 * standard_error < 0.28 / 4


# --- colour ---------------------------------------------------------------------------------------


def pictures(hues: np.ndarray) -> np.ndarray:
    grey = np.full((len(hues), 2, 2), 200, dtype=np.uint8)
    return coloured_mnist.colour(grey, hues).astype(np.float32) / 127.5 - 1


def test_hue_error_of_a_picture_with_itself_is_zero() -> None:
    x = pictures(np.arange(0.0, 360.0, 7.0))
    assert hue_error(x, x) == 0


def test_hue_error_of_random_pairs_is_90() -> None:
    n, rng = 4000, np.random.default_rng(0)
    x, y = (pictures(rng.uniform(0, 360, n)) for _ in range(2))
    # |difference| is uniform on [0, 180]: standard deviation 52; the tolerance is five errors.
    assert hue_error(x, y) == pytest.approx(90, abs=5 * 52 / np.sqrt(n))


def solid(red: float, green: float, blue: float) -> np.ndarray:
    colour = np.array([red, green, blue], dtype=np.float32).reshape(1, 3, 1, 1)
    return np.broadcast_to(colour, (1, 3, 2, 2))


@pytest.mark.parametrize(
    ("x", "y", "degrees"),
    [
        (solid(1, -1, -1), solid(-1, 1, -1), 120),  # red to green
        (solid(1, -1, -1), solid(-1, 1, 1), 180),  # red to cyan
        (solid(1, -1, -0.5), solid(1, -0.5, -1), 30),  # across 0: 345 and 15 degrees
        (solid(1, -1, -1), solid(0.3, 0.3, 0.3), 90),  # grey has no hue
    ],
)
def test_hue_error_of_known_colours(x: np.ndarray, y: np.ndarray, degrees: float) -> None:
    assert hue_error(x, y) == pytest.approx(degrees, abs=1e-3)  # float32 degrees
    assert hue_error(y, x) == pytest.approx(degrees, abs=1e-3)


# --- what is read off a plan ----------------------------------------------------------------------


def test_cost_is_half_the_mean_squared_distance() -> None:
    x = np.zeros((2, 3, 1, 1), dtype=np.float32)
    y = np.array([[1, 2, 2], [0, 0, 1]], dtype=np.float32).reshape(2, 3, 1, 1)
    assert cost_half_l2(x, y) == (9 + 1) / 2 / 2


def test_conditional_variance_is_the_unbiased_variance_given_x() -> None:
    """Two source points: {0, 2} has variance 2, {5, 5} has 0; their difference does not count."""
    assert conditional_variance(np.array([[[0.0], [2.0]], [[5.0], [5.0]]])) == 1
    two_dims = np.array([[[0.0, 0.0], [2.0, 4.0]]])
    assert conditional_variance(two_dims) == 2 + 8


def test_mode_shares_count_points_near_each_centre() -> None:
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = np.array([[0.5, 0], [9, 0], [11, 1], [4, 0]], dtype=np.float64)
    np.testing.assert_array_equal(mode_shares(points, centres, radius=2.0), [25, 50, 0])
    np.testing.assert_array_equal(mode_shares(points, centres, radius=4.0), [50, 50, 0])
