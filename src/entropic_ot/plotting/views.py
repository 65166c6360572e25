"""Samples of any shape as something to look at: points in a plane, or images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from entropic_ot.plotting.planar import Limits, limits_around, thin
from entropic_ot.plotting.plans import Samples
from entropic_ot.plotting.style import Array

NUM_FOR_COMPONENTS = 1000
"""At most so many points of the target decide on the principal components."""
NUM_LINES = 12
"""Of the samples joined to their input."""
SHOWN = ("x", "y", "target", "conditional_x", "conditional_y")


@dataclass(frozen=True)
class PlaneView:
    """Points of any shape, flattened and projected to two axes."""

    content: ClassVar[str] = "conditional plans"
    shape: tuple[int, ...]
    origin: Array
    axes: Array
    """[2, D], orthonormal rows."""
    labels: tuple[str, str]
    limits: Limits

    def project(self, points: Array) -> Array:
        """[*batch, *shape] to [*batch, 2]."""
        return _project(points, self.shape, self.origin, self.axes)

    def of(self, samples: Samples) -> dict[str, Array]:
        """The arrays in the plane, with NUM_LINES samples for each conditional_x."""
        out = {name: self.project(samples[name]) for name in SHOWN}
        return out | {"conditional_y": out["conditional_y"][:, :NUM_LINES]}


@dataclass(frozen=True)
class ImageView:
    """Images [channels, H, W] whose values are stretched to [-1, 1]."""

    content: ClassVar[str] = "images"
    low: float
    """Becomes -1: the smallest value of the target."""
    high: float
    """Becomes 1: the largest."""
    labels: tuple[str, str] = ("", "")
    limits: None = None

    def of(self, samples: Samples) -> dict[str, Array]:
        """A few of the images. Inputs are conditional_x, since files of images are large."""
        x, y, target = (samples[n] for n in ("conditional_x", "conditional_y", "target"))
        shown = {"x": x, "target": target[: len(x)], "conditional_x": x, "conditional_y": y}
        scale = 2 / max(self.high - self.low, 1e-6)
        return {name: (images - self.low) * scale - 1 for name, images in shown.items()}


def view_of(samples: Samples) -> PlaneView | ImageView:
    """How to look at samples: images of one or three channels as such, all else in a plane.

    The plane is that of the first two coordinates, or, where there are more, of the target's
    first two principal components.
    """
    target = samples["target"]
    if target.ndim == 4 and target.shape[1] in (1, 3):
        return ImageView(float(target.min()), float(target.max()))
    return plane_view(samples["x"], target)


def plane_view(x: Array, target: Array) -> PlaneView:
    """The plane for source and target points [n, *shape]; one coordinate makes a line."""
    shape = target.shape[1:]
    shown = thin(target, NUM_FOR_COMPONENTS)
    points: Array = shown.reshape(len(shown), -1).astype(np.float64)
    dim = points.shape[1]
    origin, axes = np.zeros(dim), np.eye(2, dim)
    labels = ("coordinate 1", "coordinate 2" if dim == 2 else "")
    if dim > 2:
        origin = points.mean(axis=0)
        axes, shares = _principal_axes(points - origin)
        labels = (_component_label(1, shares[0]), _component_label(2, shares[1]))
    both = (_project(p, shape, origin, axes) for p in (x, target))
    return PlaneView(shape, origin, axes, labels, limits_around(*both))


def _component_label(number: int, share: float) -> str:
    return f"PC {number} of the target ({share:.0%})"


def _principal_axes(centred: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two directions [2, D] and their shares of the variance; zeros where there are fewer.

    Signs are such that the largest entry is positive.
    """
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    axes, shares = np.zeros((2, centred.shape[1])), np.zeros(2)
    for n, direction in enumerate(directions[:2]):
        axes[n] = direction * np.sign(direction[np.argmax(np.abs(direction))])
        shares[n] = sizes[n] ** 2 / max((sizes**2).sum(), 1e-12)
    return axes, shares


def _project(points: Array, shape: tuple[int, ...], origin: Array, axes: Array) -> Array:
    batch = points.shape[: points.ndim - len(shape)]
    flat = np.asarray(points, dtype=np.float64).reshape(*batch, len(origin))
    return (flat - origin) @ axes.T
