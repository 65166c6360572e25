"""Drift and potential networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropic_ot.errors import ConfigError
from entropic_ot.networks.config import NetworkConfig

if TYPE_CHECKING:
    from torch import nn


def build_drift(config: NetworkConfig, shape: tuple[int, ...]) -> nn.Module:
    """The drift network for points of this shape; ConfigError when kind and shape do not fit."""
    from entropic_ot.networks.mlp import MLPDrift
    from entropic_ot.networks.unet import UNetDrift

    if config.kind == "mlp" and len(shape) == 1:
        return MLPDrift(shape[0], width=config.width, depth=config.depth)
    if config.kind == "unet" and len(shape) == 3:
        _check_side(config, shape)
        return UNetDrift(shape, width=config.width, depth=config.depth, patch=config.patch)
    raise _misfit("drift", config, shape, vectors="mlp", images="unet")


def build_potential(config: NetworkConfig, shape: tuple[int, ...]) -> nn.Module:
    """The potential network for points of this shape; ConfigError when they do not fit."""
    from entropic_ot.networks.mlp import MLPPotential
    from entropic_ot.networks.resnet_potential import ConvPotential, ResNetPotential

    if config.kind == "mlp" and len(shape) == 1:
        return MLPPotential(shape[0], width=config.width, depth=config.depth)
    kinds = {"resnet": ResNetPotential, "conv": ConvPotential}
    if config.kind in kinds and len(shape) == 3:
        _check_side(config, shape)
        return kinds[config.kind](shape, width=config.width, depth=config.depth, patch=config.patch)
    raise _misfit("potential", config, shape, vectors="mlp", images="resnet or conv")


def _check_side(config: NetworkConfig, shape: tuple[int, ...]) -> None:
    factor = config.patch * 2 ** (config.depth - 1)
    if shape[1] % factor or shape[2] % factor:
        raise ConfigError(
            f"network {config.kind}: found images of {shape[1]}x{shape[2]}, expected sides "
            f"divisible by patch * 2^(depth - 1) = {factor}. Lower depth or patch."
        )


def _misfit(
    role: str, config: NetworkConfig, shape: tuple[int, ...], *, vectors: str, images: str
) -> ConfigError:
    return ConfigError(
        f"{role}: found kind {config.kind!r} for points of shape {shape}, expected "
        f"{vectors} for vectors [dim] or {images} for images [channels, height, width]"
    )
