"""When a training is stopped because it diverges, and what the message says.

It does where a number is none any more, and where a potential or an energy is beyond all costs of
its problem. A potential that solves it varies over the target by no more than the cost does (being
a soft minimum of costs) plus epsilon times what the logarithm of the target's density does, and the
energy of the optimal drift is a mean cost plus an entropy times epsilon: both about epsilon a
dimension.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import torch

from entropic_ot.device import make_rng
from entropic_ot.errors import EntropicOTError
from entropic_ot.problems.base import EOTProblem

IN_UNITS_OF_COST = ("potential_gap", "energy")
"""Logged values that `cost_scale` bounds."""
FACTOR = 1000.0
"""How many scales are too many. In 98 logs of this project's trainings that did not diverge the
largest value was 57 scales (of most: below 1), in that of one that did 3 million."""
NUM_PAIRS = 8
"""Pairs behind a scale: its order of magnitude is all that counts, and decoding may be dear."""

SUSPECTS = ("learning_rate", "step_size")
"""Settings whose names hold one of these are named, with their values."""


class DivergenceError(EntropicOTError):
    """A training whose loss or weights are no longer numbers, or beyond all costs."""


@torch.no_grad()
def cost_scale(problem: EOTProblem, *, device: torch.device) -> float:
    """1 + mean cost of independent pairs + epsilon times the dimension of the target.

    The 1 is for data of small numbers: what networks answer at first does not depend on them.
    """
    rng = make_rng(0, device)
    x, y = (side.sample(NUM_PAIRS, rng=rng) for side in (problem.source, problem.target))
    return 1 + float(problem.cost(x, y).mean()) + problem.epsilon * math.prod(problem.target.shape)


def check_logs(
    logs: Mapping[str, float],
    trained: object,
    *,
    label: str,
    step: int,
    scale: float | None = None,
) -> None:
    """DivergenceError at the first value of step number `step` that is not finite, or too large.

    `scale`: a `cost_scale`, which bounds the values of IN_UNITS_OF_COST.
    """
    for name, value in logs.items():
        if not math.isfinite(value):
            _stop(f"{label}: {name} is {value} at step {step}, expected finite numbers", trained)
        if scale is not None and name in IN_UNITS_OF_COST and abs(value) > FACTOR * scale:
            _stop(
                f"{label}: {name} is {value:.3g} at step {step}, expected less than {FACTOR:g} "
                f"times {scale:.3g}, the scale of the costs of its problem: it diverges",
                trained,
            )


def check_state(state: Mapping[str, Any], trained: object, *, label: str, step: int) -> None:
    """DivergenceError where a weight of the model is not finite after step number `step`.

    The loss of a step is computed before its update, so the update may be what spoils the weights;
    a checkpoint of them would be worth nothing, and overwrite a good one.
    """
    for name, tensor in _tensors(state["model"], "model"):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            _stop(
                f"{label}: the weights {name} are no longer finite after step {step}, expected "
                "finite numbers",
                trained,
            )


def _tensors(node: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(node, torch.Tensor):
        yield name, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _tensors(value, f"{name}/{key}")


def _stop(what: str, trained: object) -> NoReturn:
    config = getattr(trained, "config", None)
    settings = [
        f"{name} = {value:g}"
        for name, value in vars(config).items()
        if any(word in name for word in SUSPECTS) and isinstance(value, int | float)
    ] if config is not None else []  # fmt: skip
    now = f" (now {', '.join(settings)})" if settings else ""
    raise DivergenceError(
        f"{what}. The last checkpoint before it is kept; lower the learning rates (or, for EgNOT, "
        f"step_size) of this run in params.yaml{now} and run it again."
    )
