"""EgNOT, plainly: Algorithm 1 of the paper (Mokrov et al., ICLR 2024).

As in the authors' code, the replay buffer is a list of pairs on the CPU, the score of a Langevin
step is differentiated with its own graph kept (create_graph) and with nothing frozen, and every
step makes new tensors. Signs: docs/conventions.md, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.config import EgNOTConfig
from reference.averages import Average, first_moments
from reference.networks import POTENTIALS


class ListBuffer:
    """Up to `size` pairs (x, y), one pair of CPU tensors each, as in the authors' code.

    Theirs draws with replacement and writes over the oldest pairs, so that a chain may be there
    twice; here, as in the project, chains go back to where they were (docs/decisions/0006).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.items: list[tuple[Tensor, Tensor]] = []

    def rows(self, n: int, rng: torch.Generator) -> list[int]:
        """n different places: empty ones first, later random ones."""
        if len(self.items) < self.size:
            return [(len(self.items) + i) % self.size for i in range(n)]
        return torch.randperm(self.size, generator=rng, device=rng.device)[:n].tolist()

    def read(self, rows: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
        x, y = zip(*(self.items[row] for row in rows), strict=True)
        return torch.stack(x).to(device), torch.stack(y).to(device)

    def write(self, rows: list[int], x: Tensor, y: Tensor) -> None:
        for row, pair in zip(
            rows, zip(x.detach().cpu(), y.detach().cpu(), strict=True), strict=True
        ):
            if row == len(self.items):
                self.items.append(pair)
            else:
                self.items[row] = pair


class ReferenceEgNOT:
    """The solver, from the weights in `model`, the "model" part of the project's state_dict."""

    def __init__(
        self,
        shape: tuple[int, ...],
        config: EgNOTConfig,
        model: dict[str, dict[str, Tensor]],
        *,
        epsilon: float,
        device: torch.device,
    ) -> None:
        if config.base_potential != "none" or config.num_exchange_rounds:
            raise NotImplementedError(
                f"base_potential, num_exchange_rounds: found {config.base_potential} and "
                f"{config.num_exchange_rounds}, expected none and 0: it has no other"
            )
        self.config, self.epsilon = config, epsilon
        self.potential = POTENTIALS[config.potential.kind](shape, config.potential).to(device)
        self.potential.load_state_dict(model["potential"])
        self.average = Average(self.potential, config.ema_decay)
        self.optimizer = torch.optim.Adam(
            self.potential.parameters(),
            lr=config.learning_rate,
            betas=(config.adam_beta1, 0.999),
        )
        self.buffer = ListBuffer(config.buffer_size)

    def score(self, potential: torch.nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Gradient in y of (g(y) - 1/2 |x - y|^2) / epsilon."""
        y = y.detach().requires_grad_(True)
        g = self.config.potential_scale * potential(y)
        gradient = torch.autograd.grad(g.sum(), y, create_graph=True, retain_graph=True)[0]
        return (gradient.detach() - (y.detach() - x)) / self.epsilon

    def langevin(
        self,
        x: Tensor,
        y: Tensor,
        *,
        num_steps: int,
        rng: torch.Generator,
        potential: torch.nn.Module | None = None,
    ) -> Tensor:
        """y <- y + (eta / 2) score + sqrt(eta) noise."""
        eta = self.config.step_size * self.epsilon
        for _ in range(num_steps):
            noise = torch.randn(y.shape, generator=rng, device=y.device)
            score = self.score(potential or self.potential, x, y)
            y = y + 0.5 * eta * score + eta**0.5 * noise
        return y

    def initial(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return x + self.epsilon**0.5 * torch.randn(x.shape, generator=rng, device=x.device)

    def step(self, problem: EOTProblem, *, rng: torch.Generator) -> None:
        """Chains go on from the buffer, then one ascent step on E g(Y) - E g(chains)."""
        config = self.config
        full = len(self.buffer.items) == config.buffer_size
        num_old = round(config.buffer_probability * config.batch_size) if full else 0
        rows = self.buffer.rows(config.batch_size, rng)
        x = problem.source.sample(config.batch_size - num_old, rng=rng)
        y = self.initial(x, rng)
        if config.num_warm_up_steps:
            y = self.langevin(x, y, num_steps=config.num_warm_up_steps, rng=rng)
        if num_old:
            old_x, old_y = self.buffer.read(rows[:num_old], x.device)
            x, y = torch.cat((old_x, x)), torch.cat((old_y, y))
        y = self.langevin(x, y, num_steps=config.num_langevin_steps, rng=rng)
        self.buffer.write(rows, x, y)
        data = problem.target.sample(config.batch_size, rng=rng)
        g_data = config.potential_scale * self.potential(data)
        g_chains = config.potential_scale * self.potential(y)
        loss = g_chains.mean() - g_data.mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.average.update(self.potential)

    def sample(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """One chain for each row of x, with the averaged weights."""
        return self.langevin(
            x,
            self.initial(x, rng),
            num_steps=self.config.num_test_langevin_steps,
            rng=rng,
            potential=self.average.network,
        )

    def gradients(self) -> dict[str, Tensor]:
        """Adam's first moments: after a step from fresh weights, the gradient."""
        return {"potential": first_moments(self.optimizer)}
