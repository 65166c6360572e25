"""Distances of feature sets against closed forms and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.linalg import sqrtm

from entropic_ot.metrics.frechet import frechet_distance
from entropic_ot.metrics.kernel_distance import kernel_distance, squared_mmd
from entropic_ot.metrics.precision_recall import precision_recall
from entropic_ot.metrics.real_side import split_real


def standardised(n: int, dim: int, seed: int) -> np.ndarray:
    """Points [n, dim] whose sample mean is 0 and whose sample covariance is I, to rounding."""
    points = np.random.default_rng(seed).standard_normal((n, dim))
    points -= points.mean(0)
    return points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T


def test_frechet_distance_of_gaussians_with_diagonal_covariances() -> None:
    scale, other, shift = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.1, 0.5]), np.array([1, -2, 3])
    x, y = standardised(50, 3, 0) * scale, standardised(70, 3, 1) * other + shift
    truth = (shift**2).sum() + ((scale - other) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(truth, rel=1e-10)  # float64, ten operations


def test_frechet_distance_with_covariances_that_do_not_commute() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 4)), rng.standard_normal((80, 4)) @ rng.standard_normal((4, 4))
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    truth = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(x, y) == pytest.approx(truth, rel=1e-8)  # sqrtm is the less exact


@pytest.mark.parametrize("n", [10, 200])
def test_frechet_distance_of_a_set_to_itself_is_zero(n: int) -> None:
    x = np.random.default_rng(0).standard_normal((n, 30))
    # With n < d the covariance has 21 null eigenvalues. Rounding leaves them at some 2e-16 of the
    # largest (10), whose root, 5e-8, enters twice: 2e-6, more or less by the processor's kernels.
    assert frechet_distance(x, x) == pytest.approx(0, abs=2e-5)


def test_the_halves_of_a_split_are_disjoint_and_seeded() -> None:
    x = np.arange(21.0)[:, None]
    a, b = split_real(x, seed=0)
    assert len(a) == len(b) == 10 and not set(a.ravel()) & set(b.ravel())
    assert np.array_equal(a, split_real(x, seed=0)[0])
    assert not np.array_equal(a, split_real(x, seed=1)[0])
    with pytest.raises(ValueError, match="eight"):
        split_real(x[:7], seed=0)


def test_squared_mmd_is_the_u_statistic_of_its_kernel() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((4, 3)) + 0.3

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 3)

    truth = (
        np.mean([kernel(a, b) for a, b in itertools.permutations(x, 2)])
        + np.mean([kernel(a, b) for a, b in itertools.permutations(y, 2)])
        - 2 * np.mean([kernel(a, b) for a, b in itertools.product(x, y)])
    )
    assert squared_mmd(x, y) == pytest.approx(truth, rel=1e-12)


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    values = [
        squared_mmd(rng.standard_normal((20, 3)), rng.standard_normal((20, 3))) for _ in range(500)
    ]
    # The biased form's mean is E k(x, x) / n * 2 > 0.4; four standard errors of the mean.
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(500) < 0.1


def test_kernel_distance_averages_seeded_subsets() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3)), rng.standard_normal((60, 3)) + 1

    def value(seed: int, num_subsets: int = 200) -> float:
        own = np.random.default_rng(seed)
        return kernel_distance(x, y, rng=own, num_subsets=num_subsets, subset_size=20)

    assert value(3) == value(3) != value(4)
    # Subsets of a sample are unbiased for the sample's own U-statistic.
    spread = np.std([value(seed, 1) for seed in range(200)])
    assert value(3) == pytest.approx(squared_mmd(x, y), abs=4 * spread / np.sqrt(200))
    everything = kernel_distance(x, y[:40], rng=rng)
    assert everything == pytest.approx(squared_mmd(x, y[:40]), rel=1e-12)


def brute_force_share(points: np.ndarray, centres: np.ndarray, k: int) -> float:
    inside = 0
    for point in points:
        for i, centre in enumerate(centres):
            others = sorted(np.linalg.norm(c - centre) for j, c in enumerate(centres) if j != i)
            if np.linalg.norm(point - centre) <= others[k - 1]:
                inside += 1
                break
    return inside / len(points)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_against_brute_force(k: int) -> None:
    rng = np.random.default_rng(0)
    x, y = 0.7 * rng.standard_normal((30, 2)), rng.standard_normal((25, 2)) + 1.5
    found = precision_recall(x, y, num_neighbours=k)
    assert found.precision == brute_force_share(x, y, k)
    assert found.recall == brute_force_share(y, x, k)
    assert 0 < found.recall < 1 and 0 < found.precision < 1  # neither is trivial here


def test_precision_and_recall_of_equal_and_of_distant_sets() -> None:
    x = np.random.default_rng(0).standard_normal((20, 2))
    same, apart = precision_recall(x, x), precision_recall(x, x + 100)
    assert (same.precision, same.recall) == (1, 1)
    assert (apart.precision, apart.recall) == (0, 0)
    with pytest.raises(ValueError, match="more than 3 points"):
        precision_recall(x[:3], x)
