"""The case of a gradient through a StyleGAN2 generator: the cost of every latent problem."""

from __future__ import annotations

import torch
from torch import Tensor

from bench_config import PARAMS, LatentCase
from entropic_ot.device import choose_precision, make_rng
from entropic_ot.experiments.params import load_params
from entropic_ot.networks.stylegan2 import Generator, GeneratorConfig, channels_per_resolution
from entropic_ot.solvers.config import Precision
from reference.stylegan2 import ReferenceGenerator


def generator_config(case: LatentCase) -> GeneratorConfig:
    """As the published networks of this size: architecture skip, activations within 256."""
    channels = channels_per_resolution(
        case.image_size, base=case.channel_base, largest=case.channel_max
    )
    return GeneratorConfig(
        channels=channels,
        img_channels=3,
        z_dim=case.latent_dim,
        w_dim=case.latent_dim,
        mapping_layers=case.mapping_layers,
        mapping_width=case.latent_dim,
        clamp=256.0,
    )


def random_state(net: Generator, *, seed: int) -> dict[str, Tensor]:
    """Weights as at the start of a training; biases and noise strengths, then zero, are not."""
    rng = make_rng(seed)
    state = {}
    for name, value in net.state_dict().items():
        drawn = torch.randn(value.shape, generator=rng)
        if name.endswith("affine.bias"):
            drawn = 1 + 0.1 * drawn
        elif name.endswith(("bias", "noise_strength")):
            drawn = 0.1 * drawn
        elif name.startswith("mapping.fc"):
            drawn = drawn / net.config.mapping_rate
        state[name] = drawn
    return state


class LatentWorkload:
    """The gradient in z of 1/2 |x - G(z)|^2.

    The reference computes in float32; the other side at the precision of params.yaml.
    """

    def __init__(
        self,
        case: LatentCase,
        *,
        fast: bool,
        device: torch.device,
        precision: Precision | None = None,
    ) -> None:
        self.config, self.fast, self.device = generator_config(case), fast, device
        asked = load_params(PARAMS).runs[0].config.compute.precision
        self.precision = precision or choose_precision(asked, device)
        with torch.device("meta"):
            net = Generator(self.config)
        state = {name: value.to(device) for name, value in random_state(net, seed=4).items()}
        if fast:
            net.load_state_dict(state, assign=True)
            net.requires_grad_(False)
        self.net = net if fast else ReferenceGenerator(self.config, state)
        rng, n, size = make_rng(5), case.batch_size, case.image_size
        self.z = torch.randn(n, case.latent_dim, generator=rng).to(device)
        self.x = (2 * torch.rand(n, 3, size, size, generator=rng) - 1).to(device)

    def run(self) -> None:
        self.gradient()

    def gradient(self) -> Tensor:
        """[batch, latent_dim]."""
        z = self.z.clone().requires_grad_()
        reduced = self.fast and self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            image = self.net(z)
        cost = (self.x - image).square().sum() / 2
        if self.fast:
            return torch.autograd.grad(cost, z)[0]
        cost.backward()
        assert z.grad is not None
        return z.grad

    def first(self) -> dict[str, Tensor]:
        """The gradient."""
        return {"z": self.gradient()}
