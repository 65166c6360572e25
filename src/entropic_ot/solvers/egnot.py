"""EgNOT: the weak dual of entropic OT as an energy-based model.

Mokrov, Korotin, Kolesov, Gushchin, Burnaev: "Energy-guided Entropic Neural Optimal Transport",
ICLR 2024 (its weak dual and gradient), in the conventions of docs/conventions.md:

    max over g   E_{P1} g(Y) + E_{P0} g^C(X),  whose gradient is
    E_{P1} grad g(Y) - E_{P0} E_{y ~ pi_g(. | x)} grad g(y)  with
    pi_g(y | x) proportional to exp((g(y) - c(x, y)) / epsilon), sampled by Langevin dynamics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch

from entropic_ot import distributed
from entropic_ot.costs import Cost, HalfSquaredEuclidean
from entropic_ot.distributed import Rows, randn
from entropic_ot.dynamics.exchange import exchange_ends, exchange_with_pairs
from entropic_ot.dynamics.langevin import Score, unadjusted_langevin
from entropic_ot.dynamics.replay_buffer import PersistentStates, ReplayBuffer
from entropic_ot.errors import ConfigError
from entropic_ot.networks import build_potential
from entropic_ot.networks.mlp import MLPPotential, mlp_gradient
from entropic_ot.networks.seeds import seeded
from entropic_ot.problems.base import Distribution, EOTProblem, FiniteDistribution
from entropic_ot.solvers.base import (
    AveragedModule,
    adam,
    apply_gradients,
    decayed,
    frozen,
)
from entropic_ot.solvers.compiling import Compiler
from entropic_ot.solvers.config import EgNOTConfig, Precision
from entropic_ot.solvers.gaussian_base import GaussianConditional, check_size
from entropic_ot.types import Points

START_BATCH = 256
"""Source points at once where all persistent chains are started: bounds the memory."""

Start = Callable[[Points], Points]
"""x -> where its chain starts, without noise."""


class EgNOT:
    """The solver. `shape` is the shape of one point; weights are drawn from `seed`.

    With a cost that compares points of two kinds (DecodedHalfSquaredEuclidean) `shape` is that of
    the target's, `source_shape` that of the source's. `start`: where new chains start, in place of
    what `base_potential` says.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        config: EgNOTConfig | None = None,
        *,
        epsilon: float,
        cost: Cost | None = None,
        source_shape: tuple[int, ...] | None = None,
        start: Start | None = None,
        precision: Precision = "float32",
        compiled: bool = False,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        if not epsilon > 0:
            raise ConfigError(
                f"epsilon: found {epsilon!r} for EgNOT, expected a number > 0 "
                "(plain optimal transport, epsilon = 0, is solved by ENOT)"
            )
        self.config = config or EgNOTConfig()
        self.epsilon, self.device, self.shape = epsilon, torch.device(device), shape
        self.source_shape = source_shape or shape
        self.cost = cost or HalfSquaredEuclidean()
        self.start = start
        self._check_start()
        self.precision: str = precision
        self.autocast = precision == "bfloat16"
        self.dtype = torch.bfloat16 if self.autocast else torch.float32
        with seeded(seed):
            potential = build_potential(self.config.potential, shape)
        layout = torch.channels_last if len(shape) == 3 else torch.contiguous_format
        self.potential = AveragedModule(
            potential.to(self.device, memory_format=layout),  # type: ignore[call-overload]
            decay=self.config.ema_decay,
        )
        self.base: GaussianConditional | None = None
        """Of `base_potential: gaussian`, fitted before the first step."""
        self.chains: ReplayBuffer | PersistentStates | None = None
        self.pairs: tuple[Points, Points] | None = None
        """Of num_exchange_rounds: x and y of the buffer, once it has some."""
        self.compiler = Compiler(self.device, enabled=compiled)
        self.network = self.compiler(self._network)
        self.mlp_gradient = self.compiler(mlp_gradient)

    def _check_start(self) -> None:
        has_start = self.start is not None or self.config.base_potential == "standard_normal"
        if self.source_shape != self.shape and not has_start:
            raise ConfigError(
                f"base_potential: found {self.config.base_potential} with source points of shape "
                f"{self.source_shape} and target points of shape {self.shape}, expected "
                "standard_normal: a chain cannot start from x. Set it."
            )
        euclidean = isinstance(self.cost, HalfSquaredEuclidean) and self.start is None
        if self.config.base_potential == "gaussian" and not euclidean:
            raise ConfigError(
                "base_potential: found gaussian with a cost of decoded points, expected none or "
                "standard_normal: the plan of Gaussians is for the cost 1/2 |x - y|^2. Set it."
            )
        if self.config.num_exchange_rounds and not euclidean:
            raise ConfigError(
                f"num_exchange_rounds: found {self.config.num_exchange_rounds} with a cost of "
                "decoded points, expected 0: exchanges are for the cost 1/2 |x - y|^2. Set it."
            )

    @cached_property
    def optimizer(self) -> torch.optim.Adam:
        return adam(self.potential, beta1=self.config.adam_beta1)

    @property
    def compiled(self) -> str:
        return self.compiler.used

    @property
    def step_size(self) -> float:
        """Langevin's eta, in squared units of the data; with a Gaussian base of its white z."""
        if self.config.base_potential == "gaussian":
            return self.config.step_size
        return self.config.step_size * self.epsilon

    @property
    def base_precision(self) -> float:
        """k of the base potential -epsilon k |y|^2 / 2; 0: there is none of this form."""
        known = {"standard_normal": 1.0, "quadratic": 1 / self.config.base_variance}
        return known.get(self.config.base_potential, 0.0)

    def _fitted(self) -> GaussianConditional | None:
        if self.base is None and self.config.base_potential == "gaussian":
            raise ConfigError(
                "base_potential: found gaussian before any step of training, expected the fit "
                "that training begins with. Train first."
            )
        return self.base

    def _network(self, y: Points) -> torch.Tensor:
        return self.potential.module(y)  # type: ignore[no-any-return]

    def g(self, y: Points) -> torch.Tensor:
        """The potential with the current weights, [batch] in float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            network: torch.Tensor = self.config.potential_scale * self.network(y)
        if (base := self._fitted()) is not None:
            return network + base.potential(y)
        if not self.base_precision:
            return network
        return network - self.epsilon * self.base_precision / 2 * y.flatten(1).square().sum(1)

    def langevin(
        self,
        x: Points,
        y0: Points,
        *,
        num_steps: int,
        rng: torch.Generator,
        rows: Rows | None = None,
    ) -> Points:
        """Chains for pi_g(. | x) from y0 with the current weights, which get no gradient."""
        base = self._fitted()

        def chains(score: Score, start: Points) -> Points:
            with torch.no_grad(), frozen(self.potential.module):
                return unadjusted_langevin(
                    score, start, step_size=self.step_size, num_steps=num_steps, rng=rng, rows=rows
                )

        if base is None:
            return chains(self._vector_score(x) or self._any_score(x), y0)
        mean = base.mean(x)
        return mean + base.colour(chains(self._white_score(base, mean), base.whiten(y0 - mean)))

    def _vector_score(self, x: Points) -> Score | None:
        """grad_y log pi_g(y | x) without a graph, where potential and cost have known gradients."""
        module = self.potential.module
        if not (isinstance(module, MLPPotential) and isinstance(self.cost, HalfSquaredEuclidean)):
            return None
        gradient = module.input_gradient(dtype=self.dtype, evaluate=self.mlp_gradient)
        scale = self.config.potential_scale / self.epsilon
        base = self.base_precision

        def score(y: Points) -> Points:
            s = gradient(y).mul_(scale).add_(x - y, alpha=1 / self.epsilon)
            return s.sub_(y, alpha=base) if base else s

        return score

    def _white_score(self, base: GaussianConditional, mean: Points) -> Score:
        """grad_z log of the density of z = K^-1/2 (y - mean): -z + K^1/2 grad network / epsilon."""
        module = self.potential.module
        scale = self.config.potential_scale / self.epsilon
        if isinstance(module, MLPPotential):
            gradient = module.input_gradient(dtype=self.dtype, evaluate=self.mlp_gradient)
        else:
            gradient = self._network_gradient

        def score(z: Points) -> Points:
            slope = gradient(mean + base.colour(z))
            return base.colour(slope).mul_(scale).sub_(z)

        return score

    def _network_gradient(self, y: Points) -> Points:
        with (
            torch.enable_grad(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast),
        ):
            y = y.detach().requires_grad_(True)
            return torch.autograd.grad(self.network(y).sum(), y)[0]

    def _any_score(self, x: Points) -> Score:
        def score(y: Points) -> Points:
            with torch.enable_grad():
                y = y.detach().requires_grad_(True)
                exponent = (self.g(y) - self.cost(x, y)).sum() / self.epsilon
                return torch.autograd.grad(exponent, y)[0]

        return score

    def initial(self, x: Points, *, rng: torch.Generator, rows: Rows | None = None) -> Points:
        """Where new chains start [batch, *shape].

        A draw of the prior process, x + sqrt(epsilon) noise; of N(0, I) with base_potential
        standard_normal, of the fit's Y given x with gaussian; or at `start(x)`. rows: where x is
        the share of one process.
        """
        if self.start is not None:
            return self.start(x)
        noise = randn((len(x), *self.shape), rows, rng=rng, device=x.device)
        if self.config.base_potential == "standard_normal":
            return noise
        if (base := self._fitted()) is not None:
            return base.mean(x) + base.colour(noise)
        return x + self.epsilon**0.5 * noise

    def step(
        self, problem: EOTProblem, *, rng: torch.Generator, progress: float
    ) -> dict[str, float]:
        """Go on with the chains, then one ascent step of the weak dual in g."""
        config = self.config
        rows = distributed.batch(config.batch_size, key="batch_size")
        if config.chains == "persistent":
            self._check_rows(problem.source)
        if config.base_potential == "gaussian" and self.base is None:
            self.base = self._fit_base(problem, rng=rng)
        if config.chains == "persistent":
            y = self._advance_persistent(problem, rng=rng)
        else:
            y = self._advance_replay(problem, rng=rng)
        data = problem.target.sample(config.batch_size, rng=rng)
        gap = self.g(rows.own(data)).mean() - self.g(rows.own(y)).mean()
        rate = decayed(config.learning_rate, config.learning_rate_schedule, progress)
        apply_gradients(self.optimizer, -gap, learning_rate=rate)
        self.potential.update()
        return {"potential_gap": float(gap.detach())}

    def _fit_base(self, problem: EOTProblem, *, rng: torch.Generator) -> GaussianConditional:
        config = self.config.gaussian_base
        dim = math.prod(self.shape)  # before so many are drawn
        check_size(dim, "base_potential", "gaussian", instead="none")
        fitted = GaussianConditional.fit(
            problem.source.sample(config.num_points, rng=rng),
            problem.target.sample(config.num_points, rng=rng),
            epsilon=self.epsilon,
            config=config,
        )
        if distributed.world_size() == 1:
            return fitted
        state = fitted.state()
        distributed.broadcast(state, device=self.device)
        return GaussianConditional(**state, epsilon=self.epsilon)

    def _advance(self, x: Points, y: Points, *, num_steps: int, rng: torch.Generator) -> Points:
        """`langevin`, each process its share of the rows; all have all chains afterwards."""
        rows = distributed.rows(len(x))
        own = self.langevin(rows.own(x), rows.own(y), num_steps=num_steps, rng=rng, rows=rows)
        return rows.gather(own)

    def _new_buffer(self, size: int) -> ReplayBuffer:
        return ReplayBuffer(size, self.shape, device=self.device, source_shape=self.source_shape)

    def _advance_replay(self, problem: EOTProblem, *, rng: torch.Generator) -> Points:
        config = self.config
        if self.chains is None:
            self.chains = self._new_buffer(config.buffer_size)
        assert isinstance(self.chains, ReplayBuffer)
        full = self.chains.filled == config.buffer_size
        num_old = round(config.buffer_probability * config.batch_size) if full else 0
        rows = self.chains.rows(config.batch_size, rng=rng)
        x, y = self.chains.x[rows[:num_old]], self.chains.y[rows[:num_old]]
        if num_old < config.batch_size:
            fresh = problem.source.sample(config.batch_size - num_old, rng=rng)
            start = self._start(problem, fresh, rng=rng)
            if config.num_warm_up_steps:
                start = self._advance(fresh, start, num_steps=config.num_warm_up_steps, rng=rng)
            x, y = torch.cat([x, fresh]), torch.cat([y, start])
        y = exchange_ends(
            x, y, epsilon=self.epsilon, num_rounds=config.num_exchange_rounds, rng=rng
        )
        y = self._advance(x, y, num_steps=config.num_langevin_steps, rng=rng)
        self.chains.write(rows, x, y)
        if config.num_exchange_rounds:
            self.pairs = self.chains.pairs
        return y

    def _start(self, problem: EOTProblem, x: Points, *, rng: torch.Generator) -> Points:
        """Where new chains of the buffer start: as `initial`; with exchanges at draws of Y.

        These are offered exchanges with the buffer, so that they join the others in equilibrium;
        while it is being filled, with those of the same batch.
        """
        if not self.config.num_exchange_rounds:
            return self.initial(x, rng=rng)
        y = problem.target.sample(len(x), rng=rng)
        assert isinstance(self.chains, ReplayBuffer)
        if self.chains.filled < self.config.buffer_size:
            rounds = self.config.num_test_exchange_rounds
            return exchange_ends(x, y, epsilon=self.epsilon, num_rounds=rounds, rng=rng)
        return self._exchanged(x, y, self.chains.pairs, rng=rng)

    def _exchanged(
        self,
        x: Points,
        y: Points,
        pairs: tuple[Points, Points],
        *,
        rng: torch.Generator,
        rows: Rows | None = None,
    ) -> Points:
        rounds = self.config.num_test_exchange_rounds
        return exchange_with_pairs(
            x, y, *pairs, epsilon=self.epsilon, num_rounds=rounds, rng=rng, rows=rows
        )

    def _check_rows(self, source: Distribution) -> None:
        """ConfigError where there cannot be a persistent chain for each point of a batch."""
        if not isinstance(source, FiniteDistribution):
            raise ConfigError(
                "chains: found 'persistent' with a source of infinitely many points, expected "
                "'replay' there (persistent chains are attached to the rows of an array)"
            )
        if len(source) < self.config.batch_size:
            raise ConfigError(
                f"batch_size: found {self.config.batch_size} with a source of {len(source)} "
                "points, expected at most as many: a batch goes on with different persistent "
                "chains. Lower batch_size, or use `chains: replay`."
            )

    def _advance_persistent(self, problem: EOTProblem, *, rng: torch.Generator) -> Points:
        source = problem.source
        assert isinstance(source, FiniteDistribution)  # _check_rows
        if self.chains is None:
            rows = torch.arange(len(source), device=self.device).split(START_BATCH)
            self.chains = PersistentStates(
                torch.cat([self.initial(source.at(part), rng=rng) for part in rows])
            )
        assert isinstance(self.chains, PersistentStates)
        # Without replacement: of a chain that is there twice, one of the two advances is lost.
        rows = torch.randperm(len(source), generator=rng, device=rng.device)
        rows = rows[: self.config.batch_size]
        y = self._advance(
            source.at(rows),
            self.chains.y[rows],
            num_steps=self.config.num_langevin_steps,
            rng=rng,
        )
        self.chains.y[rows] = y
        return y

    def sample(self, x: Points, *, rng: torch.Generator, rows: Rows | None = None) -> Points:
        """One y for each row of x with the averaged weights; rows as in `initial`."""
        x = x.to(self.device, torch.float32)
        with self.potential.averaged():
            return self.langevin(
                x,
                self._sample_start(x, rng=rng, rows=rows),
                num_steps=self.config.num_test_langevin_steps,
                rng=rng,
                rows=rows,
            )

    def _sample_start(self, x: Points, *, rng: torch.Generator, rows: Rows | None = None) -> Points:
        if not self.config.num_exchange_rounds:
            return self.initial(x, rng=rng, rows=rows)
        if self.pairs is None:
            raise ConfigError(
                "num_exchange_rounds: found samples asked for before any step of training, "
                "expected the pairs that they start from. Train first."
            )
        share = rows or Rows(len(x))
        first = torch.randint(len(self.pairs[1]), (share.total,), generator=rng, device=rng.device)[
            share.index
        ]
        return self._exchanged(x, self.pairs[1][first], self.pairs, rng=rng, rows=rows)

    def state_dict(self) -> dict[str, Any]:
        training: dict[str, Any] = {
            "potential": self.potential.training_state(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.chains is not None:
            training["chains"] = self.chains.state_dict()
        model: dict[str, Any] = {"potential": self.potential.model_state()}
        if self.base is not None:
            model["base"] = self.base.state()
        if self.pairs is not None:
            x, y = self.pairs  # copies: the buffer is saved too, and no tensor may be there twice
            model["pairs"] = {"x": x.clone(), "y": y.clone()}
        return {"model": model, "training": training}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        training = state.get("training")
        if "base" in state["model"]:
            base = {name: tensor.to(self.device) for name, tensor in state["model"]["base"].items()}
            self.base = GaussianConditional(**base, epsilon=self.epsilon)
        if "pairs" in state["model"]:
            pairs = state["model"]["pairs"]
            self.pairs = pairs["x"].to(self.device), pairs["y"].to(self.device)
        self.potential.load(state["model"]["potential"], training and training["potential"])
        if not training:
            return
        self.optimizer.load_state_dict(training["optimizer"])
        if "chains" in training:
            chains = training["chains"]
            self.chains = (
                self._new_buffer(len(chains["x"]))
                if "x" in chains
                else PersistentStates(chains["y"].to(self.device))
            )
            self.chains.load_state_dict(chains)
