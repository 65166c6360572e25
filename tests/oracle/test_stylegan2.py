"""StyleGAN2's layers against explicit sums, and its derivatives against differences, in float64.

Tolerances of values: 1e-12, sums of some hundred terms of size one in float64.
"""

from __future__ import annotations

import itertools

import pytest
import torch

from entropic_ot.device import make_rng
from entropic_ot.networks.stylegan2 import Architecture, Generator, GeneratorConfig
from entropic_ot.networks.stylegan2_discriminator import Discriminator, minibatch_deviation
from entropic_ot.networks.stylegan2_layers import (
    convolve,
    convolve_down,
    convolve_up,
    downsample,
    modulated_convolution,
    upsample,
)

TAPS = [1 / 8, 3 / 8, 3 / 8, 1 / 8]
Plane = dict[tuple[int, int], float]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=make_rng(seed), dtype=torch.float64)


# --- filters, on the whole plane: {(row, column): value}, zero elsewhere --------------------------


def plane(image: torch.Tensor) -> Plane:
    return {(i, j): float(image[i, j]) for i in range(len(image)) for j in range(len(image[0]))}


def spread(image: Plane) -> Plane:
    """Zeros between the pixels."""
    return {(2 * i, 2 * j): value for (i, j), value in image.items()}


def filtered(image: Plane, kernel: Plane) -> Plane:
    """The convolution sum_ab image(p - (a, b)) kernel(a, b)."""
    result: Plane = {}
    for ((i, j), value), ((a, b), weight) in itertools.product(image.items(), kernel.items()):
        result[i + a, j + b] = result.get((i + a, j + b), 0.0) + value * weight
    return result


def cut(image: Plane, *, size: int, start: int, step: int = 1) -> torch.Tensor:
    places = [start + step * k for k in range(size)]
    rows = [[image.get((i, j), 0.0) for j in places] for i in places]
    return torch.tensor(rows, dtype=torch.float64)


BLUR: Plane = {(a, b): TAPS[a] * TAPS[b] for a in range(4) for b in range(4)}
BLUR_4: Plane = {place: 4 * value for place, value in BLUR.items()}


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_upsample_puts_zeros_between_and_blurs() -> None:
    x = normal(1, 2, 5, 5)
    for channel in range(2):
        # The blur reaches 0..3 ahead; 1 of it is cut, so that the two copies lie evenly.
        expected = cut(filtered(spread(plane(x[0, channel])), BLUR_4), size=10, start=1)
        close(upsample(x)[0, channel], expected)


def test_downsample_blurs_and_takes_every_second() -> None:
    x = normal(1, 2, 6, 6)
    for channel in range(2):
        expected = cut(filtered(plane(x[0, channel]), BLUR), size=3, start=2, step=2)
        close(downsample(x)[0, channel], expected)


def test_constants_keep_their_value_away_from_the_border() -> None:
    x = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    close(upsample(x)[..., 2:-2, 2:-2], torch.ones(1, 1, 12, 12, dtype=torch.float64))
    close(downsample(x)[..., 1:-1, 1:-1], torch.ones(1, 1, 2, 2, dtype=torch.float64))


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_resampling_convolutions_are_those_of_the_plane(kernel: int) -> None:
    """Convolution up, correlation down and at the same size, both cut only at the end."""
    x, weight = normal(1, 2, 4, 4), normal(3, 2, kernel, kernel, seed=1)
    p = kernel // 2
    for out in range(3):
        up = same = down = torch.zeros((), dtype=torch.float64)
        for channel in range(2):
            image, w = plane(x[0, channel]), plane(weight[out, channel])
            mirrored = plane(weight[out, channel].flip(0, 1))
            grown = filtered(filtered(spread(image), w), BLUR_4)
            up = up + cut(grown, size=8, start=1 + p)
            same = same + cut(filtered(image, mirrored), size=4, start=p)
            shrunk = filtered(filtered(image, BLUR), mirrored)
            down = down + cut(shrunk, size=2, start=2 + p, step=2)
        close(convolve_up(x, weight)[0, out], up)
        close(convolve(x, weight)[0, out], same)
        close(convolve_down(x, weight)[0, out], down)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulation_scales_the_weights_of_each_sample(up: bool, demodulate: bool) -> None:
    x, weight, styles = normal(3, 2, 4, 4), normal(5, 2, 3, 3, seed=1), normal(3, 2, seed=2)
    found = modulated_convolution(x, weight, styles, demodulate=demodulate, up=up)
    for sample in range(3):
        own = torch.empty_like(weight)
        for out in range(5):
            for channel in range(2):
                own[out, channel] = weight[out, channel] * styles[sample, channel]
            if demodulate:
                own[out] /= torch.sqrt((own[out] ** 2).sum() + 1e-8)
        convolution = convolve_up if up else convolve
        close(found[sample], convolution(x[sample : sample + 1], own)[0])


def test_minibatch_deviation_is_that_of_interleaved_groups() -> None:
    x = normal(6, 2, 2, 2)
    found = minibatch_deviation(x, group_size=3)
    close(found[:, :2], x)
    for sample in range(6):
        group = torch.stack([x[i] for i in range(6) if i % 2 == sample % 2])
        expected = ((group - group.mean(0)) ** 2).mean(0).add(1e-8).sqrt().mean()
        close(found[sample, 2], expected.expand(2, 2))


# --- the networks ---------------------------------------------------------------------------------


def generator(architecture: Architecture = "skip") -> Generator:
    torch.manual_seed(0)
    net = Generator(
        GeneratorConfig(
            channels=(6, 4, 3), img_channels=3, z_dim=5, w_dim=4, mapping_width=6,
            mapping_layers=2, architecture=architecture,
        )
    ).double()  # fmt: skip
    for name, parameter in net.named_parameters():
        if name.endswith(("bias", "noise_strength")):  # they start at zero
            parameter.data += 0.3 * torch.randn_like(parameter)
    return net


def test_the_generator_is_the_composition_that_the_paper_draws() -> None:
    """Its parts put together once more by hand, for skip at 4, 8 and 16 pixels."""
    net, z = generator(), normal(2, 5)
    w = z / torch.sqrt((z**2).mean(1, keepdim=True) + 1e-8)
    state = {name: value.detach() for name, value in net.state_dict().items()}

    def linear(name: str, x: torch.Tensor, rate: float) -> torch.Tensor:
        weight = state[f"{name}.weight"] * rate / x.shape[1] ** 0.5
        return x @ weight.t() + rate * state[f"{name}.bias"]

    def leaky(x: torch.Tensor) -> torch.Tensor:
        return 2**0.5 * torch.where(x > 0, x, 0.2 * x)

    def layer(name: str, x: torch.Tensor, *, up: bool = False) -> torch.Tensor:
        name = f"synthesis.{name}"
        styles = linear(f"{name}.affine", w, 1)
        h = modulated_convolution(x, state[f"{name}.weight"], styles, up=up)
        h = h + state[f"{name}.noise_strength"] * state[f"{name}.noise_const"]
        return leaky(h + state[f"{name}.bias"].view(1, -1, 1, 1))

    def colours(name: str, x: torch.Tensor) -> torch.Tensor:
        name = f"synthesis.{name}.torgb"
        styles = linear(f"{name}.affine", w, 1) / x.shape[1] ** 0.5
        h = modulated_convolution(x, state[f"{name}.weight"], styles, demodulate=False)
        return h + state[f"{name}.bias"].view(1, -1, 1, 1)

    for i in range(2):
        w = leaky(linear(f"mapping.fc{i}", w, 0.01))
    x = layer("b4.conv1", state["synthesis.b4.const"].expand(2, -1, -1, -1))
    image = colours("b4", x)
    for block in ("b8", "b16"):
        x = layer(f"{block}.conv1", layer(f"{block}.conv0", x, up=True))
        image = upsample(image) + colours(block, x)
    close(net(z), image)


def test_each_layer_has_its_own_w_and_a_torgb_that_of_the_next_block() -> None:
    net = generator()
    ws = normal(1, 6, 4).requires_grad_()
    seen = {}

    def hook(name: str):  # type: ignore[no-untyped-def]
        return lambda module, inputs: seen.__setitem__(name, inputs[0].detach())

    for name, module in net.synthesis.named_modules():
        if name.endswith("affine"):
            module.register_forward_pre_hook(hook(name.removesuffix(".affine")))
    net.synthesis(ws)
    order = {
        "b4.conv1": 0, "b4.torgb": 1, "b8.conv0": 1, "b8.conv1": 2, "b8.torgb": 3,
        "b16.conv0": 3, "b16.conv1": 4, "b16.torgb": 5,
    }  # fmt: skip
    assert seen.keys() == order.keys()
    for name, index in order.items():
        assert torch.equal(seen[name], ws[:, index].detach()), name


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_derivatives_of_the_generator_are_those_of_differences(architecture: Architecture) -> None:
    net = generator(architecture)
    z = normal(2, 5).requires_grad_()
    # gradcheck's own tolerances: differences of 1e-6 in float64 are good to about 1e-5.
    assert torch.autograd.gradcheck(net, (z,))
    assert torch.autograd.gradgradcheck(net, (z,), grad_outputs=normal(2, 3, 16, 16, seed=1))


def test_derivatives_with_respect_to_the_weights_are_those_of_differences() -> None:
    net, z, direction = generator(), normal(2, 5), normal(2, 3, 16, 16, seed=3)
    value = (net(z) * direction).sum()
    names, parameters = zip(*net.named_parameters(), strict=True)
    gradients = torch.autograd.grad(value, parameters)
    for name, parameter, gradient in zip(names, parameters, gradients, strict=True):
        step = normal(*parameter.shape, seed=4)
        with torch.no_grad():
            sides = []
            for h in (1e-5, -1e-5):
                parameter += h * step
                sides.append(float((net(z) * direction).sum()))
                parameter -= h * step
        # Central differences: error of order h² = 1e-10, rounding 1e-16/h = 1e-11, times sums ~100.
        expected = (sides[0] - sides[1]) / 2e-5
        assert float((gradient * step).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-6), name


def test_derivatives_of_the_discriminator_are_those_of_differences() -> None:
    torch.manual_seed(0)
    net = Discriminator(channels=(4, 3), img_channels=1, group_size=2).double()
    image = normal(4, 1, 8, 8).requires_grad_()
    assert torch.autograd.gradcheck(net, (image,))
    # The penalty ‖∇D‖² of the real images (R1) needs the second derivative.
    assert torch.autograd.gradgradcheck(net, (image,), grad_outputs=normal(4, seed=1))
