"""Means and covariances of more samples than are kept: accumulated while they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

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
    progress = Progress(label, len(x))
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
    """Moments of X_t at chosen times, from states that come by one at a time.

    `observe` is given (number of the step, state) and keeps none of the states.
    """

    def __init__(self, times: dict[int, float]) -> None:
        self.times = times
        self.moments = {step: RunningMoments() for step in times}

    def observe(self, step: int, x: Points) -> None:
        if step in self.moments:
            self.moments[step].update(x)

    def arrays(self) -> dict[str, np.ndarray]:
        """path_moment_t [T], path_mean [T, D], path_covariance [T, D, D]."""
        moments = [self.moments[step] for step in self.times]
        return {
            "path_moment_t": np.array(list(self.times.values()), dtype=np.float32),
            "path_mean": torch.stack([m.mean for m in moments]).float().cpu().numpy(),
            "path_covariance": torch.stack([m.covariance for m in moments]).float().cpu().numpy(),
        }


def interior_times(times: Sequence[float], limit: int) -> dict[int, float]:
    """Step -> time of up to `limit` of the grid points inside (0, 1), evenly spread by step."""
    num_steps = len(times) - 1
    count = min(limit, num_steps - 1)
    steps = np.linspace(0, num_steps, count + 2).round().astype(int)[1:-1]
    return {int(step): times[int(step)] for step in steps}


def bridge_moments(
    x: Points,
    y: Points,
    moments: PathMoments,
    *,
    epsilon: float,
    batch_size: int,
    rng: torch.Generator,
) -> None:
    """Observe the Brownian bridges of variance epsilon from rows of x to rows of y.

    X_t = (1 - t) x + t y + sqrt(epsilon t (1 - t)) noise: only the law at each t counts, so the
    noises of different t are independent.
    """
    for first, last in zip(x.split(batch_size), y.split(batch_size), strict=True):
        for step, t in moments.times.items():
            noise = torch.randn(first.shape, generator=rng, device=first.device)
            spread = (epsilon * t * (1 - t)) ** 0.5
            moments.observe(step, (1 - t) * first + t * last + spread * noise)
