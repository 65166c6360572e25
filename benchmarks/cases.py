"""Every case as two workloads, the plain one and the project's, that do the same work.

A workload's `first` run, from the case's weights and seeds, returns what must agree, measured from
where it started (a displacement, a gradient), so that a large common part cannot hide a difference.
It is also the warm-up of the further runs, which are timed.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from bench_config import (
    BufferCase,
    CaseConfig,
    CommandCase,
    FetchCase,
    LatentCase,
    PrepareCase,
    RandomImages,
    SolverCase,
    run_config,
)
from entropic_ot.data.coloured_mnist import prepare_coloured_mnist
from entropic_ot.data.mnist import load_mnist
from entropic_ot.device import make_rng
from entropic_ot.dynamics.replay_buffer import ReplayBuffer
from entropic_ot.errors import DataError
from entropic_ot.experiments.build import build_benchmark, build_solver
from entropic_ot.experiments.config import GaussianProblem
from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.config import EgNOTConfig, ENOTConfig
from fetching import FetchWorkload
from latent import LatentWorkload
from reference.colouring import coloured_digits
from reference.egnot import ListBuffer, ReferenceEgNOT
from reference.enot import ReferenceENOT

Side = Literal["reference", "fast"]
SIDES: tuple[Side, Side] = ("reference", "fast")
SEED = 5
"""Of the numbers that both sides draw."""
FLOPS_BATCH = 8
"""Operations are counted on few points, since they are proportional to the number of points."""


class SkippedCase(Exception):
    """The case cannot be measured here; the message says why."""


class Workload(Protocol):
    """One side of a case."""

    def first(self) -> dict[str, Tensor]:
        """The first run and what came out; nothing where there is nothing to compare."""
        ...

    def run(self) -> None:
        """A further run, which is timed."""
        ...


def build_workload(case: CaseConfig, side: Side, device: torch.device) -> Workload | None:
    """One side of a case, ready to run; None for the reference of a case that has none.

    Raises SkippedCase when data or a program is missing.
    """
    if isinstance(case, SolverCase):
        return SolverWorkload(case, side, device)
    if isinstance(case, BufferCase):
        return BufferWorkload(case, side, device)
    if isinstance(case, PrepareCase):
        return PrepareWorkload(case, side)
    if isinstance(case, FetchCase):
        return FetchWorkload(case, fast=side == "fast")
    if isinstance(case, LatentCase):
        return LatentWorkload(case, fast=side == "fast", device=device)
    return CommandWorkload(case) if side == "fast" else None


def awake(model: dict[str, dict[str, Tensor]], *, seed: int) -> dict[str, dict[str, Tensor]]:
    """The "model" part of a state_dict with every matrix and filter drawn anew, N(0, 2 / fan-in).

    At the initial weights many gradients are zero or tiny, and agreement would mean little.
    """
    rng = torch.Generator().manual_seed(seed)
    return {
        network: {name: _redrawn(value, rng) for name, value in weights.items()}
        for network, weights in model.items()
    }


def _redrawn(value: Tensor, rng: torch.Generator) -> Tensor:
    if value.dim() < 2:
        return value.detach().clone()
    std = (2 / value[0].numel()) ** 0.5
    return (std * torch.randn(value.shape, generator=rng)).to(value.device)


def build_problem(case: SolverCase) -> EOTProblem:
    """The distributions of the case."""
    if isinstance(case.data, GaussianProblem):
        return build_benchmark(case.data, epsilon=case.epsilon).eot(case.epsilon)
    assert isinstance(case.data, RandomImages)
    shape = (2, case.data.num, 3, case.data.size, case.data.size)
    source, target = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return EOTProblem.from_arrays(source, target, epsilon=case.epsilon)


class SolverWorkload:
    """`step`, `langevin` or `sample` of ENOT or EgNOT, or of their references."""

    def __init__(
        self, case: SolverCase, side: Side, device: torch.device, *, waste: bool = True
    ) -> None:
        self.case, self.side, self.device, self.waste = case, side, device, waste
        self.config = run_config(case.method, case.preset, case.settings, epsilon=case.epsilon)
        self.problem = build_problem(case)
        self.x = self.problem.source.sample(max(case.num_points, 1), rng=make_rng(2, device))
        noise = torch.randn(self.x.shape, generator=make_rng(3, device), device=device)
        self.y0 = self.x + case.epsilon**0.5 * noise
        self.solver, self.rng = self._build(), make_rng(SEED, device)

    def _build(self) -> Any:
        """A solver with the case's weights."""
        shape, device = self.problem.source.shape, self.device
        solver = build_solver(self.config, shape, device=device)
        model = awake(solver.state_dict()["model"], seed=4)
        if self.side == "fast":
            solver.load_state_dict({"model": model})
            return solver
        settings, epsilon = self.config.solver, self.case.epsilon
        if isinstance(settings, ENOTConfig):
            return ReferenceENOT(
                shape, settings, model, epsilon=epsilon, device=device, waste=self.waste
            )
        assert isinstance(settings, EgNOTConfig)
        return ReferenceEgNOT(shape, settings, model, epsilon=epsilon, device=device)

    def run(self) -> None:
        if self.case.work == "step":
            self._step()
        else:
            self._points()

    def _step(self) -> None:
        if self.side == "fast":
            self.solver.step(self.problem, rng=self.rng, progress=0.0)
        else:
            self.solver.step(self.problem, rng=self.rng)

    def _points(self) -> Tensor:
        if self.case.work == "sample":
            return cast(Tensor, self.solver.sample(self.x, rng=self.rng))
        num_steps = self.case.num_steps
        y = self.solver.langevin(self.x, self.y0, num_steps=num_steps, rng=self.rng)
        return cast(Tensor, y)

    def first(self) -> dict[str, Tensor]:
        """step: Adam's first moments. langevin: the shift by the score. sample: y - x."""
        if self.case.work == "step":
            for _ in range(self.case.num_steps):
                self._step()
            fast = self.side == "fast"
            return adam_moments(self.solver) if fast else self.solver.gradients()
        y = self._points()
        if self.case.work == "sample":
            return {"y - x": y - self.x}
        return {"shift": y - self._only_noise()}

    def _only_noise(self) -> Tensor:
        """The end of the Langevin chains without their score."""
        settings, rng = self.config.solver, make_rng(SEED, self.device)
        assert isinstance(settings, EgNOTConfig)
        y = self.y0.clone()
        for _ in range(self.case.num_steps):
            noise = torch.empty_like(y).normal_(generator=rng)
            y += (settings.step_size * self.case.epsilon) ** 0.5 * noise
        return y

    @property
    def num_points(self) -> int:
        """Points that the work goes through at once."""
        settings = self.config.solver
        assert isinstance(settings, (ENOTConfig, EgNOTConfig))
        return settings.batch_size if self.case.work == "step" else self.case.num_points


def adam_moments(solver: Any) -> dict[str, Tensor]:
    """Adam's first moments out of a solver's state_dict, as `gradients` of the references."""
    training = solver.state_dict()["training"]
    names = {"drift_optimizer": "drift", "potential_optimizer": "potential"}
    names |= {"optimizer": "potential"}
    return {
        network: torch.cat([s["exp_avg"].flatten() for s in training[name]["state"].values()])
        for name, network in names.items()
        if name in training
    }


def few_points(case: SolverCase, num: int) -> SolverCase:
    """The same case on `num` points."""
    settings = case.settings | {"batch_size": num}
    return dataclasses.replace(case, settings=settings, num_points=min(case.num_points, num))


class BufferWorkload:
    """Choosing, reading and writing chains of the replay buffer, full before it starts."""

    def __init__(self, case: BufferCase, side: Side, device: torch.device) -> None:
        self.case, self.side, self.device = case, side, device
        self.pairs = torch.randn(
            2, case.batch_size, case.dim, generator=make_rng(1, device), device=device
        )
        self.rng = make_rng(SEED, device)
        self.num_old = round(case.buffer_probability * case.batch_size)
        start = torch.randn(
            2, case.buffer_size, case.dim, generator=make_rng(3, device), device=device
        )
        self.plain = ListBuffer(case.buffer_size)
        self.buffer = ReplayBuffer(case.buffer_size, (case.dim,), device=device)
        if side == "reference":
            self.plain.write(list(range(case.buffer_size)), *start)
        else:
            self.buffer.write(torch.arange(case.buffer_size, device=device), *start)

    def run(self) -> None:
        self.visit()

    def visit(self) -> tuple[Tensor, Tensor]:
        """What is read before the same rows are written."""
        if self.side == "reference":
            chosen = self.plain.rows(self.case.batch_size, self.rng)
            pairs = self.plain.read(chosen[: self.num_old], self.device)
            self.plain.write(chosen, *self.pairs)
            return pairs
        rows = self.buffer.rows(self.case.batch_size, rng=self.rng)
        pairs = (self.buffer.x[rows[: self.num_old]], self.buffer.y[rows[: self.num_old]])
        self.buffer.write(rows, *self.pairs)
        return pairs

    def first(self) -> dict[str, Tensor]:
        """What is read the second time, when some of it was written the first time."""
        self.visit()
        x, y = self.visit()
        return {"x": x, "y": y}


class PrepareWorkload:
    """From MNIST's files to the four arrays of coloured digits."""

    def __init__(self, case: PrepareCase, side: Side) -> None:
        self.case, self.side = case, side
        try:
            load_mnist(Path(case.raw))
        except DataError as error:
            raise SkippedCase(f"no MNIST: {error}") from None

    def run(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._prepare(Path(folder))

    def _prepare(self, out: Path) -> None:
        case = self.case
        if self.side == "fast":
            prepare_coloured_mnist(
                Path(case.raw),
                out,
                image_size=case.image_size,
                source_digit=case.source_digit,
                target_digit=case.target_digit,
                seed=case.seed,
            )
            return
        data = load_mnist(Path(case.raw))
        for i, (side, digit) in enumerate(
            [("source", case.source_digit), ("target", case.target_digit)]
        ):
            parts = [(data.train_images, data.train_labels), (data.test_images, data.test_labels)]
            for j, (images, labels) in enumerate(parts):
                chosen = np.stack(
                    [image for image, k in zip(images, labels, strict=True) if k == digit]
                )
                rng = np.random.default_rng([case.seed, i, j])
                coloured = coloured_digits(chosen, image_size=case.image_size, rng=rng)
                np.save(out / f"{side}_{('train', 'test')[j]}.npy", coloured)

    def first(self) -> dict[str, Tensor]:
        """All pixels."""
        with tempfile.TemporaryDirectory() as folder:
            self._prepare(Path(folder))
            names = [f"{a}_{b}" for a in ("source", "target") for b in ("train", "test")]
            arrays = [np.load(Path(folder) / f"{name}.npy") for name in names]
        return {n: torch.from_numpy(a).float() for n, a in zip(names, arrays, strict=True)}


class CommandWorkload:
    """A command, from its start to its end."""

    def __init__(self, case: CommandCase) -> None:
        self.case = case
        python = Path(sys.executable)
        words = list(case.command)
        if case.needs is not None:
            path = shutil.which(case.needs, path=str(python.parent)) or shutil.which(case.needs)
            if path is None:
                raise SkippedCase(f"{case.needs} is not installed")
            words = [path if word == case.needs else word for word in words]
        self.words = [sys.executable if word == "python" else word for word in words]

    def run(self) -> None:
        done = subprocess.run(self.words, capture_output=True, text=True, check=False)
        if done.returncode != 0 or self.case.expect not in done.stdout + done.stderr:
            raise SkippedCase(
                f"`{' '.join(self.case.command)}` ended with {done.returncode} and did not print "
                f"{self.case.expect!r}. {self.case.otherwise}"
            )

    def first(self) -> dict[str, Tensor]:
        self.run()
        return {}
