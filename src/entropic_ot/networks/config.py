"""The settings of a network, as they stand in params.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from entropic_ot.strict import at_least


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """One network; which kinds fit where is checked by `networks.build`."""

    kind: Literal["mlp", "unet", "resnet", "conv"]
    """mlp for vectors; unet (drift) and resnet or conv (potential) for images."""
    width: int
    """Units of a hidden layer (mlp) or channels at the finest resolution."""
    depth: int
    """Hidden layers (mlp) or number of resolutions."""
    patch: int = 1
    """Images are folded by this factor first: [c, h, w] -> [c patch^2, h / patch, w / patch]."""

    def __post_init__(self) -> None:
        at_least(1, self, "width", "depth", "patch")
