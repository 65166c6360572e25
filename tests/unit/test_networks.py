"""Networks: shapes, what does not fit, precision, and potentials of one sample at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from entropic_ot.device import make_rng
from entropic_ot.errors import ConfigError
from entropic_ot.networks import build_drift, build_potential
from entropic_ot.networks.classifier import DigitClassifier
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.networks.image_layers import DoublingConv, NormSiLU
from entropic_ot.networks.mlp import MLPPotential
from entropic_ot.networks.resnet_potential import linear_of_image
from entropic_ot.networks.unet import UNetDrift, time_features

VECTORS, IMAGES = (5,), (3, 16, 16)


def config(kind: str, *, depth: int = 2, patch: int = 1) -> NetworkConfig:
    return NetworkConfig(kind=kind, width=8, depth=depth, patch=patch)  # type: ignore[arg-type]


def points(shape: tuple[int, ...], n: int = 4) -> torch.Tensor:
    return torch.randn(n, *shape, generator=make_rng(0))


DRIFTS = [
    (config("mlp"), VECTORS),
    (config("mlp", depth=1), (1,)),
    (config("unet"), IMAGES),
    (config("unet", depth=3, patch=2), IMAGES),
    (config("unet", depth=1), (1, 6, 10)),
]
POTENTIALS = [
    (config("mlp"), VECTORS),
    (config("mlp", depth=1), (1,)),
    (config("resnet"), IMAGES),
    (config("resnet", depth=3, patch=2), IMAGES),
    (config("local"), IMAGES),
    (config("local", depth=3, patch=2), IMAGES),
    (config("conv"), IMAGES),
    (config("conv", depth=3, patch=4), IMAGES),
]


@pytest.mark.parametrize(("network", "shape"), DRIFTS)
def test_a_drift_has_the_shape_of_its_points(
    network: NetworkConfig, shape: tuple[int, ...]
) -> None:
    x = points(shape)
    out = build_drift(network, shape)(0.3, x)
    assert out.shape == x.shape and out.dtype == torch.float32


@pytest.mark.parametrize(("network", "shape"), POTENTIALS)
def test_a_potential_is_one_number_per_point(
    network: NetworkConfig, shape: tuple[int, ...]
) -> None:
    out = build_potential(network, shape)(points(shape))
    assert out.shape == (4,) and out.dtype == torch.float32


@pytest.mark.parametrize(("network", "shape"), DRIFTS)
def test_a_drift_depends_on_the_time(network: NetworkConfig, shape: tuple[int, ...]) -> None:
    drift, x = build_drift(network, shape), points(shape)
    with torch.no_grad():
        for p in drift.parameters():  # the U-Net's last layers start at zero
            p.copy_(0.3 * torch.randn(p.shape, generator=make_rng(1)))
        assert float((drift(0.1, x) - drift(0.9, x)).abs().max()) > 1e-3


@pytest.mark.parametrize(("network", "shape"), POTENTIALS)
def test_a_potential_depends_on_each_sample_alone(
    network: NetworkConfig, shape: tuple[int, ...]
) -> None:
    """g(y) is a function: its value must not change with the rest of the batch."""
    potential, y = build_potential(network, shape).double(), points(shape, n=6).double()
    together = potential(y)
    alone = torch.cat([potential(y[i : i + 1]) for i in range(6)])
    # float32 at the output: other batch sizes are summed in another order.
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    assert float(together.detach().std()) > 1e-4
    y.requires_grad_(True)
    gradient = torch.autograd.grad(potential(y)[0], y)[0]
    assert float(gradient[0].abs().max()) > 0
    assert float(gradient[1:].abs().max()) == 0


@pytest.mark.parametrize(("network", "shape"), DRIFTS)
def test_a_drift_depends_on_each_sample_alone(
    network: NetworkConfig, shape: tuple[int, ...]
) -> None:
    drift, x = build_drift(network, shape), points(shape)
    with torch.no_grad():
        for p in drift.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=make_rng(1)))
    x.requires_grad_(True)
    gradient = torch.autograd.grad(drift(0.5, x)[0].sum(), x)[0]
    assert float(gradient[0].abs().max()) > 0
    assert float(gradient[1:].abs().max()) == 0


@pytest.mark.parametrize(("network", "shape"), POTENTIALS)
def test_potentials_give_float32_under_bfloat16_autocast(
    network: NetworkConfig, shape: tuple[int, ...]
) -> None:
    potential, y = build_potential(network, shape), points(shape)
    plain = potential(y)
    with torch.autocast("cpu", torch.bfloat16):
        cast = potential(y)
    assert cast.dtype == torch.float32
    # bfloat16 has 8 bits: relative errors of 2^-8 in each of a few layers.
    torch.testing.assert_close(cast, plain, rtol=0.1, atol=0.05)
    if network.depth > 1:
        assert not torch.equal(cast, plain)  # the hidden layers did run in bfloat16


@pytest.mark.parametrize(("network", "shape"), DRIFTS)
def test_drifts_give_float32_under_bfloat16_autocast(
    network: NetworkConfig, shape: tuple[int, ...]
) -> None:
    drift, x = build_drift(network, shape), points(shape)
    with torch.autocast("cpu", torch.bfloat16):
        assert drift(0.3, x).dtype == torch.float32


def test_the_mlp_does_not_round_its_input_to_bfloat16() -> None:
    """1000 and 1001 are the same number in bfloat16."""
    potential = MLPPotential(1, width=8, depth=1)
    with torch.no_grad():
        potential.net.first.bias.fill_(-1000.0)
        potential.net.first.weight.fill_(1.0)
        potential.net.last.weight.fill_(1.0)
    y = torch.tensor([[1000.0], [1001.0]])
    with torch.autocast("cpu", torch.bfloat16):
        low, high = potential(y).tolist()
    assert high - low == pytest.approx(8 * 0.731, rel=0.02)  # 8 units of silu(1) - silu(0)


def test_the_unet_starts_at_zero() -> None:
    out = UNetDrift(IMAGES, width=8, depth=2, patch=1)(0.5, points(IMAGES))
    assert torch.equal(out, torch.zeros(4, *IMAGES))


def test_time_features_tell_times_apart() -> None:
    times = torch.cat([time_features(t, 16, device=torch.device("cpu")) for t in (0, 0.1, 0.9)])
    assert times.shape == (3, 16)
    assert float(torch.cdist(times, times).fill_diagonal_(1).min()) > 0.5


@pytest.mark.parametrize(
    ("build", "kind", "shape", "message"),
    [
        (build_drift, "mlp", IMAGES, "drift: found kind 'mlp' for images [channels,"),
        (build_drift, "unet", VECTORS, "found kind 'unet' for vectors [dim], expected mlp"),
        (
            build_drift,
            "resnet",
            IMAGES,
            "'resnet' for images [channels, height, width], expected unet",
        ),
        (
            build_potential,
            "unet",
            IMAGES,
            "[channels, height, width], expected resnet or conv or local",
        ),
        (build_potential, "conv", VECTORS, "found kind 'conv' for vectors [dim], expected mlp"),
        (build_potential, "mlp", IMAGES, "potential: found kind 'mlp' for images"),
        (
            build_potential,
            "mlp",
            (4, 4),
            "found kind 'mlp' for points with 2 axes",
        ),
    ],
)
def test_networks_that_do_not_fit_the_points_are_refused(
    build: object, kind: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build(config(kind), shape)  # type: ignore[operator]
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["unet", "resnet", "conv", "local"])
def test_sides_must_be_divisible(kind: str) -> None:
    build = build_drift if kind == "unet" else build_potential
    build(config(kind, depth=3, patch=2), (3, 16, 8))
    with pytest.raises(ConfigError, match=r"images of 16x12, .*divisible by .* = 8"):
        build(config(kind, depth=3, patch=2), (3, 16, 12))


@pytest.mark.parametrize("kind", ["resnet", "conv", "local"])
def test_a_potential_of_oblong_images(kind: str) -> None:
    assert build_potential(config(kind), (3, 16, 8))(points((3, 16, 8))).shape == (4,)


def test_a_local_potential_sees_a_texture_wherever_it_is() -> None:
    """A patch on a flat ground moved by the pooling's factor, far from the borders: the same g."""
    torch.manual_seed(0)
    potential = build_potential(config("local", depth=2), (1, 32, 32))
    image = torch.zeros(1, 1, 32, 32)
    image[..., 12:16, 12:16] = torch.rand(4, 4, generator=make_rng(0))
    moved = image.roll((2, -4), dims=(2, 3))
    flat = potential(torch.zeros_like(image))
    torch.testing.assert_close(potential(moved), potential(image), rtol=1e-5, atol=1e-7)
    assert (potential(image) - flat).abs() > 1e-5, "it sees the patch at all"


def test_the_classifier_reads_the_grey_value_off_coloured_digits_of_any_size() -> None:
    classifier = DigitClassifier(image_size=16, width=4)
    grey = torch.rand(3, 1, 16, 16, generator=make_rng(0)) * 2 - 1
    coloured = torch.cat([grey, torch.full_like(grey, -1), torch.full_like(grey, -1)], dim=1)
    classifier.eval()
    assert torch.equal(classifier.labels(coloured), classifier(grey).argmax(1))
    assert torch.equal(classifier.labels(coloured.flip(1)), classifier(grey).argmax(1))
    assert classifier.labels(points((3, 32, 32))).shape == (4,)


# --- layers of images -----------------------------------------------------------------------------


def assert_same_gradients(
    fast: Callable[[], torch.Tensor], plain: Callable[[], torch.Tensor], *, of: list[torch.Tensor]
) -> None:
    """Values and gradients agree; float64, so that only the order of the sums differs."""
    out, expected = fast(), plain()
    torch.testing.assert_close(out, expected)
    weights = torch.randn(out.shape, generator=make_rng(7)).double()
    found = torch.autograd.grad((out * weights).sum(), of)
    torch.testing.assert_close(found, torch.autograd.grad((expected * weights).sum(), of))


def images_in_float64(*shape: int) -> torch.Tensor:
    x = torch.randn(shape, generator=make_rng(0)).double()
    return x.to(memory_format=torch.channels_last).requires_grad_(True)


@pytest.mark.parametrize("modulated", [False, True])
def test_norm_and_silu_in_one_are_those_of_torch(modulated: bool) -> None:
    layer, x = NormSiLU(6).double(), images_in_float64(3, 6, 4, 5)
    layer.weight.data.normal_(generator=make_rng(1))
    layer.bias.data.normal_(generator=make_rng(2))
    parts = torch.randn(2, 6, generator=make_rng(3)).double().requires_grad_(True)
    scale, shift = parts if modulated else (None, None)

    def plain() -> torch.Tensor:
        h = F.group_norm(x, 1, layer.weight, layer.bias)
        if scale is not None and shift is not None:
            h = h * (1 + scale[:, None, None]) + shift[:, None, None]
        return F.silu(h)

    of = [x, layer.weight, layer.bias, *([parts] if modulated else [])]
    assert_same_gradients(lambda: layer(x, scale, shift), plain, of=of)


def test_norm_and_silu_keep_nothing_between_them() -> None:
    layer, x = NormSiLU(6), torch.randn(3, 6, 4, 4, generator=make_rng(0)).requires_grad_(True)
    kept = {id(x)} | {id(p) for p in layer.parameters()}
    large: list[int] = []

    def note(t: torch.Tensor) -> torch.Tensor:
        if t.numel() == x.numel() and id(t) not in kept:
            large.append(t.numel())
        return t

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        layer(x)
        assert not large
        F.silu(F.group_norm(x, 1, layer.weight, layer.bias))
        assert large  # the norm, which torch's own pair keeps


@pytest.mark.parametrize("side", [1, 5])
def test_the_convolution_of_an_enlarged_image(side: int) -> None:
    layer, x = DoublingConv(4, 3).double(), images_in_float64(2, 4, side, 6)

    def plain() -> torch.Tensor:
        large = F.interpolate(x, scale_factor=2, mode="nearest")
        return F.conv2d(large, layer.weight, layer.bias, padding=1)

    of = [x, layer.weight, layer.bias]  # type: ignore[list-item]
    assert_same_gradients(lambda: layer(x), plain, of=of)


def test_a_linear_layer_reads_images_in_either_layout() -> None:
    layer, x = torch.nn.Linear(4 * 3 * 5, 2).double(), images_in_float64(6, 4, 3, 5)
    of = [x, layer.weight, layer.bias]
    assert_same_gradients(lambda: linear_of_image(layer, x), lambda: layer(x.flatten(1)), of=of)
    (grad,) = torch.autograd.grad(linear_of_image(layer, x).sum(), x)
    assert grad.is_contiguous(memory_format=torch.channels_last)
