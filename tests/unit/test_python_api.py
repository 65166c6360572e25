"""The five lines of the package's docstring, on two plain arrays, for each solver."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import entropic_ot
from entropic_ot import (
    ENOT,
    EgNOT,
    EgNOTConfig,
    ENOTConfig,
    EOTProblem,
    LightSB,
    LightSBConfig,
    NetworkConfig,
    Sinkhorn,
    SinkhornConfig,
    fit,
    make_rng,
)
from entropic_ot.errors import ConfigError, DataError, EntropicOTError

SMALL = NetworkConfig(kind="mlp", width=16, depth=2)
SOLVERS: dict[str, tuple[Callable[..., Any], Any, int]] = {
    "ENOT": (
        ENOT,
        ENOTConfig(
            drift=SMALL,
            potential=SMALL,
            batch_size=64,
            num_euler_steps=4,
            drift_learning_rate=1e-2,
            potential_learning_rate=1e-2,
        ),
        150,
    ),
    "EgNOT": (
        EgNOT,
        EgNOTConfig(
            potential=SMALL,
            batch_size=64,
            buffer_size=640,
            num_test_langevin_steps=50,
            learning_rate=1e-2,
        ),
        150,
    ),
    "Sinkhorn": (Sinkhorn, SinkhornConfig(num_points=200), 1),
    "LightSB": (LightSB, LightSBConfig(num_components=8, batch_size=64), 150),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SOLVERS)
def test_five_lines_on_two_arrays(name: str, dtype: type) -> None:
    """float64 is what numpy gives: the user need not convert."""
    method, config, steps = SOLVERS[name]
    rng = np.random.default_rng(0)
    x, x_new = rng.standard_normal((2, 500, 2)).astype(dtype)
    y = np.array([3.0, -1.0], dtype) + rng.standard_normal((400, 2)).astype(dtype) / 2

    problem = EOTProblem.from_arrays(x, y, epsilon=0.1)
    solver = method(problem.source.shape, config, epsilon=0.1)
    fit(solver, problem, steps=steps, show=lambda line: None)
    y_new = solver.sample(torch.from_numpy(x_new), rng=make_rng(0))

    assert y_new.shape == x_new.shape and y_new.dtype == torch.float32
    # The target's mean is 3.2 away from the source's: half of the way is far from untrained.
    assert float((y_new.mean(0) - torch.tensor([3.0, -1.0])).norm()) < 1.6


def test_the_docstrings_lines_are_those() -> None:
    text = inspect.getdoc(entropic_ot) or ""
    code = "\n".join(line for line in text.splitlines() if "=" in line or line.startswith("fit("))
    assert len(code.splitlines()) == 4
    rng = np.random.default_rng(0)
    scope: dict[str, Any] = {
        **{name: getattr(entropic_ot, name) for name in entropic_ot.__all__},
        "torch": torch,
        "x": rng.standard_normal((50, 2)),
        "y": rng.standard_normal((50, 2)),
        "x_new": rng.standard_normal((5, 2)),
    }
    exec(code.replace("steps=400", "steps=1"), scope)
    assert scope["y_new"].shape == (5, 2)


def test_a_solver_works_on_images() -> None:
    x = np.random.default_rng(0).integers(0, 256, (30, 3, 8, 8), dtype=np.uint8)
    problem = EOTProblem.from_arrays(x, x[::-1].copy(), epsilon=1.0)
    config = ENOTConfig(
        drift=NetworkConfig(kind="unet", width=4, depth=2),
        potential=NetworkConfig(kind="resnet", width=4, depth=2),
        drift_form="bounded_endpoint",
        noise_last_step=False,
        num_euler_steps=2,
        batch_size=4,
    )
    solver = ENOT(problem.source.shape, config, epsilon=1.0)
    fit(solver, problem, steps=1, show=lambda line: None)
    start = problem.source.sample(3, rng=make_rng(0))
    assert float(start.min()) >= -1 and float(start.max()) <= 1  # bytes are read as [-1, 1]
    y = solver.sample(start, rng=make_rng(0))
    assert y.shape == (3, 3, 8, 8)
    assert float(y.abs().max()) <= 1 + 1e-6


def test_bytes_are_read_as_minus_one_to_one() -> None:
    x = np.array([[0, 255], [51, 204]], dtype=np.uint8)
    problem = EOTProblem.from_arrays(x, x, epsilon=1.0)
    points = problem.source.at(torch.tensor([0, 1]))  # type: ignore[attr-defined]
    torch.testing.assert_close(points, torch.tensor([[-1.0, 1.0], [-0.6, 0.6]]))


def test_values_that_are_not_finite_are_refused() -> None:
    x = np.zeros((4, 2), dtype=np.float32)
    y = x.copy()
    y[2, 1] = np.nan
    with pytest.raises(DataError, match=r"target: found 1 values .* the first at \[2, 1\]"):
        EOTProblem.from_arrays(x, y, epsilon=0.1)


def test_bytes_on_one_side_alone_are_refused() -> None:
    x = np.array([[0, 255], [51, 204]], dtype=np.uint8)
    with pytest.raises(DataError, match="uint8 and float32 values, expected uint8 on both"):
        EOTProblem.from_arrays(x, (x / 255).astype(np.float32), epsilon=0.1)


def test_lists_are_arrays() -> None:
    problem = EOTProblem.from_arrays([[0.0, 1.0]], [[2.0, 3.0]], epsilon=0.1)
    assert problem.target.sample(1, rng=make_rng(0)).tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize("name", ["ENOT", "EgNOT", "LightSB", "Sinkhorn"])
def test_a_solver_for_points_of_another_shape_is_refused_before_any_step(name: str) -> None:
    x = np.zeros((20, 2), dtype=np.float32)
    method, config, _ = SOLVERS[name]
    solver = method((3,), config, epsilon=0.1)
    with pytest.raises(ConfigError, match=r"shape: found \(3,\) in the solver and \(2,\)"):
        fit(solver, EOTProblem.from_arrays(x, x, epsilon=0.1), steps=1)


def test_sinkhorn_samples_no_plan_before_there_is_one() -> None:
    with pytest.raises(EntropicOTError, match="no plan to sample"):
        Sinkhorn((2,), epsilon=0.1).sample(torch.zeros(3, 2), rng=make_rng(0))


def test_arrays_are_not_changed_by_training() -> None:
    x = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    before = x.copy()
    problem = EOTProblem.from_arrays(x, x, epsilon=0.1)
    solver = EgNOT((2,), SOLVERS["EgNOT"][1], epsilon=0.1)
    fit(solver, problem, steps=2, show=lambda line: None)
    assert np.array_equal(x, before)


@pytest.mark.parametrize(
    ("x", "y", "epsilon", "message"),
    [
        ((5, 2), (5, 3), 1.0, r"points of shape \(2,\) in the source and \(3,\) in the target"),
        ((5,), (5,), 1.0, r"found shape \(5,\), expected \[n, features\]"),
        ((0, 2), (5, 2), 1.0, r"found shape \(0, 2\)"),
        ((5, 2), (5, 2), -1.0, r"epsilon: found -1\.0, expected a number >= 0"),
        ((5, 2), (5, 2), float("nan"), "epsilon: found nan"),
    ],
)
def test_arrays_that_are_no_problem_are_refused(
    x: tuple[int, ...], y: tuple[int, ...], epsilon: float, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        EOTProblem.from_arrays(np.zeros(x), np.zeros(y), epsilon=epsilon)


def test_images_need_networks_for_images() -> None:
    with pytest.raises(ConfigError, match=r"for images .* expected unet"):
        ENOT((3, 8, 8), epsilon=1.0)


def test_every_name_of_the_package_is_there_and_no_other() -> None:
    for name in entropic_ot.__all__:
        assert getattr(entropic_ot, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Enot'"):
        _ = entropic_ot.Enot


def test_importing_the_package_alone_loads_nothing_heavy() -> None:
    code = "import entropic_ot, sys; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
