"""Intervals over seeds: known examples, SciPy's quantiles, and how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from entropic_ot.experiments.statistics import mean_over_seeds, with_half_width


def test_two_and_three_seeds_by_hand() -> None:
    two = mean_over_seeds([1.0, 2.0])
    # Standard error 1/2; the 97.5 % quantile of Student's t with one degree of freedom is 12.706.
    assert (two.mean, two.num_seeds) == (1.5, 2)
    assert two.half_width == pytest.approx(12.706 / 2, rel=1e-4)
    three = mean_over_seeds([2.0, 4.0, 6.0])
    # Standard deviation 2, quantile 4.3027 with two degrees of freedom.
    assert three.half_width == pytest.approx(4.3027 * 2 / math.sqrt(3), rel=1e-4)
    assert three.interval == pytest.approx((4 - three.half_width, 4 + three.half_width))


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_the_interval_is_that_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(3.0, 2.0, size=n)
    own = mean_over_seeds(list(values))
    expected = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert own.interval == pytest.approx(expected, rel=1e-10)


def test_one_seed_has_no_interval() -> None:
    one = mean_over_seeds([0.0743])
    assert (one.half_width, one.interval, str(one)) == (None, None, "0.0743 (1 seed)")


def test_no_values_and_values_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="expected one per seed"):
        mean_over_seeds([])
    diverged = mean_over_seeds([1.0, math.inf])
    assert math.isnan(diverged.half_width or 0.0)


def test_the_interval_holds_the_truth_in_95_of_100_cases() -> None:
    """Three seeds: the normal quantile 1.96 would cover 81 %, a division by n instead of n - 1
    93 %. The tolerance is four standard errors of the simulated share."""
    num_cases, truth = 8000, 0.3
    draws = np.random.default_rng(0).normal(truth, 2.0, size=(num_cases, 3))
    held = 0
    for values in draws:
        low, high = mean_over_seeds(list(values)).interval or (math.nan, math.nan)
        held += low <= truth <= high
    share = held / num_cases
    assert share == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / num_cases))


@pytest.mark.parametrize(
    ("mean", "half_width", "text"),
    [
        (0.07431, 0.0123, "0.074 ± 0.012"),
        (2.2849, 0.1, "2.28 ± 0.10"),
        (47.11, 3.26, "47.1 ± 3.3"),
        (1234.5, 120.0, "1234 ± 120"),
        (-0.00018, 0.00004, "-0.000180 ± 0.000040"),
        (1.0, 0.0, "1 ± 0"),
        (math.nan, math.nan, "nan ± nan"),
    ],
)
def test_digits(mean: float, half_width: float, text: str) -> None:
    assert with_half_width(mean, half_width) == text
