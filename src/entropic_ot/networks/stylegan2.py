"""Generator of StyleGAN2 (Karras et al., arXiv 1912.04958) and StyleGAN2-ADA (arXiv 2006.06676).

z [batch, z_dim] -> mapping -> w [batch, w_dim] -> synthesis -> image [batch, channels, size, size],
about [-1, 1], not clipped. Modules are named as in the published networks, so that their parameters
fit as they are. Without labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import nn

from entropic_ot.distributed import Rows, randn
from entropic_ot.errors import ConfigError
from entropic_ot.networks.stylegan2_layers import (
    EPS,
    EqualConv,
    EqualLinear,
    activate,
    add_bias,
    convolve_up,
    modulated_convolution,
    upsample,
)
from entropic_ot.types import Points

Architecture = Literal["skip", "resnet", "orig"]
Noise = Literal["const", "random", "none"]


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Everything that the shape and the function of a generator depend on besides its weights."""

    channels: tuple[int, ...]
    """Channels at 4x4, 8x8, ...: one number for each resolution, the last is that of the image."""
    img_channels: int
    """Of the image: 1 or 3."""
    z_dim: int = 512
    """Dimension of the latent z ~ N(0, I)."""
    w_dim: int = 512
    """Dimension of the intermediate latent w."""
    mapping_layers: int = 8
    """Fully connected layers from z to w: 8, or 2 in StyleGAN2-ADA's small nets."""
    mapping_width: int = 512
    """Width of the hidden ones."""
    mapping_rate: float = 0.01
    """Their learning rate relative to that of other layers; it is also in their function."""
    architecture: Architecture = "skip"
    """skip: an image at each resolution, upsampled and added; resnet; orig: neither."""
    clamp: float | None = None
    """Activations stay within ± clamp; 256 in networks that were trained in float16."""

    def __post_init__(self) -> None:
        for name, found, valid, expected in (
            ("channels", self.channels, 2 <= len(self.channels) <= 9, "2 to 9 (8x8 to 1024x1024)"),
            ("img_channels", self.img_channels, self.img_channels in (1, 3), "1 or 3"),
            ("mapping_layers", self.mapping_layers, 1 <= self.mapping_layers <= 32, "1 to 32"),
            (
                "architecture",
                self.architecture,
                self.architecture in get_args(Architecture),
                "one of " + ", ".join(get_args(Architecture)),
            ),
        ):
            if not valid:
                raise ConfigError.about(
                    name, found=repr(found), expected=expected, action="Change it."
                )

    @property
    def resolution(self) -> int:
        """Height and width of the image."""
        return int(4 * 2 ** (len(self.channels) - 1))

    @property
    def num_ws(self) -> int:
        """How many layers take a w of their own; the last ToRGB has the last one."""
        return 2 * len(self.channels)


def channels_per_resolution(resolution: int, *, base: int, largest: int) -> tuple[int, ...]:
    """base / size, at most `largest`, for the sizes 4, 8, ... resolution (a power of two)."""
    if resolution < 4 or resolution & (resolution - 1):
        raise ConfigError.about(
            "resolution", found=str(resolution), expected="a power of two, 8 to 1024",
            action="Resize the images.",
        )  # fmt: skip
    return tuple(
        min(base // 2**level, largest) for level in range(2, int(math.log2(resolution)) + 1)
    )


class MappingNetwork(nn.Module):
    """z [batch, z_dim], scaled to mean square 1, -> w [batch, w_dim]. w_avg: the mean of w."""

    w_avg: torch.Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        hidden = [config.mapping_width] * (config.mapping_layers - 1)
        widths = [config.z_dim, *hidden, config.w_dim]
        for i in range(config.mapping_layers):
            layer = EqualLinear(widths[i], widths[i + 1], rate=config.mapping_rate)
            self.add_module(f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Points) -> Points:
        w = z * (z.square().mean(1, keepdim=True) + EPS).rsqrt()
        for layer in self.children():
            w = activate(layer(w))
        return w

    @torch.no_grad()
    def track_average(self, w: Points, *, decay: float) -> None:
        """w_avg <- decay w_avg + (1 - decay) mean of `w`: for the training of a generator."""
        self.w_avg.lerp_(w.mean(0).to(self.w_avg.dtype), 1 - decay)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU; `up` doubles the size."""

    noise_const: torch.Tensor

    def __init__(
        self, num_in: int, num_out: int, *, w_dim: int, size: int, up: bool, clamp: float | None
    ) -> None:
        super().__init__()
        self.up, self.clamp = up, clamp
        self.affine = EqualLinear(w_dim, num_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(num_out, num_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(num_out))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(size, size))

    def forward(
        self,
        x: torch.Tensor,
        w: Points,
        *,
        noise: Noise,
        rng: torch.Generator | None,
        rows: Rows | None = None,
        gain: float = 1.0,
    ) -> torch.Tensor:
        h = modulated_convolution(x, self.weight, self.affine(w), up=self.up)
        if noise == "const":
            h = h + (self.noise_const * self.noise_strength).to(h.dtype)
        elif noise == "random":
            assert rng is not None
            shape = (len(h), 1, *h.shape[2:])
            drawn = randn(shape, rows, rng=rng, device=h.device, dtype=self.weight.dtype)
            h = h + (drawn * self.noise_strength).to(h.dtype)
        return activate(add_bias(h, self.bias), gain=gain, clamp=self.clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the image's channels, without demodulation or activation."""

    def __init__(self, num_in: int, num_out: int, *, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = EqualLinear(w_dim, num_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(num_out, num_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(num_out))
        self.gain = 1 / math.sqrt(num_in)

    def forward(self, x: torch.Tensor, w: Points) -> torch.Tensor:
        styles = self.affine(w) * self.gain
        h = add_bias(modulated_convolution(x, self.weight, styles, demodulate=False), self.bias)
        h = h if self.clamp is None else h.clamp(-self.clamp, self.clamp)
        return h.to(self.weight.dtype)


class SynthesisBlock(nn.Module):
    """The layers at one resolution. The first, at 4x4, starts from a constant."""

    def __init__(self, config: GeneratorConfig, level: int) -> None:
        super().__init__()
        last = level == len(config.channels) - 1
        size, num_out, w_dim = 4 * 2**level, config.channels[level], config.w_dim
        clamp = config.clamp
        self.architecture = config.architecture
        self.const: nn.Parameter | None = None
        self.conv0: StyledConv | None = None
        self.skip: EqualConv | None = None
        self.torgb: ToRGB | None = None
        if level == 0:
            self.const = nn.Parameter(torch.randn(num_out, 4, 4))
        else:
            num_in = config.channels[level - 1]
            self.conv0 = StyledConv(num_in, num_out, w_dim=w_dim, size=size, up=True, clamp=clamp)
            if config.architecture == "resnet":
                self.skip = EqualConv(num_in, num_out, 1, bias=False)
        self.conv1 = StyledConv(num_out, num_out, w_dim=w_dim, size=size, up=False, clamp=clamp)
        if last or config.architecture == "skip":
            self.torgb = ToRGB(num_out, config.img_channels, w_dim=w_dim, clamp=clamp)

    def forward(
        self,
        x: torch.Tensor | None,
        image: torch.Tensor | None,
        ws: list[Points],
        *,
        noise: Noise,
        rng: torch.Generator | None,
        rows: Rows | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(features, image) at this resolution; `ws` is a w for each convolution and the ToRGB."""
        if x is None or self.conv0 is None:
            assert self.const is not None
            h = self.const.expand(len(ws[0]), -1, -1, -1)
            h = h.contiguous(memory_format=torch.channels_last)
            h = self.conv1(h, ws[0], noise=noise, rng=rng, rows=rows)
        else:
            gain = 1.0 if self.skip is None else math.sqrt(0.5)
            h = self.conv0(x, ws[0], noise=noise, rng=rng, rows=rows)
            h = self.conv1(h, ws[1], noise=noise, rng=rng, rows=rows, gain=gain)
            if self.skip is not None:
                h = h + gain * self.skip(x, convolve_up)
        if image is not None:
            image = upsample(image)
        if self.torgb is not None:
            colours = self.torgb(h, ws[-1])
            image = colours if image is None else image.to(colours.dtype) + colours
        return h, image


class SynthesisNetwork(nn.Module):
    """ws [batch, num_ws, w_dim] -> image [batch, img_channels, resolution, resolution]."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        for level in range(len(config.channels)):
            self.add_module(f"b{4 * 2**level}", SynthesisBlock(config, level))

    def forward(
        self,
        ws: torch.Tensor,
        *,
        noise: Noise = "const",
        rng: torch.Generator | None = None,
        rows: Rows | None = None,
    ) -> Points:
        x = image = None
        each = list(ws.unbind(1))
        for level, block in enumerate(self.children()):
            # A ToRGB shares its w with the first convolution of the next block.
            own = each[:2] if level == 0 else each[2 * level - 1 : 2 * level + 2]
            x, image = block(x, image, own, noise=noise, rng=rng, rows=rows)
        assert image is not None
        return cast("torch.Tensor", image)


class Generator(nn.Module):
    """z [batch, z_dim] -> image [batch, img_channels, resolution, resolution]."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)

    def forward(
        self,
        z: Points,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise: Noise = "const",
        rng: torch.Generator | None = None,
    ) -> Points:
        """The image of z.

        Args:
            z: [batch, z_dim].
            truncation_psi: w is moved to w_avg + psi (w - w_avg).
            truncation_cutoff: only for so many first layers; None: all.
            noise: const: the stored noise, so that the image is a function of z; random: drawn
                with `rng`; none.
            rng: for random noise.
        """
        if (noise == "random") != (rng is not None) or noise not in get_args(Noise):
            raise ConfigError.about(
                "noise", found=f"{noise!r} {'without' if rng is None else 'with'} an rng",
                expected="'random' with an rng, 'const' or 'none' without",
                action="Change one of the two.",
            )  # fmt: skip
        ws = self.mapping(z)[:, None].expand(-1, self.config.num_ws, -1)
        if truncation_psi != 1:
            cutoff = self.config.num_ws if truncation_cutoff is None else truncation_cutoff
            average = self.mapping.w_avg.to(ws.dtype)
            moved = average + truncation_psi * (ws[:, :cutoff] - average)
            ws = torch.cat([moved, ws[:, cutoff:]], dim=1)
        return cast("torch.Tensor", self.synthesis(ws, noise=noise, rng=rng))
