"""ENOT, plainly: Algorithm 1 of the paper (Gushchin et al., NeurIPS 2023).

As in the authors' code, each simulated path keeps and stacks all of its states and drifts, the loss
of the drift contains the term beta(Y) that has no gradient in it, nothing is frozen, and the graph
of the potential's step goes back through the SDE. Signs: docs/conventions.md, section 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.config import ENOTConfig
from reference.averages import Average, first_moments
from reference.networks import DRIFTS, POTENTIALS

DRIFT_FORMS = ("velocity", "endpoint", "bounded_endpoint")


class ReferenceENOT:
    """The solver, from the weights in `model`, the "model" part of the project's state_dict.

    `waste=False` leaves out what the result does not depend on (the unused term, the graph of the
    potential's step): how the floating-point operations that must be done are counted.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        config: ENOTConfig,
        model: dict[str, dict[str, Tensor]],
        *,
        epsilon: float,
        device: torch.device,
        waste: bool = True,
    ) -> None:
        if config.drift_form not in DRIFT_FORMS:
            raise NotImplementedError(
                f"drift_form: found {config.drift_form}, expected one of {', '.join(DRIFT_FORMS)}: "
                "the plain reference has no other"
            )
        self.config, self.epsilon, self.waste = config, epsilon, waste
        self.drift = DRIFTS[config.drift.kind](shape, config.drift).to(device)
        self.potential = POTENTIALS[config.potential.kind](shape, config.potential).to(device)
        self.drift.load_state_dict(model["drift"])
        self.potential.load_state_dict(model["potential"])
        self.drift_average = Average(self.drift, config.ema_decay)
        self.potential_average = Average(self.potential, config.ema_decay)
        betas = (config.adam_beta1, 0.999)
        self.drift_optimizer = torch.optim.Adam(
            self.drift.parameters(), lr=config.drift_learning_rate, betas=betas
        )
        self.potential_optimizer = torch.optim.Adam(
            self.potential.parameters(), lr=config.potential_learning_rate, betas=betas
        )
        # The targets of the unused term come from numbers of their own: the project draws none.
        self.unused_rng = torch.Generator(device).manual_seed(0)

    def velocity(self, drift: torch.nn.Module, t: float, x: Tensor) -> Tensor:
        """f(t, x) from the network, by `drift_form`."""
        out = drift(t, x)
        if self.config.drift_form == "velocity":
            return out
        if self.config.drift_form == "endpoint":
            return out / (1 - t)
        end = torch.tanh(out + 2 * x / (1 + 4 * self.epsilon * t))
        return (end - x) / (1 - t)

    def time(self, k: int) -> float:
        """t_k = 1 - (1 - k / N)^power."""
        return 1 - (1 - k / self.config.num_euler_steps) ** self.config.time_grid_power

    def simulate(
        self, drift: torch.nn.Module, x0: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Euler-Maruyama: states [batch, N + 1, *dim] and drifts [batch, N, *dim]."""
        num_steps = self.config.num_euler_steps
        x, states, drifts = x0, [x0], []
        for k in range(num_steps):
            t, dt = self.time(k), self.time(k + 1) - self.time(k)
            f = self.velocity(drift, t, x)
            x = x + f * dt
            if self.epsilon > 0 and (self.config.noise_last_step or k < num_steps - 1):
                noise = torch.randn(x.shape, generator=rng, device=x.device)
                x = x + math.sqrt(self.epsilon) * math.sqrt(dt) * noise
            states.append(x)
            drifts.append(f)
        return torch.stack(states, dim=1), torch.stack(drifts, dim=1)

    def beta(self, y: Tensor) -> Tensor:
        return self.config.potential_scale * self.potential(y)

    def drift_step(self, problem: EOTProblem, rng: torch.Generator) -> None:
        """One descent step of the drift on E 1/2 int |f|^2 dt + E beta(Y) - E beta(X_1)."""
        x0 = problem.source.sample(self.config.batch_size, rng=rng)
        states, drifts = self.simulate(self.drift, x0, rng)
        steps = [self.time(k + 1) - self.time(k) for k in range(drifts.shape[1])]
        lengths = torch.tensor(steps, device=x0.device)
        energy = (drifts.square().flatten(2).sum(dim=2) * lengths).sum(dim=1) / 2
        self.potential.requires_grad_(self.waste)
        loss = energy.mean() - self.beta(states[:, -1]).mean()
        if self.waste:
            y = problem.target.sample(self.config.batch_size, rng=self.unused_rng)
            loss = loss + self.beta(y).mean()
        self.drift_optimizer.zero_grad()
        loss.backward()
        self.drift_optimizer.step()
        self.potential.requires_grad_(True)
        self.drift_average.update(self.drift)

    def potential_step(self, problem: EOTProblem, rng: torch.Generator) -> None:
        """One ascent step of the potential on E beta(Y) - E beta(X_1)."""
        x0 = problem.source.sample(self.config.batch_size, rng=rng)
        y = problem.target.sample(self.config.batch_size, rng=rng)
        with torch.set_grad_enabled(self.waste):
            states, _ = self.simulate(self.drift, x0, rng)
        loss = self.beta(states[:, -1]).mean() - self.beta(y).mean()
        self.potential_optimizer.zero_grad()
        loss.backward()
        self.potential_optimizer.step()
        self.potential_average.update(self.potential)

    def step(self, problem: EOTProblem, *, rng: torch.Generator) -> None:
        """The outer step: `num_drift_steps` of the drift, then one of the potential."""
        for _ in range(self.config.num_drift_steps):
            self.drift_step(problem, rng)
        self.potential_step(problem, rng)

    @torch.no_grad()
    def sample(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """The end points of paths from x, with the averaged weights."""
        states, _ = self.simulate(self.drift_average.network, x, rng)
        return states[:, -1]

    def gradients(self) -> dict[str, Tensor]:
        """Adam's first moments by network: after a step from fresh weights, the gradients."""
        return {
            "drift": first_moments(self.drift_optimizer),
            "potential": first_moments(self.potential_optimizer),
        }
