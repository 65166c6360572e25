"""LightSB: entropic OT with a Gaussian mixture in the place of networks.

Korotin, Gushchin, Burnaev: "Light Schroedinger Bridge", ICLR 2024, arXiv 2310.01174 (its loss, up
to a constant the KL divergence from the optimal plan), in the conventions of docs/conventions.md:

    min over v   E_{P0} log c(X) - E_{P1} log v(Y),
    pi(y | x) = exp(<x, y> / epsilon) v(y) / c(x),  v(y) = sum_k alpha_k N(y; r_k, epsilon S_k).

There is no simulation in training, and plan, potential and drift have closed forms.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from entropic_ot import distributed
from entropic_ot.errors import ConfigError
from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.base import AveragedModule, adam, apply_gradients, decayed
from entropic_ot.solvers.config import LightSBConfig
from entropic_ot.solvers.mixture_potential import MixturePotential
from entropic_ot.types import PerPoint, Points


class LightSB:
    """The solver, for vectors. `shape` is the shape of one point, (features,).

    Its centres start at target points that the first step draws; nothing else is random.
    """

    compiled = "no"

    def __init__(
        self,
        shape: tuple[int, ...],
        config: LightSBConfig | None = None,
        *,
        epsilon: float,
        device: torch.device | str = "cpu",
    ) -> None:
        if not epsilon > 0:
            raise ConfigError(
                f"epsilon: found {epsilon!r} for LightSB, expected a number > 0 "
                "(plain optimal transport, epsilon = 0, is solved by ENOT)"
            )
        if len(shape) != 1:
            raise ConfigError(
                f"shape: found points of shape {shape} for LightSB, expected vectors (features,) "
                "(a Gaussian mixture is no model of images; use ENOT or EgNOT there)"
            )
        self.config = config or LightSBConfig()
        self.epsilon = epsilon
        self.shape: tuple[int, ...] = shape
        self.device, self.precision = torch.device(device), "float64"
        mixture = MixturePotential(
            shape[0],
            num_components=self.config.num_components,
            covariance=self.config.covariance,
            epsilon=epsilon,
        ).to(self.device)
        self.mixture = AveragedModule(mixture, decay=self.config.ema_decay)
        self.initialised = False

    @cached_property
    def optimizer(self) -> torch.optim.Adam:
        return adam(self.mixture, beta1=self.config.adam_beta1)

    @property
    def _module(self) -> MixturePotential:
        assert isinstance(self.mixture.module, MixturePotential)
        return self.mixture.module

    def step(
        self, problem: EOTProblem, *, rng: torch.Generator, progress: float
    ) -> dict[str, float]:
        """One descent step of the loss.

        The cost is 1/2|x - y|^2, for which the closed forms hold; `problem.cost` is not read.
        """
        config = self.config
        if not self.initialised:
            self._initialise(problem, rng=rng)
        rows = distributed.batch(config.batch_size, key="batch_size")
        x = rows.own(problem.source.sample(config.batch_size, rng=rng).double())
        y = rows.own(problem.target.sample(config.batch_size, rng=rng).double())
        loss = self._module.log_normaliser(x).mean() - self._module.log_density(y).mean()
        rate = decayed(config.learning_rate, config.learning_rate_schedule, progress)
        apply_gradients(self.optimizer, loss, learning_rate=rate)
        self.mixture.update()
        return {"loss": float(loss.detach())}

    def _initialise(self, problem: EOTProblem, *, rng: torch.Generator) -> None:
        centres = problem.target.sample(self.config.num_components, rng=rng)
        self._module.initialise(centres, scale=self.config.initial_scale)
        for name, value in self._module.state_dict().items():
            self.mixture.average[name].copy_(value)
        self.initialised = True

    @torch.no_grad()
    def sample(self, x: Points, *, rng: torch.Generator) -> Points:
        x = x.to(self.device, torch.float64)
        with self.mixture.averaged():
            return self._module.sample_conditional(x, rng=rng).float()

    @torch.no_grad()
    def potential(self, y: Points) -> PerPoint:
        """g(y) = epsilon log v(y) + 1/2|y|^2 with the averaged weights, [batch]."""
        wide = y.to(self.device, torch.float64)
        with self.mixture.averaged():
            log_v = self._module.log_density(wide)
        return (self.epsilon * log_v + wide.square().sum(1) / 2).to(y.dtype)

    @torch.no_grad()
    def drift(self, t: float, x: Points) -> Points:
        """The drift f(t, x) of the Schroedinger bridge with the averaged weights, 0 <= t <= 1."""
        with self.mixture.averaged():
            return self._module.drift(t, x.to(self.device, torch.float64)).to(x.dtype)

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": {"mixture": self.mixture.model_state(), "initialised": self.initialised},
            "training": {
                "mixture": self.mixture.training_state(),
                "optimizer": self.optimizer.state_dict(),
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        model, training = state["model"], state.get("training")
        self.mixture.load(model["mixture"], training and training["mixture"])
        self.initialised = bool(model["initialised"])
        if training:
            self.optimizer.load_state_dict(training["optimizer"])
