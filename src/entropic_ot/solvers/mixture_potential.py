"""The potential of LightSB: a Gaussian mixture, with which all of the plan has a closed form.

Korotin, Gushchin, Burnaev: "Light Schroedinger Bridge", ICLR 2024, arXiv 2310.01174, in the
conventions of docs/conventions.md, section 4: v(y) = sum_k alpha_k N(y; r_k, epsilon S_k) and
g(y) = epsilon log v(y) + 1/2 |y|^2. Everything follows from one function,

    phi(t, x) = E exp(g(x + sqrt(epsilon (1 - t)) xi) / epsilon),   xi ~ N(0, I),

the potential after heat flow. Up to constants phi(1, y) = exp(g(y) / epsilon) and
phi(0, x) = exp(-|x|^2 / (2 epsilon)) c(x); the drift is epsilon grad log phi.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from entropic_ot.types import PerPoint, Points

Covariance = Literal["diagonal", "full"]


class MixturePotential(nn.Module):
    """v(y) with K components in R^D, all in float64.

    float64 because exponents are |x|^2 / epsilon, thousands at epsilon = 0.001, of which only
    differences between components count; with so few parameters it costs little.
    """

    def __init__(
        self, dim: int, *, num_components: int, covariance: Covariance, epsilon: float
    ) -> None:
        super().__init__()
        self.epsilon, self.dim, self.full = epsilon, dim, covariance == "full"
        shape = (num_components, dim)
        # epsilon log alpha_k is a part of g, and of its size whatever epsilon is: one step size
        # then suits all parameters.
        self.offsets = nn.Parameter(torch.zeros(num_components, dtype=torch.float64))
        self.centres = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        # S_k = L_k L_k^T with the diagonal exp(log_scales) > 0 and `lower` below it.
        self.log_scales = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        if self.full:
            self.lower = nn.Parameter(torch.zeros(*shape, dim, dtype=torch.float64))

    @torch.no_grad()
    def initialise(self, centres: Points, *, scale: float) -> None:
        """Centres r_k [K, D], S_k = scale I, equal weights alpha_k = 1 / K."""
        self.centres.copy_(centres)
        self.log_scales.fill_(math.log(scale) / 2)
        self.offsets.fill_(-self.epsilon * math.log(len(centres)))
        if self.full:
            self.lower.zero_()

    def factors(self) -> torch.Tensor:
        """L_k: its diagonal [K, D], or lower triangular [K, D, D]."""
        if not self.full:
            return self.log_scales.exp()
        return self.lower.tril(-1) + torch.diag_embed(self.log_scales.exp())

    def covariances(self) -> torch.Tensor:
        """S_k: its diagonal [K, D], or [K, D, D]."""
        factors = self.factors()
        return factors @ factors.mT if self.full else factors.square()

    def quadratics(self, t: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(P, q, b) of log phi(t, x) = log sum_k exp((1/2 x^T P_k x + q_k^T x + b_k) / epsilon).

        With M_k = (1 - t) I + t S_k: P_k = M_k^-1 (S_k - I), q_k = M_k^-1 r_k and
        b_k = epsilon log alpha_k - 1/2 epsilon log det M_k - 1/2 t r_k^T q_k. Without the constant
        -D/2 log(2 pi epsilon). P is [K, D] (diagonal) or [K, D, D], q [K, D], b [K].
        """
        if not self.full:
            scales = self.covariances()
            widths = (1 - t) + t * scales
            p, q = (scales - 1) / widths, self.centres / widths
            log_det = widths.log().sum(1)
        else:
            identity = torch.eye(self.dim, dtype=torch.float64, device=self.centres.device)
            factors = self.factors()
            covariances = factors @ factors.mT
            root = (
                factors if t == 1 else torch.linalg.cholesky((1 - t) * identity + t * covariances)
            )
            p = torch.cholesky_solve(covariances - identity, root)
            q = torch.cholesky_solve(self.centres[..., None], root)[..., 0]
            log_det = 2 * root.diagonal(dim1=1, dim2=2).log().sum(1)
        b = self.offsets - self.epsilon / 2 * log_det - t / 2 * (self.centres * q).sum(1)
        return p, q, b

    def forward(self, t: float, x: Points) -> torch.Tensor:
        """log of the components of phi(t, x), [batch, K]; x in float64, 0 <= t <= 1."""
        p, q, b = self.quadratics(t)
        if self.full:
            square = torch.einsum("nke,ne->nk", torch.einsum("nd,kde->nke", x, p), x)
        else:
            square = x.square() @ p.T
        return (square / 2 + x @ q.T + b) / self.epsilon

    def log_phi(self, t: float, x: Points) -> PerPoint:
        """log phi(t, x) without its constant, [batch]."""
        return torch.logsumexp(self(t, x), dim=1)

    def log_normaliser(self, x: Points) -> PerPoint:
        """log c(x) = log sum_k alpha_k exp((x^T S_k x + 2 r_k^T x) / (2 epsilon)), [batch]."""
        return self.log_phi(0.0, x) + x.square().sum(1) / (2 * self.epsilon)

    def log_density(self, y: Points) -> PerPoint:
        """log v(y), [batch]."""
        constant = self.dim / 2 * math.log(2 * math.pi * self.epsilon)
        return self.log_phi(1.0, y) - y.square().sum(1) / (2 * self.epsilon) - constant

    def drift(self, t: float, x: Points) -> Points:
        """epsilon grad log phi(t, x) = sum_k w_k (P_k x + q_k) with w the softmax of `forward`."""
        p, q, _ = self.quadratics(t)
        weights = torch.softmax(self(t, x), dim=1)
        if self.full:
            return torch.einsum("nk,nd,kde->ne", weights, x, p) + weights @ q
        return (weights @ p) * x + weights @ q

    def sample_conditional(self, x: Points, *, rng: torch.Generator) -> Points:
        """One y from pi(. | x) for each row of x: N(r_k + S_k x, epsilon S_k) for a drawn k."""
        weights = torch.softmax(self(0.0, x), dim=1)
        chosen = torch.multinomial(weights, 1, generator=rng)[:, 0]
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        factors, noise = self.factors(), self.epsilon**0.5 * noise
        if not self.full:
            factors = factors[chosen]
            return self.centres[chosen] + factors * (factors * x + noise)
        y = self.centres[chosen]
        for k in chosen.unique().tolist():  # a matrix for each row would take batch D^2 numbers
            rows, factor = chosen == k, factors[k]
            y[rows] += (x[rows] @ factor + noise[rows]) @ factor.T
        return y
