"""The training loop: resume is bit-identical, divergence is loud, sampling changes nothing."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from entropic_ot.costs import DecodedHalfSquaredEuclidean
from entropic_ot.device import make_rng
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.divergence import FACTOR, cost_scale
from entropic_ot.experiments.fit import DivergenceError, fit
from entropic_ot.experiments.store import LOG, MODEL, STATE, RunStore, load_tree
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.problems.base import ArrayDistribution, EOTProblem
from entropic_ot.solvers.base import AveragedModule, Solver
from entropic_ot.solvers.config import EgNOTConfig, ENOTConfig, LightSBConfig, SinkhornConfig
from entropic_ot.solvers.egnot import EgNOT
from entropic_ot.solvers.enot import ENOT
from entropic_ot.solvers.lightsb import LightSB
from entropic_ot.solvers.sinkhorn import Sinkhorn

CPU = torch.device("cpu")
EPSILON = 0.5
VECTOR, IMAGE = (3,), (3, 8, 8)
MLP = NetworkConfig(kind="mlp", width=8, depth=2)
UNET = NetworkConfig(kind="unet", width=4, depth=2)
RESNET = NetworkConfig(kind="resnet", width=4, depth=2)
CONV = NetworkConfig(kind="conv", width=4, depth=2)
ENOT_TINY = ENOTConfig(
    drift=MLP, potential=MLP, num_euler_steps=2, num_drift_steps=2, batch_size=6, epsilon_ramp=0.8
)
EGNOT_TINY = EgNOTConfig(
    potential=MLP,
    num_langevin_steps=2,
    num_test_langevin_steps=2,
    num_warm_up_steps=2,
    batch_size=6,
    buffer_size=14,
)
LIGHTSB_TINY = LightSBConfig(num_components=4, batch_size=6)
PERSISTENT = dataclasses.replace(EGNOT_TINY, chains="persistent")


def images(config: Any, **networks: NetworkConfig) -> Any:
    return dataclasses.replace(config, **networks)


SOLVERS: dict[str, tuple[tuple[int, ...], Callable[[], Solver]]] = {
    "enot-vectors": (VECTOR, lambda: ENOT(VECTOR, ENOT_TINY, epsilon=EPSILON)),
    "enot-adjoint": (
        VECTOR,
        lambda: ENOT(VECTOR, dataclasses.replace(ENOT_TINY, drift_loss="adjoint"), epsilon=EPSILON),
    ),
    "enot-images": (
        IMAGE,
        lambda: ENOT(IMAGE, images(ENOT_TINY, drift=UNET, potential=RESNET), epsilon=EPSILON),
    ),
    "enot-bfloat16": (
        VECTOR,
        lambda: ENOT(VECTOR, ENOT_TINY, epsilon=EPSILON, precision="bfloat16"),
    ),
    "egnot-replay-vectors": (VECTOR, lambda: EgNOT(VECTOR, EGNOT_TINY, epsilon=EPSILON)),
    "egnot-replay-images": (
        IMAGE,
        lambda: EgNOT(IMAGE, images(EGNOT_TINY, potential=CONV), epsilon=EPSILON),
    ),
    "egnot-persistent-vectors": (VECTOR, lambda: EgNOT(VECTOR, PERSISTENT, epsilon=EPSILON)),
    "egnot-persistent-images": (
        IMAGE,
        lambda: EgNOT(IMAGE, images(PERSISTENT, potential=RESNET), epsilon=EPSILON),
    ),
    "sinkhorn": (
        VECTOR,
        lambda: Sinkhorn(VECTOR, SinkhornConfig(num_points=7), epsilon=EPSILON),
    ),
    "lightsb-diagonal": (VECTOR, lambda: LightSB(VECTOR, LIGHTSB_TINY, epsilon=EPSILON)),
    "lightsb-full": (
        VECTOR,
        lambda: LightSB(
            VECTOR, dataclasses.replace(LIGHTSB_TINY, covariance="full"), epsilon=EPSILON
        ),
    ),
}


def problem_of(shape: tuple[int, ...]) -> EOTProblem:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 20, *shape)).astype(np.float32)
    return EOTProblem.from_arrays(x, 1 + y / 2, epsilon=EPSILON)


def quiet(line: str) -> None:
    pass


def assert_same(a: Any, b: Any, path: str = "state") -> None:
    """Bit by bit, through the whole tree."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
        assert a.dtype == b.dtype, path
    elif isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            assert_same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            assert_same(left, right, f"{path}[{i}]")
    else:
        assert a == b, path


class Killed(Exception):
    pass


class KilledAfter:
    """A solver whose process dies at the start of a step."""

    def __init__(self, solver: Solver, steps: int) -> None:
        self.solver, self.steps, self.done = solver, steps, 0
        self.device, self.epsilon = solver.device, solver.epsilon

    def step(
        self, problem: EOTProblem, *, rng: torch.Generator, progress: float
    ) -> dict[str, float]:
        if self.done == self.steps:
            raise Killed
        self.done += 1
        return self.solver.step(problem, rng=rng, progress=progress)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.solver, name)


# --- resume ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOLVERS)
def test_ten_steps_are_five_and_five_after_a_kill(name: str, tmp_path: Path) -> None:
    shape, make = SOLVERS[name]
    problem = problem_of(shape)
    options: dict[str, Any] = {"steps": 10, "seed": 3, "show": quiet}

    whole = make()
    fit(whole, problem, store=RunStore(tmp_path / "whole", fingerprint="a"), **options)

    folder = tmp_path / "parts"
    with pytest.raises(Killed):
        fit(
            KilledAfter(make(), 5),
            problem,
            store=RunStore(folder, fingerprint="a"),
            checkpoint_seconds=0,  # after every step
            **options,
        )
    assert load_tree(folder / STATE)[1]["step"] == 5
    resumed = make()
    fit(resumed, problem, store=RunStore(folder, fingerprint="a"), **options)

    assert_same(whole.state_dict(), resumed.state_dict())
    for file in (MODEL, STATE):
        whole_file, parts_file = (load_tree(f / file) for f in (tmp_path / "whole", folder))
        assert_same(whole_file[0], parts_file[0], file)  # the state of the generator as well
        assert whole_file[1]["step"] == parts_file[1]["step"] == 10
    x = problem.source.sample(4, rng=make_rng(1))
    assert torch.equal(whole.sample(x, rng=make_rng(2)), resumed.sample(x, rng=make_rng(2)))


@pytest.mark.parametrize("name", SOLVERS)
def test_the_steps_do_change_the_state(name: str) -> None:
    """Without this, a solver that does nothing would resume bit-identically."""
    shape, make = SOLVERS[name]
    solver, other = make(), make()
    before = copy.deepcopy(solver.state_dict())
    assert_same(before, other.state_dict())  # weights are drawn from the seed
    fit(solver, problem_of(shape), steps=1, show=quiet)
    with pytest.raises(AssertionError):
        assert_same(before["model"], solver.state_dict()["model"])
    fit(other, problem_of(shape), steps=1, seed=1, show=quiet)
    with pytest.raises(AssertionError):
        assert_same(other.state_dict(), solver.state_dict())  # batches are drawn from the seed


def test_the_global_generators_are_neither_read_nor_moved() -> None:
    shape, make = SOLVERS["egnot-replay-vectors"]
    torch.manual_seed(0)
    np.random.seed(0)
    first = make()
    fit(first, problem_of(shape), steps=2, show=quiet)
    assert torch.initial_seed() == 0
    assert np.random.randint(1000) == np.random.RandomState(0).randint(1000)
    torch.manual_seed(1)
    second = make()
    fit(second, problem_of(shape), steps=2, show=quiet)
    assert_same(first.state_dict(), second.state_dict())


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    shape, make = SOLVERS["enot-vectors"]
    problem, store = problem_of(shape), RunStore(tmp_path, fingerprint="a")
    solver = make()
    seconds = fit(solver, problem, steps=3, store=store, show=quiet)
    again = make()
    assert fit(KilledAfter(again, 0), problem, steps=3, store=store, show=quiet) >= seconds
    assert_same(solver.state_dict(), again.state_dict())


def test_a_run_of_other_settings_starts_anew(tmp_path: Path) -> None:
    shape, make = SOLVERS["enot-vectors"]
    problem = problem_of(shape)
    fit(make(), problem, steps=2, store=RunStore(tmp_path, fingerprint="a"), show=quiet)
    solver, fresh = make(), make()
    fit(solver, problem, steps=4, store=RunStore(tmp_path, fingerprint="b"), show=quiet)
    fit(fresh, problem, steps=4, show=quiet)
    assert_same(solver.state_dict(), fresh.state_dict())


def logged_steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / LOG).read_text().splitlines()]


@pytest.mark.parametrize("checkpoint_seconds", [0, 1e9])
def test_the_log_of_a_resumed_run_has_each_line_once(
    tmp_path: Path, checkpoint_seconds: float
) -> None:
    """Also when the first part was killed before its first checkpoint."""
    shape, make = SOLVERS["enot-vectors"]
    problem, store = problem_of(shape), RunStore(tmp_path, fingerprint="a")
    with pytest.raises(Killed):
        fit(
            KilledAfter(make(), 5),
            problem,
            steps=8,
            store=store,
            checkpoint_seconds=checkpoint_seconds,
            show=quiet,
        )
    assert logged_steps(tmp_path) == [1, 2, 3, 4, 5]
    fit(make(), problem, steps=8, store=store, show=quiet)
    assert logged_steps(tmp_path) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_log_points_thin_the_log_and_keep_its_end(tmp_path: Path) -> None:
    shape, make = SOLVERS["enot-vectors"]
    store = RunStore(tmp_path, fingerprint="a")
    fit(make(), problem_of(shape), steps=11, store=store, log_points=3, show=quiet)
    assert logged_steps(tmp_path) == [3, 6, 9, 11]
    record = json.loads((tmp_path / LOG).read_text().splitlines()[0])
    assert set(record) == {"step", "seconds", "energy", "potential_gap"}


def test_progress_is_shown_to_the_end() -> None:
    shape, make = SOLVERS["enot-vectors"]
    lines: list[str] = []
    fit(make(), problem_of(shape), steps=2, label="name", show=lines.append)
    assert lines[-1].startswith("name: 2/2 (100%) ")
    assert "energy=" in lines[-1] and "steps/s" in lines[-1]


# --- refusals -------------------------------------------------------------------------------------


class Diverging(KilledAfter):
    """Its loss is not a number from some step on."""

    def step(
        self, problem: EOTProblem, *, rng: torch.Generator, progress: float
    ) -> dict[str, float]:
        logs = self.solver.step(problem, rng=rng, progress=progress)
        self.done += 1
        return logs if self.done <= self.steps else logs | {"energy": float("nan")}


@pytest.mark.fault(
    "loss becomes NaN: which checkpoint stays",
    "the one after the last good step, bit for bit",
)
def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    shape, make = SOLVERS["enot-vectors"]
    store = RunStore(tmp_path, fingerprint="a")
    with pytest.raises(DivergenceError, match=r"name: energy is nan at step 4, .*params\.yaml"):
        fit(
            Diverging(make(), 3),
            problem_of(shape),
            steps=10,
            store=store,
            checkpoint_seconds=0,
            label="name",
            show=quiet,
        )
    tree, header = load_tree(tmp_path / STATE)
    assert header["step"] == 3
    expected = make()
    rng = make_rng(0)
    for step in range(3):
        expected.step(problem_of(shape), rng=rng, progress=step / 10)
    assert_same(tree["model"], expected.state_dict()["model"])
    assert logged_steps(tmp_path) == [1, 2, 3]


@pytest.mark.fault(
    "loss of EgNOT diverges (learning rate and step size absurd)",
    "stopped with the name of the loss",
)
def test_a_training_that_really_diverges_is_stopped() -> None:
    config = dataclasses.replace(
        EGNOT_TINY, learning_rate=1e30, learning_rate_schedule="constant", step_size=1.0
    )
    solver = EgNOT(VECTOR, config, epsilon=EPSILON)
    with pytest.raises(DivergenceError, match="potential_gap is"):
        fit(solver, problem_of(VECTOR), steps=20, show=quiet)


def wide(factor: float) -> EOTProblem:
    """Standard normal points to such points times `factor`."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 200, 3)).astype(np.float32)
    return EOTProblem.from_arrays(x, factor * y, epsilon=EPSILON)


def test_the_scale_of_costs_is_that_of_the_problem() -> None:
    """The mean cost of independent pairs is (1 + factor^2) 3 / 2, epsilon D is 1.5."""
    for factor in (1.0, 100.0):
        expected = 1 + 1.5 * (1 + factor**2) + 1.5
        # Of 8 pairs: 24 squares, whose mean has a standard error of sqrt(2 / 24), 29 %.
        assert cost_scale(wide(factor), device=CPU) == pytest.approx(expected, rel=0.9)


class Growing:
    """A solver whose potential gap grows tenfold a step from 1; its weights stay as they are."""

    def __init__(self, solver: Solver, sign: float = 1.0) -> None:
        self.solver, self.sign, self.gap = solver, sign, 1.0

    def step(
        self, problem: EOTProblem, *, rng: torch.Generator, progress: float
    ) -> dict[str, float]:
        logs, self.gap = {"potential_gap": self.sign * self.gap}, 10 * self.gap
        return logs

    def __getattr__(self, name: str) -> Any:
        return getattr(self.solver, name)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_a_gap_beyond_all_costs_stops_and_keeps_the_last_checkpoint(
    factor: float, sign: float, tmp_path: Path
) -> None:
    problem = wide(factor)
    limit = FACTOR * cost_scale(problem, device=CPU)
    first = next(step for step in range(1, 20) if 10.0 ** (step - 1) > limit)
    solver = EgNOT(VECTOR, EGNOT_TINY, epsilon=EPSILON)
    solver.step(problem, rng=make_rng(0), progress=0.0)  # a state with chains
    store = RunStore(tmp_path, fingerprint="a")
    with pytest.raises(DivergenceError) as error:
        fit(
            Growing(solver, sign), problem, steps=20, store=store, checkpoint_seconds=0,
            label="name", show=quiet,
        )  # fmt: skip
    words = rf"name: potential_gap is {sign * 10.0 ** (first - 1):.3g} at step {first}, expected "
    assert str(error.value).startswith(words)
    assert "(now step_size = 0.09, learning_rate = 0.001)" in str(error.value)
    assert load_tree(tmp_path / STATE)[1]["step"] == first - 1
    assert logged_steps(tmp_path) == list(range(1, first))


@pytest.mark.fault(
    "loss of EgNOT grows and stays finite (learning rate a thousand times too high)",
    "stopped where it is beyond a thousand times the costs of its problem, which the message names",
)
def test_a_potential_that_climbs_while_all_stays_finite_is_stopped() -> None:
    """What EgNOT does with a learning rate a thousand times too high: the gap grows for hundreds of

    steps before anything is infinite.
    """
    config = dataclasses.replace(
        EGNOT_TINY, learning_rate=1.0, learning_rate_schedule="constant", step_size=0.1
    )
    solver = EgNOT(VECTOR, config, epsilon=EPSILON)
    with pytest.raises(DivergenceError, match=r"potential_gap is -?\d\S+ at step \d+, .*diverges"):
        fit(solver, problem_of(VECTOR), steps=400, show=quiet)


def test_data_of_small_numbers_are_no_divergence() -> None:
    """The drift's first answers do not depend on the data: energies of 0.1 beside costs of 1e-9."""
    problem = problem_of(VECTOR)
    assert isinstance(problem.source, ArrayDistribution)
    small = (1e-5 * side.at(torch.arange(20)).numpy() for side in (problem.source, problem.target))
    solver = ENOT(VECTOR, dataclasses.replace(ENOT_TINY, epsilon_ramp=0.0), epsilon=0.0)
    fit(solver, EOTProblem.from_arrays(*small, epsilon=0.0), steps=3, show=quiet)


def test_solver_and_problem_must_agree_about_epsilon() -> None:
    shape, make = SOLVERS["enot-vectors"]
    x = np.zeros((3, *shape), dtype=np.float32)
    problem = EOTProblem.from_arrays(x, x, epsilon=EPSILON / 2)
    with pytest.raises(ConfigError, match=r"epsilon: found 0\.5 in the solver and 0\.25 in the"):
        fit(make(), problem, steps=1, show=quiet)


# --- sampling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOLVERS)
def test_sampling_changes_nothing(name: str) -> None:
    shape, make = SOLVERS[name]
    problem, solver = problem_of(shape), make()
    fit(solver, problem, steps=2, show=quiet)
    before = copy.deepcopy(solver.state_dict())
    x = problem.source.sample(5, rng=make_rng(0))
    x_before = x.clone()
    torch.manual_seed(0)
    y = solver.sample(x, rng=make_rng(1))
    assert torch.equal(solver.sample(x, rng=make_rng(1)), y)
    if isinstance(solver, ENOT):
        path = solver.path(x, rng=make_rng(1))
        assert torch.equal(path[0], x) and torch.equal(path[-1], y)
    assert_same(before, solver.state_dict())
    assert torch.equal(x, x_before)
    assert y.shape == x.shape and y.dtype == torch.float32 and not y.requires_grad
    assert torch.initial_seed() == 0
    if isinstance(solver, LightSB):
        solver.potential(x), solver.drift(0.5, x)
        assert_same(before, solver.state_dict())
    for part in ("drift", "potential", "mixture"):
        averaged = getattr(solver, part, None)
        if isinstance(averaged, AveragedModule):  # gradients were off only while it sampled
            assert all(p.requires_grad for p in averaged.module.parameters())


@pytest.mark.parametrize("name", SOLVERS)
def test_the_model_part_alone_samples_the_same(name: str) -> None:
    shape, make = SOLVERS[name]
    problem, solver, fresh = problem_of(shape), make(), make()
    fit(solver, problem, steps=3, show=quiet)
    fresh.load_state_dict({"model": copy.deepcopy(solver.state_dict()["model"])})
    x = problem.source.sample(5, rng=make_rng(0))
    assert torch.equal(fresh.sample(x, rng=make_rng(1)), solver.sample(x, rng=make_rng(1)))


def test_a_solver_and_a_problem_of_different_costs_are_refused() -> None:
    problem = EOTProblem.from_arrays(np.zeros((9, 3)), np.zeros((9, 3)), epsilon=EPSILON)
    decoded = dataclasses.replace(problem, cost=DecodedHalfSquaredEuclidean(lambda z: z))
    for solver in (
        EgNOT((3,), EGNOT_TINY, epsilon=EPSILON),
        ENOT((3,), ENOT_TINY, epsilon=EPSILON),
    ):
        with pytest.raises(ConfigError, match=r"cost: found HalfSq.* and Decoded.* in the problem"):
            fit(solver, decoded, steps=1)
