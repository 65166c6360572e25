"""Exchanges of ends between pairs (x, y) of an entropic plan, as Metropolis moves.

For the cost 1/2 |x - y|^2 the density prod_i pi(y_i | x_i) of any entropic plan changes by
exp(-(x_i - x_j) . (y_i - y_j) / epsilon) when i and j exchange their ends: the potential cancels.
So mass gets from one mode to a distant one, which neither gradients nor Langevin dynamics achieve
(docs/decisions/0008, 0014).
"""

from __future__ import annotations

import torch

from entropic_ot.distributed import Rows
from entropic_ot.types import Points


def exchange_ends(
    x: Points, y: Points, *, epsilon: float, num_rounds: int, rng: torch.Generator
) -> Points:
    """y [n, *dim] after `num_rounds` rounds of Metropolis exchanges between the pairs (x_i, y_i).

    Each round pairs the rows at random; i and j exchange their ends with probability
    min(1, exp(-((x_i - x_j) . (y_i - y_j)) / epsilon)), the change of the cost 1/2 |x - y|^2. The
    density prod_i pi(y_i | x_i) of any entropic plan is invariant: its potential cancels.
    """
    y, half = y.clone(), len(x) // 2
    for _ in range(num_rounds):
        order = torch.randperm(len(x), generator=rng, device=rng.device)
        i, j = order[:half], order[half : 2 * half]
        accepted = _accepted(x[i] - x[j], y[i] - y[j], epsilon=epsilon, rng=rng)
        i, j = i[accepted], j[accepted]
        y[i], y[j] = y[j], y[i]
    return y


def exchange_with_pairs(
    x: Points,
    y: Points,
    pairs_x: Points,
    pairs_y: Points,
    *,
    epsilon: float,
    num_rounds: int,
    rng: torch.Generator,
    rows: Rows | None = None,
) -> Points:
    """y [n, *dim] after `num_rounds` proposals to each row, from pairs (x', y') that stay as is.

    A row offers its end to a random pair of pairs_x, pairs_y [m, *dim] as in `exchange_ends`, and
    gets y' where that is accepted; what the pair would get is dropped. Where pairs are draws of the
    plan, y ~ pi(. | x) stays so: it is one margin of an exchange that leaves both as they are.
    Rows do not see each other, so any number of them may share one x. rows: where x is the share of
    one process.
    """
    rows = rows or Rows(len(x))
    for _ in range(num_rounds):
        j = torch.randint(len(pairs_x), (rows.total,), generator=rng, device=rng.device)[rows.index]
        offered = pairs_y[j]
        accepted = _accepted(x - pairs_x[j], y - offered, epsilon=epsilon, rng=rng, rows=rows)
        y = torch.where(accepted.view(-1, *[1] * (y.dim() - 1)), offered, y)
    return y


def _accepted(
    x_difference: Points,
    y_difference: Points,
    *,
    epsilon: float,
    rng: torch.Generator,
    rows: Rows | None = None,
) -> torch.Tensor:
    """Which of n exchanges are accepted, [n] bool."""
    rise = (x_difference * y_difference).flatten(1).sum(1)
    total = len(rise) if rows is None else rows.total
    uniform = torch.rand(total, generator=rng, device=rng.device)
    return rise < -epsilon * (uniform if rows is None else uniform[rows.index]).log()
