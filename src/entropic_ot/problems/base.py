"""What a solver is given (EOTProblem) and what a test may know besides (ClosedFormPlan)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from entropic_ot.costs import Cost, HalfSquaredEuclidean
from entropic_ot.errors import DataError
from entropic_ot.pixels import from_bytes
from entropic_ot.types import PerPoint, Points


@runtime_checkable
class Distribution(Protocol):
    """Something that can be sampled; `shape` is the shape of one point."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def sample(self, n: int, *, rng: torch.Generator) -> Points:
        """n independent points [n, *shape], float32, on the device of `rng`."""
        ...


@runtime_checkable
class FiniteDistribution(Distribution, Protocol):
    """A distribution given by finitely many points, which persistent chains can be attached to."""

    def __len__(self) -> int: ...

    def at(self, indices: torch.Tensor) -> Points:
        """The points with these indices [n] -> [n, *shape]."""
        ...


@dataclass(frozen=True)
class Moments:
    """Means [..., D] and covariances [..., D, D], float64."""

    mean: torch.Tensor
    covariance: torch.Tensor


class ClosedFormPlan(Protocol):
    """The exact plan of a problem: for tests and metrics, never for solvers."""

    @property
    def target_moments(self) -> Moments:
        """Of Y: [D] and [D, D]."""
        ...

    def potential(self, y: Points) -> PerPoint: ...

    def drift(self, t: float, x: Points) -> Points: ...

    def sample_conditional(self, x: Points, *, rng: torch.Generator) -> Points: ...

    def conditional_moments(self, x: Points) -> Moments:
        """Of Y given each row of x [n, D]: [n, D] and [n, D, D]."""
        ...


@dataclass(frozen=True)
class EOTProblem:
    """Entropic optimal transport: min over plans of E c(X, Y) - epsilon H(Y | X).

    The optimal plan is pi*(y | x) proportional to exp((g(y) - c(x, y)) / epsilon) with one
    potential g (docs/conventions.md, equation 1). `epsilon = 0` is plain optimal transport.
    """

    source: Distribution
    target: Distribution
    epsilon: float
    cost: Cost = field(default_factory=HalfSquaredEuclidean)

    def __post_init__(self) -> None:
        if not self.epsilon >= 0:
            raise DataError(f"epsilon: found {self.epsilon!r}, expected a number >= 0")

    @classmethod
    def from_arrays(cls, source: np.ndarray, target: np.ndarray, *, epsilon: float) -> EOTProblem:
        """The problem between two samples [n, *dim] and [m, *dim], arrays of numpy or lists."""
        source, target = np.asarray(source), np.asarray(target)
        if source.shape[1:] != target.shape[1:]:
            raise DataError(
                f"from_arrays: found points of shape {source.shape[1:]} in the source and "
                f"{target.shape[1:]} in the target, expected the same. Pass one row per point."
            )
        if (source.dtype == np.uint8) != (target.dtype == np.uint8):
            raise DataError(
                f"from_arrays: found {source.dtype} and {target.dtype} values, expected uint8 on "
                "both sides or floats on both, as uint8 stands for [-1, 1]. Convert the uint8 side "
                "by x / 127.5 - 1."
            )
        for name, array in (("source", source), ("target", target)):
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                raise DataError(
                    f"from_arrays: {name}: found {len(bad)} values that are not finite, the first "
                    f"at {bad[0].tolist()}, expected finite numbers. Remove or repair these rows."
                )
        return cls(ArrayDistribution(source), ArrayDistribution(target), epsilon)


class ArrayDistribution:
    """The empirical distribution of the rows of an array.

    uint8 arrays are images: values 0..255 are read as [-1, 1]. Rows are drawn with replacement.
    Of a memory-mapped array a CPU reads only the rows that are asked for; a GPU holds all of it.
    """

    def __init__(self, array: np.ndarray, *, name: str = "array") -> None:
        if array.ndim < 2 or len(array) == 0:
            raise DataError(
                f"{name}: found shape {array.shape}, expected [n, features] or "
                "[n, channels, height, width] with n > 0. Pass one row per point."
            )
        self._array = array
        self._resident: torch.Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._array.shape[1:])

    def __len__(self) -> int:
        return len(self._array)

    def at(self, indices: torch.Tensor) -> Points:
        """Rows `indices` [n] (any order) as float32 on the device of `indices`."""
        if indices.device.type == "cpu" and isinstance(self._array, np.memmap):
            rows = torch.from_numpy(np.asarray(self._array[indices.numpy()]))
        else:
            if self._resident is None or self._resident.device != indices.device:
                self._resident = torch.from_numpy(np.array(self._array)).to(indices.device)
            rows = self._resident[indices]
        return from_bytes(rows)

    def sample(self, n: int, *, rng: torch.Generator) -> Points:
        return self.at(torch.randint(len(self), (n,), generator=rng, device=rng.device))
