"""Fitting a drift to a potential without a gradient through the simulation.

Along the process that is optimal for a potential beta, the drift is a martingale,
f(t, X_t) = E[grad beta(X_1) | X_t], and given its ends the process is a Brownian bridge. So f is
the regression of grad beta(X_1) on points of bridges between pairs (X_0, X_1) of its own paths:
Domingo-Enrich, Drozdzal, Karrer, Chen, "Adjoint Matching" (ICLR 2025, arXiv 2409.08861); Havens
et al., "Adjoint Sampling" (ICML 2025, arXiv 2504.11713), here with the potential of ENOT.

A regression sees only where paths already go: mass that has settled in the wrong one of two
distant modes stays there. `choose_paths` and the exchanges of dynamics/exchange.py let it jump.
Both leave the optimal plan of beta as it is (docs/decisions/0008).
"""

from __future__ import annotations

import torch

from entropic_ot.types import PerPoint, Points


def choose_paths(ends: Points, log_weights: PerPoint, *, rng: torch.Generator) -> Points:
    """One end for each source point, drawn with probabilities softmax(log_weights).

    ends: [n, num_paths, dim], the ends of paths that share a source point. log_weights
    [n, num_paths]: (beta(X_1) - 1/2 int |f|^2 dt - sqrt(epsilon) int f dW) / epsilon, the log
    density of the optimal process in that of f (Girsanov), constant where f is optimal.
    """
    # Weights that are no numbers any more are those of a training that diverges: the loss says so.
    finite = log_weights.nan_to_num(nan=0.0).clamp(-1e30, 1e30)
    chosen = torch.multinomial(torch.softmax(finite, 1), 1, generator=rng)[:, 0]
    return ends[torch.arange(len(ends), device=ends.device), chosen]


def bridge_points(
    x: Points, y: Points, t: torch.Tensor, *, epsilon: float, rng: torch.Generator
) -> Points:
    """X_t [n, dim] of the Brownian bridge of variance epsilon from x to y; t: [n, 1] in [0, 1]."""
    noise = torch.randn(x.shape, generator=rng, device=rng.device)
    return torch.lerp(x, y, t) + (epsilon * t * (1 - t)).sqrt() * noise
