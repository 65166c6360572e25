"""StyleGAN2: shapes, what it is a function of, noise, truncation, precision, what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from entropic_ot.device import make_rng
from entropic_ot.errors import ConfigError
from entropic_ot.networks.stylegan2 import (
    Architecture,
    Generator,
    GeneratorConfig,
    channels_per_resolution,
)
from entropic_ot.networks.stylegan2_discriminator import Discriminator


def config(resolution: int = 32, **changed: Any) -> GeneratorConfig:
    given: dict[str, Any] = {
        "channels": channels_per_resolution(resolution, base=256, largest=16),
        "img_channels": 3, "z_dim": 8, "w_dim": 8, "mapping_width": 8, "mapping_layers": 2,
    }  # fmt: skip
    return GeneratorConfig(**(given | changed))


def generator(resolution: int = 32, **changed: Any) -> Generator:
    torch.manual_seed(0)
    net = Generator(config(resolution, **changed))
    for name, parameter in net.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.5)
    return net


def latents(n: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 8, generator=make_rng(seed))


@pytest.mark.parametrize("resolution", [32, 64])
@pytest.mark.parametrize("img_channels", [1, 3])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_images_and_logits_have_their_shapes(
    resolution: int, img_channels: int, architecture: Architecture
) -> None:
    net = generator(resolution, img_channels=img_channels, architecture=architecture)
    image = net(latents())
    assert image.shape == (4, img_channels, resolution, resolution)
    assert image.dtype == torch.float32 and image.isfinite().all()
    judge = Discriminator(channels=net.config.channels, img_channels=img_channels)
    assert judge(image).shape == (4,)


@pytest.mark.parametrize("resolution", [32, 1024])
def test_the_published_sizes_have_the_published_counts(resolution: int) -> None:
    """1024x1024: 18 w's and 30.37 million parameters (table 1 of StyleGAN2 says 30M)."""
    channels = channels_per_resolution(resolution, base=32768, largest=512)
    with torch.device("meta"):
        net = Generator(GeneratorConfig(channels=channels, img_channels=3))
    assert net.config.resolution == resolution
    assert net.config.num_ws == {32: 8, 1024: 18}[resolution]
    if resolution == 1024:
        assert channels == (512, 512, 512, 512, 512, 256, 128, 64, 32)
        assert sum(p.numel() for p in net.parameters()) == pytest.approx(30.37e6, rel=1e-3)


def test_with_constant_noise_an_image_is_a_function_of_its_z_alone() -> None:
    net, z = generator(), latents()
    torch.manual_seed(1)
    first = net(z)
    torch.manual_seed(2)
    assert torch.equal(first, net(z))
    # Convolutions of another batch size add up in another order: float32 rounding.
    torch.testing.assert_close(net(z[2:3]), first[2:3], rtol=1e-4, atol=1e-5)


def test_random_noise_follows_its_rng_and_none_is_without() -> None:
    net, z = generator(), latents()
    images = [net(z, noise="random", rng=make_rng(seed)) for seed in (1, 1, 2)]
    assert torch.equal(images[0], images[1]) and not torch.equal(images[0], images[2])
    silent = net(z, noise="none")
    assert not torch.equal(silent, net(z))
    for name, parameter in net.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.zero_()
    assert torch.equal(silent, net(z))


def test_truncation_moves_w_to_its_mean() -> None:
    net = generator()
    mean = net.mapping(latents(1000, seed=5)).mean(0).detach()
    net.mapping.track_average(net.mapping(latents(1000, seed=5)), decay=0)
    torch.testing.assert_close(net.mapping.w_avg, mean)
    images = net(latents(), truncation_psi=0)
    # The same w for all; only the place in the batch differs, which is float32 rounding.
    torch.testing.assert_close(images, images[:1].expand_as(images), rtol=1e-4, atol=1e-5)
    ws = net.mapping(latents())[:, None].repeat(1, net.config.num_ws, 1)
    ws[:, :3] = mean + 0.6 * (ws[:, :3] - mean)
    found = net(latents(), truncation_psi=0.6, truncation_cutoff=3)
    torch.testing.assert_close(found, net.synthesis(ws), rtol=1e-4, atol=1e-5)


def test_using_a_generator_does_not_change_it() -> None:
    net = generator()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(latents(), truncation_psi=0.5).sum().backward()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_the_layout_is_channels_last_and_bfloat16_is_near() -> None:
    net = generator().to(memory_format=torch.channels_last)
    layouts = []
    for name, module in net.synthesis.named_modules():
        if name.endswith("conv1"):
            module.register_forward_hook(
                lambda m, i, out: layouts.append(
                    out.is_contiguous(memory_format=torch.channels_last)
                )
            )
    exact = net(latents()).detach()
    assert layouts == [True] * 4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image = net(latents()).detach()
    assert image.dtype == torch.float32
    # 2^-9 a rounding, some ten roundings that add up as random signs: 1 % of the image's size.
    assert 0 < float((image - exact).std() / exact.std()) < 0.03


def test_under_autocast_the_mapping_and_its_gradient_are_those_of_float32() -> None:
    net, z = generator(64, mapping_layers=8), latents().requires_grad_()
    x = torch.rand(4, 3, 64, 64, generator=make_rng(1))

    def gradients() -> tuple[torch.Tensor, torch.Tensor]:
        """Of the cost, and of the squared length of that gradient."""
        (first,) = torch.autograd.grad((x - net(z)).square().sum() / 2, z, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), z)
        return first.detach(), second

    exact, w = gradients(), net.mapping(z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(net.mapping(z), w)
        found = gradients()
    # 2^-9 a rounding, some twenty of them; the second derivative is a sum with cancellation.
    for got, expected, bound in zip(found, exact, (0.04, 0.15), strict=True):
        assert 0 < float((got - expected).norm() / expected.norm()) < bound
    again = gradients()
    assert all(torch.equal(a, b) for a, b in zip(again, exact, strict=True))


def test_the_clamp_bounds_the_activations() -> None:
    loose, tight = generator(), generator(clamp=0.5)
    assert float(loose(latents()).detach().abs().max()) > 2
    # Four resolutions add an image within ± 0.5 each, and the blur does not enlarge it.
    assert float(tight(latents()).detach().abs().max()) <= 0.5 * 4 + 1e-5


def test_the_discriminator_sees_the_group() -> None:
    torch.manual_seed(0)
    alone = Discriminator(channels=(8, 8, 8), img_channels=3, group_size=1)
    grouped = Discriminator(channels=(8, 8, 8), img_channels=3, group_size=4)
    images = torch.randn(4, 3, 16, 16, generator=make_rng(0))
    other = images.clone()
    other[1:] *= 2
    torch.testing.assert_close(alone(images)[0], alone(other)[0], rtol=1e-4, atol=1e-5)
    assert abs(float((grouped(images)[0] - grouped(other)[0]).detach())) > 1e-3
    with pytest.raises(ConfigError, match="group_size: found 4 for a batch of 6"):
        grouped(torch.zeros(6, 3, 16, 16))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"channels": (4,)}, "channels: found"),
        ({"img_channels": 4}, "img_channels: found 4"),
        ({"mapping_layers": 0}, "mapping_layers: found 0"),
        ({"architecture": "skips"}, "architecture: found 'skips'; expected one of skip, resnet"),
    ],
)
def test_a_config_that_does_not_fit_is_named(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        config(**changed)


def test_a_size_or_a_noise_that_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError, match="resolution: found 48"):
        channels_per_resolution(48, base=256, largest=16)
    net = generator()
    with pytest.raises(ConfigError, match="noise: found 'random' without an rng"):
        net(latents(), noise="random")
    with pytest.raises(ConfigError, match="noise: found 'const' with an rng"):
        net(latents(), rng=make_rng(0))
