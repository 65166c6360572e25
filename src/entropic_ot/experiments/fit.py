"""The training loop: owns resume, the generator, the log and the progress line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import torch

from entropic_ot import distributed
from entropic_ot.costs import HalfSquaredEuclidean
from entropic_ot.device import make_rng
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.divergence import (
    DivergenceError,
    check_logs,
    check_state,
    cost_scale,
)
from entropic_ot.experiments.store import RunStore
from entropic_ot.problems.base import EOTProblem
from entropic_ot.progress import Progress
from entropic_ot.solvers.base import Solver

__all__ = ["DivergenceError", "Trainable", "fit", "train_steps"]


class Trainable(Protocol):
    """What `train_steps` asks of a solver or of anything else that is trained."""

    @property
    def device(self) -> torch.device: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def fit(
    solver: Solver,
    problem: EOTProblem,
    *,
    steps: int,
    seed: int = 0,
    store: RunStore | None = None,
    checkpoint_seconds: float = 60.0,
    log_points: int = 100,
    label: str = "fit",
    show: Callable[[str], None] | None = None,
) -> float:
    """Train `solver` for `steps` outer steps in all; returns the seconds spent in training.

    With a `store` the run resumes from its last checkpoint, bit-identically on the CPU: the state
    of the solver, of its chains and of the generator are all in the checkpoint.
    Raises DivergenceError at the first loss that is not finite or beyond all costs of the problem,
    or where the weights are not finite when a checkpoint is due; the last checkpoint stays.
    Raises ConfigError when solver and problem disagree about epsilon, the cost or the shape of a
    point.
    """
    if solver.shape != problem.target.shape:
        raise ConfigError(
            f"shape: found {solver.shape} in the solver and {problem.target.shape} in the target "
            "of the problem, expected the same. Build the solver for the shape of one point."
        )
    cost = getattr(solver, "cost", HalfSquaredEuclidean())
    if cost != problem.cost:
        raise ConfigError(
            f"cost: found {cost} in the solver and {problem.cost} in the problem, expected the "
            "same. Give EgNOT the problem's cost; the other solvers have 1/2 |x - y|^2 alone."
        )
    if solver.epsilon != problem.epsilon:
        raise ConfigError(
            f"epsilon: found {solver.epsilon!r} in the solver and {problem.epsilon!r} in the "
            "problem, expected the same number. Build both with the same epsilon."
        )

    def step(rng: torch.Generator, progress: float) -> dict[str, float]:
        return solver.step(problem, rng=rng, progress=progress)

    return train_steps(
        solver,
        step,
        steps=steps,
        seed=seed,
        store=store,
        checkpoint_seconds=checkpoint_seconds,
        log_points=log_points,
        label=label,
        show=show,
        scale=cost_scale(problem, device=solver.device),
    )


def train_steps(
    trained: Trainable,
    one_step: Callable[[torch.Generator, float], dict[str, float]],
    *,
    steps: int,
    seed: int,
    store: RunStore | None,
    checkpoint_seconds: float = 60.0,
    log_points: int = 100,
    label: str,
    show: Callable[[str], None] | None = None,
    after_step: Callable[[int], None] | None = None,
    scale: float | None = None,
) -> float:
    """`one_step(rng, progress)` until there are `steps`, as `fit` describes; returns the seconds.

    `after_step(number of steps done)` must not change what is trained. In several processes (see
    `distributed`) each calls this; the main one alone writes, and what is logged are means of all.
    `scale`: as in `check_logs`.
    """
    device, main = trained.device, distributed.is_main()
    rng = make_rng(seed, device)
    start, spent = 0, 0.0
    if store is not None:
        start, spent = _resume(trained, store, rng)
        if main and start:
            print(f"{label}: resumed at step {start} of {steps}", file=sys.stderr, flush=True)
    if not main:  # one process writes and prints
        store, after_step = None, None
    if store is not None:
        store.trim_log(start)  # also at 0: a run that was killed before its first checkpoint
    progress = Progress(label, steps, start=start, show=distributed.shown(show))
    log_every = max(1, steps // log_points)
    # What is made on first use, such as optimisers, is made here, before the clock.
    distributed.broadcast(trained.state_dict(), device=device)
    began = last_checkpoint = time.perf_counter()
    for step in range(start, steps):
        logs = distributed.mean_logs(one_step(rng, step / steps), device=device)
        check_logs(logs, trained, label=label, step=step + 1, scale=scale)
        now = time.perf_counter()
        seconds = spent + now - began
        progress.update(step + 1, logs)
        if after_step is not None:
            after_step(step + 1)
        if store is not None and ((step + 1) % log_every == 0 or step + 1 == steps):
            store.append_log({"step": step + 1, "seconds": round(seconds, 3), **logs})
        if store is not None and now - last_checkpoint > checkpoint_seconds:
            state = trained.state_dict()
            check_state(state, trained, label=label, step=step + 1)
            store.save_checkpoint(state, step=step + 1, rng=rng, seconds=seconds)
            last_checkpoint = now
    check_state(trained.state_dict(), trained, label=label, step=steps)
    seconds = spent + time.perf_counter() - began
    if store is not None and start < steps:
        store.save_checkpoint(trained.state_dict(), step=steps, rng=rng, seconds=seconds)
    return seconds


def _resume(trained: Trainable, store: RunStore, rng: torch.Generator) -> tuple[int, float]:
    """Load the last checkpoint, if there is one; returns (steps done, seconds spent)."""
    with distributed.main_first():
        resumed = store.load_checkpoint(rng)
    start, spent = 0, 0.0
    if resumed is not None:
        state, start, spent = resumed
        trained.load_state_dict(state)
    if not distributed.agrees(start, device=trained.device):
        raise DataError.about(
            store.folder, found=f"step {start} here and another one in the main process",
            expected="the same checkpoint in all processes",
            action="Give a folder that all machines share.",
        )  # fmt: skip
    return start, spent
