"""Means and covariances of more samples than are kept: accumulated while they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch

from entropic_ot import distributed
from entropic_ot.progress import Progress
from entropic_ot.types import Points


class Sampler(Protocol):
    """One y for each row of x: `sample` of a solver, `sample_conditional` of an exact plan."""

    def __call__(self, x: Points, *, rng: torch.Generator) -> Points: ...


class RunningMoments:
    """Mean [..., D] and covariance [..., D, D] of batches of points [..., n, D], in float64.

    Batches are merged as in Chan, Golub and LeVeque (1983): no difference of large numbers.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self._scatter = torch.zeros(())

    def update(self, points: torch.Tensor) -> None:
        points, count = points.detach().double(), points.shape[-2]
        mean = points.mean(-2)
        centred = points - mean[..., None, :]
        scatter = centred.mT @ centred
        if self.count == 0:
            self.count, self.mean, self._scatter = count, mean, scatter
            return
        total, shift = self.count + count, mean - self.mean
        outer = shift[..., :, None] * shift[..., None, :]
        self._scatter = self._scatter + scatter + outer * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    @property
    def covariance(self) -> torch.Tensor:
        """With n - 1; needs two points."""
        return self._scatter / (self.count - 1)


def conditional_moments(
    sample: Sampler,
    x: Points,
    *,
    num_per_source: int,
    batch_size: int,
    rng: torch.Generator,
    label: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean [m, D] and covariance [m, D, D] (float32) of `num_per_source` samples for each row of x.

    No more than `batch_size` samples exist at once.
    """
    at_once = max(1, batch_size // num_per_source)
    means, covariances = [], []
    progress = Progress(label, len(x), show=distributed.shown())
    for group in x.split(at_once):
        moments, left = RunningMoments(), num_per_source
        while left:
            count = min(left, batch_size)
            y = sample(group.repeat_interleave(count, dim=0), rng=rng)
            moments.update(y.reshape(len(group), count, -1))
            left -= count
        means.append(moments.mean.float().cpu())
        covariances.append(moments.covariance.float().cpu())
        progress.update(sum(map(len, means)))
    return torch.cat(means).numpy(), torch.cat(covariances).numpy()


class PathMoments:
    """Moments of X_t at chosen times, from states that are seen once and not kept."""

    def __init__(self, times: Sequence[float]) -> None:
        self.times = list(times)
        self.moments = [RunningMoments() for _ in self.times]

    def arrays(self) -> dict[str, np.ndarray]:
        """path_moment_t [T], path_mean [T, D], path_covariance [T, D, D]."""
        mean = torch.stack([m.mean for m in self.moments])
        covariance = torch.stack([m.covariance for m in self.moments])
        return {
            "path_moment_t": np.array(self.times, dtype=np.float32),
            "path_mean": mean.float().cpu().numpy(),
            "path_covariance": covariance.float().cpu().numpy(),
        }

    def add_bridges(
        self,
        first: Points,
        last: Points,
        *,
        between: tuple[float, float],
        noise: float,
        rng: torch.Generator,
    ) -> None:
        """Brownian bridges from rows of `first` to rows of `last`, at the times start < t <= end.

        At s = (t - start) / (end - start): (1 - s) first + s last + noise sqrt(s (1 - s)) xi, with
        `noise` the standard deviation that the whole step adds. Only the law at each t counts, so
        the xi of different t are independent.
        """
        start, end = between
        for t, moments in zip(self.times, self.moments, strict=True):
            if start < t <= end:
                s = (t - start) / (end - start)
                x = (1 - s) * first + s * last
                if spread := noise * (s * (1 - s)) ** 0.5:
                    x = x + spread * torch.randn(first.shape, generator=rng, device=first.device)
                moments.update(x)


def interior_times(num: int) -> list[float]:
    """j / num for 0 < j < num."""
    return [j / num for j in range(1, num)]


class EulerSteps:
    """Shows the continuous-time Euler scheme of a solver's paths to a PathMoments.

    Between two grid points the scheme with its drift frozen, dX = f(t_k, X_k) dt + noise, is given
    X_k and X_{k+1} a Brownian bridge with the variance of the step's noise: exact in law.
    """

    def __init__(
        self,
        moments: PathMoments,
        times: Sequence[float],
        noise_scales: Sequence[float],
        *,
        rng: torch.Generator,
    ) -> None:
        self.moments, self.times, self.noise_scales = moments, times, noise_scales
        self.rng = rng

    def from_start(self, x0: Points) -> Callable[[int, Points], None]:
        """An observer of (k, X_k), k = 1, 2, ..., for one batch of paths from x0."""
        state = x0

        def observe(step: int, x: Points) -> None:
            nonlocal state
            self.moments.add_bridges(
                state,
                x,
                between=(self.times[step - 1], self.times[step]),
                noise=self.noise_scales[step - 1],
                rng=self.rng,
            )
            state = x

        return observe


def bridge_moments(
    x: Points,
    y: Points,
    moments: PathMoments,
    *,
    epsilon: float,
    batch_size: int,
    rng: torch.Generator,
) -> None:
    """Add the Brownian bridges of variance epsilon from rows of x to rows of y."""
    for first, last in zip(x.split(batch_size), y.split(batch_size), strict=True):
        moments.add_bridges(first, last, between=(0.0, 1.0), noise=epsilon**0.5, rng=rng)
