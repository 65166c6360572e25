"""The hand-written gradients of the MLPs against automatic differentiation of the plain code."""

from __future__ import annotations

import itertools

import pytest
import torch

from entropic_ot.device import make_rng
from entropic_ot.dynamics.euler_maruyama import euler_maruyama, noise_scales, time_grid
from entropic_ot.networks.mlp import (
    LinearMLPDrift,
    MLPDrift,
    MLPPotential,
    QuadraticMLPPotential,
)
from entropic_ot.networks.mlp_path import Grid, mlp_path

DIM, BATCH, STEPS, EPSILON = 3, 7, 5, 0.7


def drift_net(*, linear: bool = False) -> MLPDrift:
    torch.manual_seed(0)
    if not linear:
        return MLPDrift(DIM, width=16, depth=3)
    net = LinearMLPDrift(DIM, width=16, depth=3)
    net.linear.data.normal_(0, 0.3)
    return net


def grid(*, endpoint: bool, power: float, noise_last_step: bool) -> Grid:
    times = time_grid(STEPS, power=power)
    return Grid(
        times[:-1],
        [end - start for start, end in itertools.pairwise(times)],
        noise_scales(times, epsilon=EPSILON, noise_last_step=noise_last_step),
        [1 / (1 - t) if endpoint else 1.0 for t in times[:-1]],
    )


def gradients(net: MLPDrift) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


def loss_of(final: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
    return (energy * torch.linspace(0.5, 2, BATCH)).sum() + final.pow(3).sum()


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("endpoint", [False, True])
@pytest.mark.parametrize(("power", "noise_last_step"), [(1.0, True), (1.5, False)])
def test_path_and_gradient_are_those_of_euler_maruyama(
    linear: bool, endpoint: bool, power: float, noise_last_step: bool
) -> None:
    net, x0 = drift_net(linear=linear), torch.randn(BATCH, DIM, generator=make_rng(1))
    factor = (lambda t: 1 / (1 - t)) if endpoint else (lambda t: 1.0)
    plain = euler_maruyama(
        lambda t, x: net(t, x) * factor(t),
        x0,
        epsilon=EPSILON,
        num_steps=STEPS,
        rng=make_rng(2),
        power=power,
        noise_last_step=noise_last_step,
        keep_states=True,
    )
    loss_of(plain.final, plain.energy).backward()
    expected = gradients(net)
    net.zero_grad()
    states = [x0]
    final, energy, noise_work = mlp_path(
        net.net,
        x0,
        grid(endpoint=endpoint, power=power, noise_last_step=noise_last_step),
        rng=make_rng(2),
        dtype=torch.float32,
        linear=net.linear if isinstance(net, LinearMLPDrift) else None,
        observe=lambda _, x: states.append(x),
    )
    loss_of(final, energy).backward()
    # float32 sums in another order
    assert torch.allclose(torch.stack(states), torch.stack(plain.states), atol=1e-5)
    assert torch.allclose(energy, plain.energy, rtol=1e-5)
    assert torch.allclose(noise_work, plain.noise_work, rtol=1e-4, atol=1e-5)
    assert torch.allclose(gradients(net), expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_keeps_the_direction_of_the_gradient() -> None:
    net, x0 = drift_net(), torch.randn(BATCH, DIM, generator=make_rng(1))
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        net.zero_grad()
        steps = grid(endpoint=False, power=1.0, noise_last_step=True)
        final, energy, _ = mlp_path(net.net, x0, steps, rng=make_rng(2), dtype=dtype)
        loss_of(final, energy).backward()
        found.append(gradients(net))
    cosine = torch.nn.functional.cosine_similarity(*found, dim=0)
    assert 0.999 < float(cosine) < 1.0 - 1e-9  # 8 bits of mantissa; not the same computation


def test_no_graph_is_made_where_no_gradient_is_asked_for() -> None:
    net, x0 = drift_net(), torch.zeros(BATCH, DIM)
    steps = grid(endpoint=False, power=1.0, noise_last_step=True)
    with torch.no_grad():
        final, *_ = mlp_path(net.net, x0, steps, rng=make_rng(0), dtype=torch.float32)
    assert not final.requires_grad


@pytest.mark.parametrize("quadratic", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_input_gradient_is_that_of_autograd(depth: int, quadratic: bool) -> None:
    torch.manual_seed(0)
    kind = QuadraticMLPPotential if quadratic else MLPPotential
    net = kind(DIM, width=16, depth=depth)
    if isinstance(net, QuadraticMLPPotential):
        net.quadratic.data.normal_()  # not symmetric: its symmetric part counts
    y = torch.randn(BATCH, DIM, generator=make_rng(1), requires_grad=True)
    (expected,) = torch.autograd.grad(net(y).sum(), y)
    found = net.input_gradient(dtype=torch.float32)(y.detach())
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)  # another order of the sums
    rounded = net.input_gradient(dtype=torch.bfloat16)(y.detach())
    assert float((rounded - expected).norm() / expected.norm()) < 0.02  # 2^-8 a layer


def test_time_grid_is_uniform_or_ends_in_short_steps() -> None:
    assert time_grid(4) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert time_grid(2, power=2.0) == pytest.approx([0, 0.75, 1])
    assert noise_scales([0, 0.75, 1], epsilon=4.0) == pytest.approx([3**0.5, 1])
    assert noise_scales([0, 0.75, 1], epsilon=4.0, noise_last_step=False)[-1] == 0
