"""Compiled solvers: the same numbers, a record of what was used, eager execution on failure."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from entropic_ot.device import choose_compile, make_rng
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.base import Solver
from entropic_ot.solvers.compiling import Compiler
from entropic_ot.solvers.config import EgNOTConfig, ENOTConfig
from entropic_ot.solvers.egnot import EgNOT
from entropic_ot.solvers.enot import ENOT

CPU = torch.device("cpu")
MLP = NetworkConfig(kind="mlp", width=8, depth=2)
IMAGES = ENOTConfig(
    drift=NetworkConfig(kind="unet", width=4, depth=2),
    potential=NetworkConfig(kind="resnet", width=4, depth=2),
    num_euler_steps=3,
    num_drift_steps=1,
    batch_size=4,
)
CHAINS = EgNOTConfig(
    num_langevin_steps=2, num_test_langevin_steps=2, num_warm_up_steps=0, batch_size=4
)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile with all but its last stage, which needs a C++ compiler and minutes."""
    compile_ = torch.compile

    def without_generated_code(function: Any, *, mode: str) -> Any:
        assert mode == "default"
        return compile_(function, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", without_generated_code)


def egnot(kind: str, shape: tuple[int, ...], compiled: bool) -> EgNOT:
    network = MLP if kind == "mlp" else NetworkConfig(kind="conv", width=4, depth=2)
    config = EgNOTConfig(**(vars(CHAINS) | {"potential": network}))
    return EgNOT(shape, config, epsilon=0.5, compiled=compiled)


SOLVERS: dict[str, tuple[tuple[int, ...], Callable[[bool], Solver]]] = {
    "enot-images": (
        (3, 8, 8),
        lambda compiled: ENOT((3, 8, 8), IMAGES, epsilon=0.5, compiled=compiled),
    ),
    "enot-images-checkpointed": (
        (3, 8, 8),
        lambda compiled: ENOT(
            (3, 8, 8),
            dataclasses.replace(IMAGES, checkpoint_activations=True),
            epsilon=0.5,
            compiled=compiled,
        ),
    ),
    "egnot-images": ((3, 8, 8), lambda compiled: egnot("conv", (3, 8, 8), compiled)),
    "egnot-vectors": ((3,), lambda compiled: egnot("mlp", (3,), compiled)),
}


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", list(SOLVERS))
def test_a_compiled_solver_computes_the_same(name: str) -> None:
    shape, make = SOLVERS[name]
    source, target = torch.randn(2, 20, *shape, generator=make_rng(0)).numpy()
    problem = EOTProblem.from_arrays(source, target, epsilon=0.5)
    samples = []
    for compiled in (False, True):
        solver, rng = make(compiled), make_rng(1)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # that compiling failed
            for _ in range(2):
                solver.step(problem, rng=rng, progress=0.0)
            samples.append(solver.sample(torch.from_numpy(source[:5]), rng=rng))
        assert solver.compiled == ("default" if compiled else "no")
    assert solver.compiler.num_calls > 3  # type: ignore[attr-defined]
    # float32; Adam's first steps are signs of gradients, times the learning rate
    torch.testing.assert_close(samples[1], samples[0], rtol=1e-3, atol=1e-4)


def test_where_compiling_fails_all_goes_on_eagerly_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(function: Any, *, mode: str) -> Any:
        def call(*args: Any) -> Any:
            raise RuntimeError("no compiler here\nand a long trace")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    compiler = Compiler(CPU, enabled=True)
    double, half = compiler(lambda x: 2 * x), compiler(lambda x: x / 2)
    assert compiler.used == "default"
    one = torch.ones(3)
    with pytest.warns(RuntimeWarning, match=r"RuntimeError: no compiler here\); going on eagerly"):
        assert torch.equal(double(one), 2 * one)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(double(one), 2 * one) and torch.equal(half(one), one / 2)
    assert compiler.used == "no" and compiler.num_calls == 0


def test_a_wrong_argument_is_an_error_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, *, mode: function)
    add = Compiler(CPU, enabled=True)(torch.add)
    with pytest.warns(RuntimeWarning), pytest.raises(RuntimeError, match="size of tensor"):
        add(torch.ones(2), torch.ones(3))


def test_what_auto_means_and_the_mode_of_a_device() -> None:
    cuda = torch.device("cuda")
    assert choose_compile("auto", cuda) and not choose_compile("auto", CPU)
    assert choose_compile("always", CPU) and not choose_compile("never", cuda)
    assert Compiler(cuda, enabled=True).used == "reduce-overhead"
