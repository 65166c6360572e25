"""The only place where names become objects: problems with their data, and solvers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from entropic_ot.data.arrays import load_prepared
from entropic_ot.data.msci import MsciData, load_msci
from entropic_ot.device import choose_compile, choose_precision, make_rng
from entropic_ot.experiments.config import (
    EightGaussiansProblem,
    GaussianProblem,
    MixtureProblem,
    MSCIProblem,
    ProblemConfig,
    RunConfig,
    SwissRollProblem,
)
from entropic_ot.experiments.paths import PREPARED, RAW, dataset_name
from entropic_ot.problems.base import ArrayDistribution, Distribution, EOTProblem
from entropic_ot.problems.gaussian import Gaussian, GaussianPlan, haar_covariance
from entropic_ot.problems.mixture import (
    MixturePlan,
    MixtureTarget,
    load_archive,
    random_mixture,
    round_gaussian,
)
from entropic_ot.problems.toy import EightGaussians, StandardNormal, SwissRoll
from entropic_ot.solvers.base import Solver
from entropic_ot.solvers.config import EgNOTConfig, ENOTConfig, LightSBConfig
from entropic_ot.solvers.egnot import EgNOT
from entropic_ot.solvers.enot import ENOT
from entropic_ot.solvers.lightsb import LightSB
from entropic_ot.solvers.sinkhorn import Sinkhorn


@dataclass(frozen=True)
class Benchmark:
    """A problem as the experiments see it: what is trained on and what is tested with."""

    source: Distribution
    target: Distribution
    test_source: Distribution
    test_target: Distribution
    plan: GaussianPlan | MixturePlan | None = None
    """The closed form, where there is one."""
    msci: MsciData | None = None
    """The single-cell populations with the held-out day."""

    def eot(self, epsilon: float) -> EOTProblem:
        """The problem that a solver is given."""
        return EOTProblem(self.source, self.target, epsilon)


def build_benchmark(problem: ProblemConfig, *, epsilon: float) -> Benchmark:
    """The distributions of a problem; reads prepared data where the problem has some."""
    if isinstance(problem, EightGaussiansProblem):
        return _same(StandardNormal((2,)), EightGaussians(radius=problem.radius, std=problem.std))
    if isinstance(problem, SwissRollProblem):
        return _same(StandardNormal((2,)), SwissRoll(noise=problem.noise, scale=problem.scale))
    if isinstance(problem, GaussianProblem):
        a = haar_covariance(problem.dim, seed=problem.source_seed)
        b = haar_covariance(problem.dim, seed=problem.target_seed)
        return _same(Gaussian(a), Gaussian(b), plan=GaussianPlan(a, b, epsilon))
    if isinstance(problem, MixtureProblem):
        mixture_plan = build_mixture_plan(problem, epsilon=epsilon)
        return _same(mixture_plan.source, MixtureTarget(mixture_plan), plan=mixture_plan)
    if isinstance(problem, MSCIProblem):
        cells = load_msci(RAW / "msci", problem.dim, problem.setting)
        source, target = ArrayDistribution(cells.source), ArrayDistribution(cells.target)
        return Benchmark(source, target, source, target, msci=cells)
    name = dataset_name(problem)
    assert name is not None, "every other problem has prepared data"
    return _prepared(PREPARED / name)


def build_mixture_plan(problem: MixtureProblem, *, epsilon: float) -> MixturePlan:
    """The paper's parameters from its archive, or our own draw."""
    if problem.archive is not None:
        source, potential = load_archive(Path(problem.archive), problem.dim, epsilon)
        return MixturePlan(source, potential, epsilon)
    potential = random_mixture(
        problem.dim,
        num_components=problem.num_components,
        mean_norm=problem.mean_norm,
        component_std=problem.component_std,
        rng=make_rng(problem.parameters_seed),
    )
    return MixturePlan(round_gaussian(problem.dim, std=problem.source_std), potential, epsilon)


def _same(
    source: Distribution,
    target: Distribution,
    *,
    plan: GaussianPlan | MixturePlan | None = None,
) -> Benchmark:
    """Distributions given by a formula: fresh draws are test points."""
    return Benchmark(source, target, source, target, plan=plan)


def _prepared(folder: Path) -> Benchmark:
    def part(name: str) -> ArrayDistribution:
        return ArrayDistribution(load_prepared(folder, name), name=str(folder / name))

    return Benchmark(
        source=part("source_train"),
        target=part("target_train"),
        test_source=part("source_test"),
        test_target=part("target_test"),
    )


def build_solver(config: RunConfig, shape: tuple[int, ...], *, device: torch.device) -> Solver:
    """The solver of a run, with weights drawn from the run's seed."""
    precision = choose_precision(config.compute.precision, device)
    compiled = choose_compile(config.compute.compile, device)
    settings = config.solver
    if isinstance(settings, ENOTConfig):
        return ENOT(
            shape,
            settings,
            epsilon=config.epsilon,
            precision=precision,
            compiled=compiled,
            device=device,
            seed=config.seed,
        )
    if isinstance(settings, EgNOTConfig):
        return EgNOT(
            shape,
            settings,
            epsilon=config.epsilon,
            precision=precision,
            compiled=compiled,
            device=device,
            seed=config.seed,
        )
    if isinstance(settings, LightSBConfig):
        return LightSB(shape, settings, epsilon=config.epsilon, device=device)
    return Sinkhorn(shape, settings, epsilon=config.epsilon)


def as_array(points: torch.Tensor) -> np.ndarray:
    """Points as float32 numpy rows on the CPU."""
    return points.detach().float().cpu().numpy()
