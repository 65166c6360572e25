"""When a training is stopped because its numbers are none any more, and what the message says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import torch

from entropic_ot.errors import EntropicOTError

SUSPECTS = ("learning_rate", "step_size")
"""Settings whose names hold one of these are named, with their values."""


class DivergenceError(EntropicOTError):
    """A training whose loss or weights are no longer numbers."""


def check_logs(logs: Mapping[str, float], trained: object, *, label: str, step: int) -> None:
    """DivergenceError at the first value of step number `step` that is not finite."""
    for name, value in logs.items():
        if not math.isfinite(value):
            _stop(f"{label}: {name} is {value} at step {step}", trained)


def check_state(state: Mapping[str, Any], trained: object, *, label: str, step: int) -> None:
    """DivergenceError where a weight of the model is not finite after step number `step`.

    The loss of a step is computed before its update, so the update may be what spoils the weights;
    a checkpoint of them would be worth nothing, and overwrite a good one.
    """
    for name, tensor in _tensors(state["model"], "model"):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            _stop(f"{label}: the weights {name} are no longer finite after step {step}", trained)


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
        f"{what}, expected finite numbers. The last checkpoint before it is kept; lower the "
        f"learning rates (or, for EgNOT, step_size) of this run in params.yaml{now} and run it "
        "again."
    )
