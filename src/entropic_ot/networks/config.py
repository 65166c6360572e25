"""The settings of a network, as they stand in params.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from entropic_ot.errors import ConfigError
from entropic_ot.strict import at_least


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """One network; which kinds fit where is checked by `networks.build`."""

    kind: Literal["mlp", "quadratic_mlp", "unet", "resnet", "conv", "local"]
    """mlp for vectors, quadratic_mlp with a quadratic form (potential) or a linear map of x (drift)
    added; unet (drift) and resnet, conv or local (potential) for images: local sees textures alone,
    for which few images suffice."""
    width: int
    """Units of a hidden layer (mlp) or channels at the finest resolution."""
    depth: int
    """Hidden layers (mlp) or number of resolutions."""
    patch: int = 1
    """Images are folded by this factor first: [c, h, w] -> [c patch^2, h / patch, w / patch]."""

    def __post_init__(self) -> None:
        at_least(1, self, "width", "depth", "patch")


KINDS: dict[tuple[str, int], tuple[str, ...]] = {
    ("drift", 1): ("mlp", "quadratic_mlp"),
    ("potential", 1): ("mlp", "quadratic_mlp"),
    ("drift", 3): ("unet",),
    ("potential", 3): ("resnet", "conv", "local"),
}
"""The kinds of network by their role and the number of axes of a point (vector 1, image 3)."""


def check_kind(role: Literal["drift", "potential"], config: NetworkConfig, num_axes: int) -> None:
    """ConfigError when the kind of a drift or potential does not suit points of so many axes."""
    known = KINDS.get((role, num_axes), ())
    if config.kind not in known:
        points = {1: "vectors [dim]", 3: "images [channels, height, width]"}
        raise ConfigError(
            f"{role}: found kind {config.kind!r} for "
            f"{points.get(num_axes, f'points with {num_axes} axes')}, expected "
            f"{' or '.join(known) or 'vectors or images'}"
        )
