"""Drift and potential networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropic_ot.errors import ConfigError
from entropic_ot.networks.config import NetworkConfig, check_kind

if TYPE_CHECKING:
    from torch import nn


def build_drift(config: NetworkConfig, shape: tuple[int, ...]) -> nn.Module:
    """The drift network for points of this shape; ConfigError when kind and shape do not fit."""
    from entropic_ot.networks.mlp import LinearMLPDrift, MLPDrift
    from entropic_ot.networks.unet import UNetDrift

    check_kind("drift", config, len(shape))
    if len(shape) == 1:
        vectors = {"mlp": MLPDrift, "quadratic_mlp": LinearMLPDrift}
        return vectors[config.kind](shape[0], width=config.width, depth=config.depth)
    _check_side(config, shape)
    return UNetDrift(shape, width=config.width, depth=config.depth, patch=config.patch)


def build_potential(config: NetworkConfig, shape: tuple[int, ...]) -> nn.Module:
    """The potential network for points of this shape; ConfigError when they do not fit."""
    from entropic_ot.networks.mlp import MLPPotential, QuadraticMLPPotential
    from entropic_ot.networks.resnet_potential import (
        ConvPotential,
        LocalPotential,
        ResNetPotential,
    )

    check_kind("potential", config, len(shape))
    if len(shape) == 1:
        vectors = {"mlp": MLPPotential, "quadratic_mlp": QuadraticMLPPotential}
        return vectors[config.kind](shape[0], width=config.width, depth=config.depth)
    _check_side(config, shape)
    kinds = {"resnet": ResNetPotential, "conv": ConvPotential, "local": LocalPotential}
    return kinds[config.kind](shape, width=config.width, depth=config.depth, patch=config.patch)


def _check_side(config: NetworkConfig, shape: tuple[int, ...]) -> None:
    factor = config.patch * 2 ** (config.depth - 1)
    if shape[1] % factor or shape[2] % factor:
        raise ConfigError(
            f"network {config.kind}: found images of {shape[1]}x{shape[2]}, expected sides "
            f"divisible by patch * 2^(depth - 1) = {factor}. Lower depth or patch."
        )
