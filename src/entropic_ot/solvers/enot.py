"""ENOT: entropic OT as a saddle point over a drift and a potential.

Gushchin, Kolesov, Korotin, Vetrov, Burnaev: "Entropic Neural Optimal Transport via Diffusion
Processes", NeurIPS 2023 (its maximin problem), in the conventions of docs/conventions.md:

    max over beta, min over f   E 1/2 int |f|^2 dt + E_{P1} beta(Y) - E beta(X_1),
    dX = f(t, X) dt + sqrt(epsilon) dW,  X_0 ~ P0.
"""

from __future__ import annotations

import itertools
import math
from functools import cached_property
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from entropic_ot import distributed
from entropic_ot.distributed import Rows
from entropic_ot.dynamics.euler_maruyama import (
    Observer,
    SDEPath,
    euler_maruyama,
    noise_scales,
    time_grid,
)
from entropic_ot.dynamics.exchange import exchange_ends
from entropic_ot.errors import EntropicOTError
from entropic_ot.networks import build_drift, build_potential
from entropic_ot.networks.mlp import LinearMLPDrift, MLPDrift, MLPPotential
from entropic_ot.networks.mlp_path import Grid, mlp_path
from entropic_ot.networks.seeds import seeded
from entropic_ot.networks.unet import UNetDrift, time_features
from entropic_ot.problems.base import EOTProblem
from entropic_ot.solvers.adjoint_matching import bridge_points, choose_paths
from entropic_ot.solvers.base import (
    AveragedModule,
    adam,
    apply_gradients,
    decayed,
    frozen,
)
from entropic_ot.solvers.compiling import Compiler
from entropic_ot.solvers.config import ENOTConfig, Precision
from entropic_ot.solvers.gaussian_base import GaussianBase, check_size
from entropic_ot.types import Points


class ENOT:
    """The solver. `shape` is the shape of one point; weights are drawn from `seed`."""

    def __init__(
        self,
        shape: tuple[int, ...],
        config: ENOTConfig | None = None,
        *,
        epsilon: float,
        precision: Precision = "float32",
        compiled: bool = False,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        self.config = config or ENOTConfig()
        self.config.check_epsilon(epsilon)
        self.epsilon, self.shape, self.device = epsilon, shape, torch.device(device)
        self.precision: str = precision
        self.autocast = precision == "bfloat16"
        self.dtype = torch.bfloat16 if self.autocast else torch.float32
        with seeded(seed):
            drift = build_drift(self.config.drift, shape)
            potential = build_potential(self.config.potential, shape)
        image = len(shape) == 3
        layout = torch.channels_last if image else torch.contiguous_format
        self.drift = AveragedModule(
            drift.to(self.device, memory_format=layout),  # type: ignore[call-overload]
            decay=self.config.ema_decay,
        )
        self.potential = AveragedModule(
            potential.to(self.device, memory_format=layout),  # type: ignore[call-overload]
            decay=self.config.ema_decay,
        )
        empty = torch.empty(0, *shape, device=self.device)
        self.pairs = empty, empty
        """Kept (X_0, X_1) of `drift_loss: adjoint`, the newest first."""
        self.base: GaussianBase | None = None
        """Of `drift_form: gaussian_endpoint`, fitted before the first step."""
        # An MLP's path is one node of the graph (networks.mlp_path), with nothing to compile.
        unet = isinstance(drift, UNetDrift)
        self.compiler = Compiler(self.device, enabled=compiled and unet)
        self.unet_at = self.compiler(self._unet_at)

    @cached_property
    def drift_optimizer(self) -> torch.optim.Adam:
        return adam(self.drift, beta1=self.config.adam_beta1)

    @cached_property
    def potential_optimizer(self) -> torch.optim.Adam:
        return adam(self.potential, beta1=self.config.adam_beta1)

    @property
    def compiled(self) -> str:
        return self.compiler.used

    @property
    def times(self) -> list[float]:
        """The num_euler_steps + 1 times of `path`, from 0 to 1."""
        return time_grid(self.config.num_euler_steps, power=self.config.time_grid_power)

    def simulate(
        self,
        x0: Points,
        *,
        rng: torch.Generator,
        epsilon: float,
        keep_states: bool = False,
        observe: Observer | None = None,
        rows: Rows | None = None,
    ) -> SDEPath:
        """The learned SDE from x0, of a batch the rows `rows`, with the current weights."""
        module = self.drift.module
        if isinstance(module, MLPDrift) and self.config.drift_form != "bounded_endpoint":
            states = [x0]

            def watch(k: int, x: Points) -> None:
                if keep_states:
                    states.append(x)
                if observe is not None:
                    observe(k, x)

            final, energy, noise_work = mlp_path(
                module.net,
                x0,
                self._grid(epsilon),
                rng=rng,
                dtype=self.dtype,
                linear=module.linear if isinstance(module, LinearMLPDrift) else None,
                observe=watch,
                rows=rows,
            )
            return SDEPath(states if keep_states else [x0, final], energy, noise_work)

        def drift(t: float, x: Points) -> Points:
            return self.velocity(t, x, self._network(t, x), epsilon=epsilon)

        return euler_maruyama(
            drift,
            x0,
            epsilon=epsilon,
            num_steps=self.config.num_euler_steps,
            rng=rng,
            power=self.config.time_grid_power,
            noise_last_step=self.config.noise_last_step,
            keep_states=keep_states,
            observe=observe,
            rows=rows,
        )

    def _network(self, t: float, x: Points) -> torch.Tensor:
        module = self.drift.module
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            if not isinstance(module, UNetDrift):
                return module(t, x)  # type: ignore[no-any-return]
            features = time_features(t, module.num_features, device=x.device)
            if self.config.checkpoint_activations and torch.is_grad_enabled():
                # Recomputation that stops early does so by raising, which a compiled function must
                # not see.
                with set_checkpoint_early_stop(not self.compiler.enabled):
                    return checkpoint(  # type: ignore[no-any-return]
                        self.unet_at, features, x, use_reentrant=False, preserve_rng_state=False
                    )
            return self.unet_at(features, x)

    def _unet_at(self, features: torch.Tensor, x: Points) -> torch.Tensor:
        assert isinstance(self.drift.module, UNetDrift)
        return self.drift.module.at(features, x)

    def _grid(self, epsilon: float) -> Grid:
        times, config = self.times, self.config
        steps = [end - start for start, end in itertools.pairwise(times)]
        scales = noise_scales(times, epsilon=epsilon, noise_last_step=config.noise_last_step)
        factors, shortcut = zip(*(self._precondition(t) for t in times[:-1]), strict=True)
        return Grid(times[:-1], steps, scales, list(factors), shortcut[0])

    def _precondition(self, t: float | torch.Tensor) -> tuple[Any, float]:
        """(factor, shortcut) of f = factor (net + shortcut x); not for bounded_endpoint."""
        if self.config.drift_form == "endpoint":
            return 1 / (1 - t), 0.0
        if self.config.drift_form == "softened_endpoint":
            return 1 / (1 - t + self.config.endpoint_softening), -1.0
        return 1.0, 0.0

    def velocity(self, t: float, x: Points, out: torch.Tensor, *, epsilon: float) -> Points:
        """f(t, x) from the network's output, by `drift_form`.

        The end point of the optimal f is E[X_1 | X_t = x], so images in [-1, 1] bound it. At t = 0
        it starts near x; the weight of x falls with its noise as in EDM (Karras et al., 2022,
        c_skip with sigma_data = 1/2 and sigma^2 = epsilon t). gaussian_endpoint: E[X_1 | X_t = x]
        of the Gaussian fits, corrected by the network; t is one of `times`.
        """
        if self.config.drift_form not in ("bounded_endpoint", "gaussian_endpoint"):
            factor, shortcut = self._precondition(t)
            return factor * (out + shortcut * x)  # type: ignore[no-any-return]
        if self.config.drift_form == "gaussian_endpoint":
            if self.base is None:
                raise EntropicOTError(
                    "drift_form: found gaussian_endpoint before any step of training, expected the "
                    "fits of the data. Train it (fit) or load a state first."
                )
            x1 = self.base.end_point(self.times.index(t), x, out)
            return (x1 - x) / (1 - t)
        skip = 1 / (1 + 4 * epsilon * t)
        return (torch.tanh(out + 2 * skip * x) - x) / (1 - t)

    def beta(self, y: Points) -> torch.Tensor:
        """The potential with the current weights, [batch] in float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            value = self.config.potential_scale * self.potential.module(y)
        if self.config.drift_form == "softened_endpoint":
            value = value - y.square().sum(1) / (2 * self.config.endpoint_softening)
        if self.base is not None:
            value = value + self.base.beta(y)
        return value  # type: ignore[no-any-return]

    def _beta_gradient(self, y: Points) -> Points:
        """grad beta(y) with the current weights, [batch, dim], for MLP potentials."""
        assert isinstance(self.potential.module, MLPPotential)
        gradient = self.potential.module.input_gradient(dtype=self.dtype)(y)
        gradient = gradient * self.config.potential_scale
        if self.config.drift_form == "softened_endpoint":
            gradient = gradient - y / self.config.endpoint_softening
        return gradient

    def step(
        self, problem: EOTProblem, *, rng: torch.Generator, progress: float
    ) -> dict[str, float]:
        """`num_drift_steps` updates of f and one of beta.

        With `drift_loss: path` f comes first, as in the paper; with `adjoint` beta does, since both
        then use the same simulated paths. The cost is 1/2|x - y|^2, the energy of the SDE;
        `problem.cost` is not read.
        """
        config = self.config
        rows = distributed.batch(config.batch_size, key="batch_size")
        if config.drift_form == "gaussian_endpoint" and self.base is None:
            self.base = self._fit_base(problem, rng=rng)
            distributed.broadcast(self.base.state(), device=self.device)
        ramp = 1.0 if progress >= config.epsilon_ramp else progress / config.epsilon_ramp
        epsilon = problem.epsilon * ramp
        if config.drift_loss == "adjoint":
            energy, ends = self._new_pairs(problem, epsilon=epsilon, rng=rng)
            y = rows.own(problem.target.sample(config.batch_size, rng=rng))
            gap = self._step_potential(y, rows.own(ends), progress=progress)
            self._regress_drift(epsilon=epsilon, rng=rng, progress=progress)
        else:
            energy = self._descend_paths(problem, rows, epsilon=epsilon, rng=rng, progress=progress)
            x0 = rows.own(problem.source.sample(config.batch_size, rng=rng))
            y = rows.own(problem.target.sample(config.batch_size, rng=rng))
            with torch.no_grad():
                ends = self.simulate(x0, rng=rng, epsilon=epsilon, rows=rows).final
            gap = self._step_potential(y, ends, progress=progress)
        return {"energy": float(energy), "potential_gap": float(gap)}

    def _fit_base(self, problem: EOTProblem, *, rng: torch.Generator) -> GaussianBase:
        config = self.config.gaussian_base
        dim = math.prod(problem.target.shape)  # before so many are drawn
        check_size(dim, "drift_form", "gaussian_endpoint", instead="bounded_endpoint")
        return GaussianBase.fit(
            problem.source.sample(config.num_points, rng=rng),
            problem.target.sample(config.num_points, rng=rng),
            times=self.times[:-1],
            epsilon=self.epsilon,
            config=config,
        )

    def _step_potential(self, y: Points, ends: Points, *, progress: float) -> torch.Tensor:
        """One ascent step of E beta(y) - E beta(ends) in beta; returns that difference."""
        config = self.config
        gap = self.beta(y).mean() - self.beta(ends).mean()
        rate = decayed(config.potential_learning_rate, config.learning_rate_schedule, progress)
        apply_gradients(self.potential_optimizer, -gap, learning_rate=rate)
        self.potential.update()
        return gap.detach()

    def _step_drift(self, loss: torch.Tensor, *, progress: float) -> None:
        config = self.config
        rate = decayed(config.drift_learning_rate, config.learning_rate_schedule, progress)
        apply_gradients(self.drift_optimizer, loss, learning_rate=rate)
        self.drift.update()

    def _descend_paths(
        self,
        problem: EOTProblem,
        rows: Rows,
        *,
        epsilon: float,
        rng: torch.Generator,
        progress: float,
    ) -> torch.Tensor:
        """Updates of f by the gradient through simulated paths; returns their mean energy."""
        for _ in range(self.config.num_drift_steps):
            x0 = rows.own(problem.source.sample(self.config.batch_size, rng=rng))
            with frozen(self.potential.module):
                path = self.simulate(x0, rng=rng, epsilon=epsilon, rows=rows)
                energy = path.energy.mean()
                loss = energy - self.beta(path.final).mean()
            self._step_drift(loss, progress=progress)
        return energy.detach()

    @torch.no_grad()
    def _new_pairs(
        self, problem: EOTProblem, *, epsilon: float, rng: torch.Generator
    ) -> tuple[torch.Tensor, Points]:
        """Simulate a batch and keep its pairs (X_0, X_1); returns the mean energy and X_1.

        Every process has all pairs; the energy is that of its share.
        """
        config, settings = self.config, self.config.adjoint
        x0 = problem.source.sample(config.batch_size, rng=rng)
        num_paths = settings.num_paths if epsilon > 0 else 1  # without noise they are all the same
        rows = distributed.rows(len(x0) * num_paths)
        starts = rows.own(x0.repeat_interleave(num_paths, 0))
        path = self.simulate(starts, rng=rng, epsilon=epsilon, rows=rows)
        ends = rows.gather(path.final)
        if num_paths > 1:
            log_weights = rows.gather(self.beta(path.final) - path.energy - path.noise_work)
            ends = choose_paths(
                ends.unflatten(0, (-1, num_paths)),
                log_weights.view(-1, num_paths) / epsilon,
                rng=rng,
            )
        kept = config.batch_size * (settings.num_kept_batches - 1)
        x, y = torch.cat([x0, self.pairs[0][:kept]]), torch.cat([ends, self.pairs[1][:kept]])
        y = exchange_ends(x, y, epsilon=epsilon, num_rounds=settings.num_exchange_rounds, rng=rng)
        self.pairs = x, y
        return path.energy.mean(), ends

    def _regress_drift(self, *, epsilon: float, rng: torch.Generator, progress: float) -> None:
        """Updates of f towards grad beta(X_1) at points of bridges between the kept pairs."""
        config, (x, y) = self.config, self.pairs
        kept = distributed.rows(len(y))
        pull = kept.gather(self._beta_gradient(kept.own(y)))
        share = distributed.batch(config.adjoint.batch_size, key="adjoint.batch_size")
        for _ in range(config.num_drift_steps):
            rows = torch.randint(
                len(x), (config.adjoint.batch_size,), generator=rng, device=self.device
            )
            t = torch.rand(len(rows), 1, generator=rng, device=self.device)
            state = bridge_points(x[rows], y[rows], t, epsilon=epsilon, rng=rng)
            state, t, rows = share.own(state), share.own(t), share.own(rows)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
                out = self.drift.module(t, state)
            factor, shortcut = self._precondition(t)
            target = self.regression_target(t, state, y[rows], pull[rows])
            loss = (out + shortcut * state - target / factor).square().sum(1).mean()
            self._step_drift(loss, progress=progress)

    def regression_target(self, t: torch.Tensor, x: Points, y: Points, pull: Points) -> Points:
        """What f(t, x) is fitted to, [n, dim]; t [n, 1], x = X_t, y = X_1, pull = grad beta(y).

        Given X_t, pull and the bridge's slope (y - x) / (1 - t) have the same mean along the
        optimal process: they differ by the score of its X_1, times epsilon. With drift_form
        softened_endpoint and s its softening, their mean with the weights s and 1 - t has no
        variance at all in a round Gaussian of variance epsilon s, but follows a change of beta
        slowly; gradient_share says how much of the target is pull itself.
        """
        share = self.config.adjoint.gradient_share
        if share == 1:
            return pull
        s = self.config.endpoint_softening
        quiet = (s * pull + y - x) / (1 - t + s)
        return torch.lerp(quiet, pull, share)

    @torch.no_grad()
    def path(self, x: Points, *, rng: torch.Generator) -> torch.Tensor:
        """States of the SDE with the averaged weights, [num_euler_steps + 1, batch, *dim]."""
        x = x.to(self.device, torch.float32)
        with self.drift.averaged():
            path = self.simulate(x, rng=rng, epsilon=self.epsilon, keep_states=True)
        return torch.stack(path.states)

    @torch.no_grad()
    def sample(
        self,
        x: Points,
        *,
        rng: torch.Generator,
        observe: Observer | None = None,
        rows: Rows | None = None,
    ) -> Points:
        """End points of the SDE with the averaged weights; `observe` is shown its states.

        rows: where x is the share of one process.
        """
        x = x.to(self.device, torch.float32)
        with self.drift.averaged():
            path = self.simulate(x, rng=rng, epsilon=self.epsilon, observe=observe, rows=rows)
            return path.final

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": {
                "drift": self.drift.model_state(),
                "potential": self.potential.model_state(),
                **({} if self.base is None else {"base": self.base.state()}),
            },
            "training": {
                "drift": self.drift.training_state(),
                "potential": self.potential.training_state(),
                "drift_optimizer": self.drift_optimizer.state_dict(),
                "potential_optimizer": self.potential_optimizer.state_dict(),
                "pairs": {"x": self.pairs[0], "y": self.pairs[1]},
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        model, training = state["model"], state.get("training")
        if "base" in model:
            self.base = GaussianBase.from_state(model["base"], device=self.device)
        self.drift.load(model["drift"], training and training["drift"])
        self.potential.load(model["potential"], training and training["potential"])
        if training:
            self.drift_optimizer.load_state_dict(training["drift_optimizer"])
            self.potential_optimizer.load_state_dict(training["potential_optimizer"])
            pairs = training["pairs"]
            self.pairs = pairs["x"].to(self.device), pairs["y"].to(self.device)
