"""The best plan that N Euler-Maruyama steps can have between Gaussians: no training, exact.

With commuting covariances each coordinate is a problem of its own: minimise E 1/2 sum f_k^2 dt_k
over drifts f_k of x_k = x_{k-1} + f_k dt_k + noise with the terminal variance given. It is
linear-quadratic: for the terminal reward h y^2 / 2 the Riccati recursion gives f_k = -P x / (1 + P
dt_k), and h is found so that the terminal variance is the target's. Printed: bw_uvp_plan (%) of
that plan against the true one (docs/decisions/0005-short-last-steps.md).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from entropic_ot.dynamics.euler_maruyama import noise_scales, time_grid
from entropic_ot.metrics.bures import bw_uvp

DIM, SEED = 16, 0
GRIDS = {"equal": (1.0, True), "equal, last without noise": (1.0, False)} | {
    "power 1.5": (1.5, True),
    "power 1.5, last without noise": (1.5, False),
    "power 2": (2.0, True),
    "power 2, last without noise": (2.0, False),
}


def terminal(h: float, a: float, steps: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
    """(variance of y, covariance of x, y) under the optimal drift; infinite when there is none."""
    curvature, factors = -h, np.zeros(len(steps))
    for k in reversed(range(len(steps))):
        scale = 1 + curvature * steps[k]
        if scale <= 1e-9:
            return np.inf, np.inf
        factors[k] = 1 / scale  # x + f dt
        curvature /= scale
    variance, product = a, 1.0
    for factor, added in zip(factors, noise, strict=True):
        variance, product = factor**2 * variance + added, product * factor
    return variance, product * a


def best_covariance(
    a: float, b: float, epsilon: float, num_steps: int, power: float, last: bool
) -> float | None:
    """Cov(x, y) of the best discrete plan from N(0, a) to N(0, b); None when there is no plan."""
    times = time_grid(num_steps, power=power)
    steps = np.diff(times)
    noise = np.square(noise_scales(times, epsilon=epsilon, noise_last_step=last))
    lowest = -1e6
    if terminal(lowest, a, steps, noise)[0] > b:
        return None
    h = brentq(lambda h: min(terminal(h, a, steps, noise)[0], 1e9) - b, lowest, 1 - 1e-7)
    return terminal(h, a, steps, noise)[1]


def bias(epsilon: float, num_steps: int, power: float, last: bool) -> float:
    """bw_uvp_plan in percent; not a number when the steps cannot reach the target."""
    variances = np.exp(2 * np.linspace(np.log(0.5), np.log(2.0), DIM))
    others = np.random.default_rng(SEED).permutation(variances)
    truth, found = np.zeros((2 * DIM, 2 * DIM)), np.zeros((2 * DIM, 2 * DIM))
    for i, (a, b) in enumerate(zip(variances, others, strict=True)):
        exact = (np.sqrt(4 * a * b + epsilon**2) - epsilon) / 2
        best = best_covariance(a, b, epsilon, num_steps, power, last)
        if best is None:
            return float("nan")
        rows = np.ix_([2 * i, 2 * i + 1], [2 * i, 2 * i + 1])
        truth[rows], found[rows] = [[a, exact], [exact, b]], [[a, best], [best, b]]
    zero = np.zeros(2 * DIM)
    return bw_uvp(zero, found, zero, truth)


def main() -> None:
    print("| epsilon | steps | " + " | ".join(GRIDS) + " |")
    print("|---" * (2 + len(GRIDS)) + "|")
    for epsilon in (0.1, 1.0, 10.0):
        for num_steps in (5, 10, 20, 50):
            cells = (bias(epsilon, num_steps, *grid) for grid in GRIDS.values())
            texts = ("impossible" if np.isnan(cell) else f"{cell:.4f}" for cell in cells)
            print(f"| {epsilon:g} | {num_steps} | " + " | ".join(texts) + " |")


if __name__ == "__main__":
    main()
