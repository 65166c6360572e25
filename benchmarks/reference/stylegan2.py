"""The generator of StyleGAN2 (arXiv 1912.04958, figure 2c and equations 1 and 3) as it is drawn.

Every sample has convolution weights of its own, the zeros between the pixels of a larger image are
written out, and every parameter of the network asks for its gradient. The project's names of the
weights; architecture `skip`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from entropic_ot.networks.stylegan2 import GeneratorConfig


class ReferenceGenerator:
    """z [batch, z_dim] -> images [batch, channels, size, size]."""

    def __init__(self, config: GeneratorConfig, state: dict[str, Tensor]) -> None:
        self.config = config
        self.state = {name: value.clone().requires_grad_() for name, value in state.items()}

    def __call__(self, z: Tensor) -> Tensor:
        w = z / (z**2).mean(1, keepdim=True).add(1e-8).sqrt()
        for i in range(self.config.mapping_layers):
            w = leaky(self.linear(f"mapping.fc{i}", w, rate=self.config.mapping_rate))
        x = self.state["synthesis.b4.const"].repeat(len(z), 1, 1, 1)
        x = self.layer("synthesis.b4.conv1", x, w)
        image = self.colours("synthesis.b4.torgb", x, w)
        for level in range(1, len(self.config.channels)):
            block = f"synthesis.b{4 * 2**level}"
            x = self.layer(f"{block}.conv0", x, w, up=True)
            x = self.layer(f"{block}.conv1", x, w)
            image = blurred(spread(image), before=2, after=1)
            image = image + self.colours(f"{block}.torgb", x, w)
        return image

    def linear(self, name: str, x: Tensor, *, rate: float = 1.0) -> Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return x @ (weight * rate / x.shape[1] ** 0.5).t() + rate * bias

    def layer(self, name: str, x: Tensor, w: Tensor, *, up: bool = False) -> Tensor:
        styles = self.linear(f"{name}.affine", w)
        weight = self.state[f"{name}.weight"] * styles[:, None, :, None, None]
        weight = weight / (weight**2).sum((2, 3, 4), keepdim=True).add(1e-8).sqrt()
        if up:
            x = each_its_own(spread(x), weight.flip(3, 4), padding=2)
            x = blurred(x, before=1, after=0)
        else:
            x = each_its_own(x, weight, padding=1)
        x = x + self.state[f"{name}.noise_const"] * self.state[f"{name}.noise_strength"]
        x = x + self.state[f"{name}.bias"][:, None, None]
        return clamped(leaky(x), self.config)

    def colours(self, name: str, x: Tensor, w: Tensor) -> Tensor:
        styles = self.linear(f"{name}.affine", w) / x.shape[1] ** 0.5
        weight = self.state[f"{name}.weight"] * styles[:, None, :, None, None]
        image = each_its_own(x, weight, padding=0) + self.state[f"{name}.bias"][:, None, None]
        return clamped(image, self.config)


def leaky(x: Tensor) -> Tensor:
    """sqrt(2) times the leaky ReLU of slope 0.2."""
    return 2**0.5 * F.leaky_relu(x, 0.2)


def clamped(x: Tensor, config: GeneratorConfig) -> Tensor:
    """Within plus and minus config.clamp."""
    return x if config.clamp is None else x.clamp(-config.clamp, config.clamp)


def each_its_own(x: Tensor, weight: Tensor, *, padding: int) -> Tensor:
    """Correlation of sample i with weight[i], [out, in, k, k], as one of many groups."""
    batch, num_out = weight.shape[:2]
    joined = x.reshape(1, -1, *x.shape[2:])
    h = F.conv2d(joined, weight.flatten(0, 1), padding=padding, groups=batch)
    return h.reshape(batch, num_out, *h.shape[2:])


def spread(x: Tensor) -> Tensor:
    """A zero behind every pixel, in both directions."""
    h = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype, device=x.device)
    h[:, :, ::2, ::2] = x
    return h


def blurred(x: Tensor, *, before: int, after: int) -> Tensor:
    """4 times the outer product of (1, 3, 3, 1)/8, with so many zeros at the borders."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device) / 4
    kernel = torch.outer(row, row).repeat(x.shape[1], 1, 1, 1)
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, kernel, groups=x.shape[1])
