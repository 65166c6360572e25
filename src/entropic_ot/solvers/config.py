"""The settings of the solvers, as they stand in params.yaml; this module does not import torch.

The defaults serve the Python interface: they are the presets `vectors` (ENOT, EgNOT) and `default`
(Sinkhorn, LightSB) of params.yaml, which names every key itself; a test holds them equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from entropic_ot.errors import ConfigError
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.strict import at_least, positive, seeds, share, share_below_one

Precision = Literal["float32", "bfloat16"]
Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True)
class AdjointConfig:
    """How `drift_loss: adjoint` fits the drift (solvers.adjoint_matching)."""

    num_paths: int = 4
    """Paths from each source point of a batch, of which one is kept, drawn by their weights."""
    num_kept_batches: int = 4
    """Batches of pairs (X_0, X_1) that are kept, the newest among them."""
    num_exchange_rounds: int = 10
    """Rounds of Metropolis exchanges of ends between the kept pairs, in each outer step."""
    batch_size: int = 1024
    """Points (t, X_t) of a drift update."""
    gradient_share: float = 1.0
    """Share of grad beta(X_1) in what f is fitted to; the rest is a mixture of it with the bridge's
    slope that has less noise (`ENOT.regression_target`). Below 1 with softened_endpoint only."""

    def __post_init__(self) -> None:
        at_least(1, self, "num_paths", "num_kept_batches", "batch_size")
        at_least(0, self, "num_exchange_rounds")
        share(self, "gradient_share")


GAUSSIAN_BASE_MAX_DIM = 4096
"""Values of an image: the fit takes some dim^3 operations, and dim^2 numbers for each step."""


@dataclass(frozen=True, kw_only=True)
class GaussianBaseConfig:
    """Settings of ENOT's `drift_form: gaussian_endpoint` and EgNOT's `base_potential: gaussian`."""

    num_points: int = 8192
    """Draws of either side that means and covariances are taken of."""
    shrinkage: float = 0.1
    """Share of the covariances that is replaced by their diagonal in the cosine transform."""
    min_variance: float = 1e-3
    """Added to the variance of each pixel."""
    max_std: float = 1.0
    """Corrections are filtered to the target's spectrum, but to no more than this."""

    def __post_init__(self) -> None:
        at_least(2, self, "num_points")
        positive(self, "min_variance", "max_std")
        share(self, "shrinkage")


@dataclass(frozen=True, kw_only=True)
class ENOTConfig:
    """Settings of ENOT."""

    drift: NetworkConfig = NetworkConfig(kind="mlp", width=256, depth=3)
    """Network of f(t, x)."""
    potential: NetworkConfig = NetworkConfig(kind="mlp", width=256, depth=3)
    """Network of beta(y)."""
    potential_scale: float = 1.0
    """beta is the network times this; image energies are sums over pixels, so 100 or more there."""
    drift_form: Literal[
        "velocity", "endpoint", "softened_endpoint", "bounded_endpoint", "gaussian_endpoint"
    ] = "velocity"
    """What the network stands for: f itself, or an end point x1 with f = (x1 - x) / (1 - t).

    endpoint: x1 = x + net. bounded_endpoint: x1 in (-1, 1), for images. softened_endpoint, for
    vectors: f = (net - x) / (1 - t + s) and beta = potential_scale net - |y|^2 / (2 s), so that
    with both networks zero f is optimal for beta. gaussian_endpoint, for images: both networks
    correct the plan between Gaussian fits of the data. See `ENOT.velocity`.
    """
    gaussian_base: GaussianBaseConfig = GaussianBaseConfig()
    """Settings of drift_form gaussian_endpoint."""
    endpoint_softening: float = 0.1
    """s of drift_form softened_endpoint: the variance of the target's narrowest parts / epsilon."""
    drift_loss: Literal["path", "adjoint"] = "path"
    """path: the paper's, the gradient goes back through the simulated path. adjoint: regression of
    grad beta(X_1) on points of bridges between the ends of paths; for vectors."""
    adjoint: AdjointConfig = AdjointConfig()
    """Settings of `drift_loss: adjoint`."""
    num_euler_steps: int = 5
    """Euler-Maruyama steps N on [0, 1], in training and in sampling."""
    time_grid_power: float = 1.5
    """t_k = 1 - (1 - k / N)^power: 1 is uniform; above 1 the last steps are the shortest."""
    noise_last_step: bool = False
    """False: no noise in the last Euler step."""
    num_drift_steps: int = 2
    """Drift updates for one potential update."""
    batch_size: int = 512
    """Points in a batch, of either distribution."""
    drift_learning_rate: float = 1e-3
    """Adam's step size for f."""
    potential_learning_rate: float = 1e-3
    """Adam's step size for beta."""
    adam_beta1: float = 0.5
    """Adam's momentum; large values make the saddle point unstable."""
    learning_rate_schedule: Schedule = "linear"
    """How both learning rates fall during training."""
    ema_decay: float = 0.95
    """Decay of the averaged weights, which are the ones that are sampled."""
    epsilon_ramp: float = 0.0
    """Share of the training in which epsilon rises linearly from 0 to its value."""
    checkpoint_activations: bool = False
    """U-Nets: keep only the states of the path and compute the network again in the backward pass,
    for a quarter of the memory and a third more time. MLPs take no notice of it."""

    def __post_init__(self) -> None:
        at_least(1, self, "num_euler_steps", "num_drift_steps", "batch_size")
        positive(self, "drift_learning_rate", "potential_learning_rate", "time_grid_power")
        positive(self, "endpoint_softening")
        share_below_one(self, "adam_beta1", "ema_decay")
        share(self, "epsilon_ramp")
        self._check_vectors()
        self._check_images()

    def _check_images(self) -> None:
        if self.drift_form != "gaussian_endpoint":
            return
        if self.drift.kind != "unet":
            raise ConfigError(
                f"drift_form: found gaussian_endpoint with a drift of kind {self.drift.kind}, "
                "expected unet, since it is for images. For vectors, networks of kind "
                "quadratic_mlp hold the same plan."
            )
        if self.epsilon_ramp > 0:
            raise ConfigError(
                f"epsilon_ramp: found {self.epsilon_ramp:g} with drift_form: gaussian_endpoint, "
                "expected 0: the plan that it starts from is that of epsilon itself."
            )

    def _check_vectors(self) -> None:
        asked = [f"drift_loss: {self.drift_loss}"] if self.drift_loss == "adjoint" else []
        if self.drift_form == "softened_endpoint":
            asked.append(f"drift_form: {self.drift_form}")
        if asked and self.drift.kind not in ("mlp", "quadratic_mlp"):
            raise ConfigError(
                f"{asked[0]}: found with a drift of kind {self.drift.kind}, expected mlp or "
                "quadratic_mlp, since it is for vectors. Choose another one for images."
            )
        if self.adjoint.gradient_share < 1 and self.drift_form != "softened_endpoint":
            raise ConfigError(
                f"adjoint.gradient_share: found {self.adjoint.gradient_share:g} with drift_form: "
                f"{self.drift_form}, expected 1. Set it, or drift_form: softened_endpoint."
            )
        if self.drift_loss == "adjoint" and self.drift_form == "bounded_endpoint":
            raise ConfigError(
                "drift_form: found bounded_endpoint with drift_loss: adjoint, expected another "
                "form: end points in [-1, 1] are for images. Set velocity or endpoint."
            )

    def check_epsilon(self, epsilon: float) -> None:
        """ConfigError where these settings leave no noise at all although epsilon asks for some."""
        if epsilon > 0 and self.num_euler_steps == 1 and not self.noise_last_step:
            raise ConfigError(
                f"num_euler_steps: found 1 with noise_last_step: false at epsilon = {epsilon:g}, "
                "expected at least 2: the only step would be the one without noise, and y a "
                "function of x. Raise it, or set noise_last_step: true."
            )


@dataclass(frozen=True, kw_only=True)
class EgNOTConfig:
    """Settings of EgNOT."""

    potential: NetworkConfig = NetworkConfig(kind="mlp", width=256, depth=3)
    """Network of g(y)."""
    potential_scale: float = 1.0
    """g is the network times this; image energies are sums over pixels, so 100 or more there."""
    base_potential: Literal["none", "standard_normal", "quadratic", "gaussian"] = "none"
    """standard_normal: -epsilon |y|^2 / 2 is added to g, so that with the network at zero pi(y | x)
    is what N(0, I) becomes when exp(-c(x, y) / epsilon) is its likelihood, and chains start from
    N(0, I), not from x. For targets near N(0, I), as the latents of a generator are.
    quadratic: -epsilon |y|^2 / (2 base_variance) is added to g: the pull into a narrow mode, so
    that the network has to learn only where modes are.
    gaussian: the potential of the plan between Gaussian fits of both sides is added to g, chains
    start at draws of that plan, and run in coordinates in which it is white
    (docs/decisions/0016): the network learns what is not Gaussian. For images and vectors with the
    cost 1/2 |x - y|^2."""
    gaussian_base: GaussianBaseConfig = GaussianBaseConfig()
    """Settings of `base_potential: gaussian`; max_std has no effect here."""
    base_variance: float = 1.0
    """Of `base_potential: quadratic`: about the variance of a mode in one coordinate."""
    num_langevin_steps: int = 11
    """Langevin steps of a training step."""
    num_test_langevin_steps: int = 300
    """Langevin steps of a sample, from x + sqrt(epsilon) noise or as `base_potential` says."""
    num_warm_up_steps: int = 50
    """More Langevin steps of each new chain with `chains: replay`, before it joins the others."""
    num_exchange_rounds: int = 0
    """Rounds of Metropolis exchanges of ends between the chains of a batch, before its Langevin
    steps (dynamics/exchange.py); for `chains: replay` and the cost 1/2 |x - y|^2. With more than 0,
    new chains start at draws of the target, and samples at ends of the buffer's pairs, which are
    kept with the weights: modes get their mass there, and no chain has to cross between them."""
    num_test_exchange_rounds: int = 0
    """Exchanges that each sample is offered with kept pairs, before its Langevin steps."""
    step_size: float = 0.09
    """eta / epsilon: the Langevin step eta in units of epsilon (eta = step_size * epsilon). With
    `base_potential: gaussian` in units of the variance of y given x in the fitted plan, which is
    below epsilon."""
    chains: Literal["replay", "persistent"] = "replay"
    """replay: chains restart from a buffer of (x, y); persistent: one chain per source point,
    of which a batch goes on with different ones (so the source has at least batch_size points)."""
    buffer_size: int = 10000
    """Pairs kept by `chains: replay`."""
    buffer_probability: float = 0.95
    """Share of a batch that goes on from the buffer with `chains: replay`."""
    batch_size: int = 512
    """Points in a batch, of either distribution."""
    learning_rate: float = 1e-3
    """Adam's step size for g."""
    adam_beta1: float = 0.9
    """Adam's momentum."""
    learning_rate_schedule: Schedule = "linear"
    """How the learning rate falls during training."""
    ema_decay: float = 0.99
    """Decay of the averaged weights, which are the ones that are sampled."""

    def __post_init__(self) -> None:
        at_least(1, self, "num_langevin_steps", "num_test_langevin_steps")
        at_least(1, self, "buffer_size", "batch_size")
        at_least(0, self, "num_warm_up_steps", "num_exchange_rounds", "num_test_exchange_rounds")
        positive(self, "step_size", "learning_rate", "base_variance")
        share(self, "buffer_probability")
        share_below_one(self, "adam_beta1", "ema_decay")
        if self.chains == "replay" and self.buffer_size < self.batch_size:
            raise ConfigError(
                f"buffer_size: found {self.buffer_size}, expected at least "
                f"batch_size = {self.batch_size}: the buffer holds the chains of a whole batch"
            )
        self._check_exchanges()

    def _check_exchanges(self) -> None:
        if bool(self.num_exchange_rounds) != bool(self.num_test_exchange_rounds):
            raise ConfigError(
                "num_exchange_rounds, num_test_exchange_rounds: found "
                f"{self.num_exchange_rounds} and {self.num_test_exchange_rounds}, expected none or "
                "both above 0: samples start from the pairs that training exchanged. Set both."
            )
        if self.num_exchange_rounds and self.chains != "replay":
            raise ConfigError(
                f"num_exchange_rounds: found {self.num_exchange_rounds} with chains: "
                f"{self.chains}, expected 0: only a buffer has pairs to exchange. Set it, or "
                "`chains: replay`."
            )
        if self.num_exchange_rounds and self.base_potential == "standard_normal":
            raise ConfigError(
                f"num_exchange_rounds: found {self.num_exchange_rounds} with base_potential: "
                "standard_normal, expected 0: such chains start from N(0, I). Set one of them."
            )


@dataclass(frozen=True, kw_only=True)
class SinkhornConfig:
    """Settings of the Sinkhorn baseline; at epsilon = 0, exact transport, only the first counts."""

    num_points: int = 1024
    """Points drawn from either distribution; the plan between them is computed once."""
    num_iterations: int = 2000
    """Most Sinkhorn iterations at the last epsilon."""
    tolerance: float = 1e-5
    """Stop when the target marginal is met to this (sum of absolute differences)."""
    over_relaxation: float = 1.8
    """Power of the updates: 1 is plain Sinkhorn, below 2 it converges; 1.8 is 10 times faster."""

    def __post_init__(self) -> None:
        at_least(1, self, "num_points", "num_iterations")
        positive(self, "tolerance")
        _check_over_relaxation(self.over_relaxation)


@dataclass(frozen=True, kw_only=True)
class LightSBConfig:
    """Settings of LightSB."""

    num_components: int = 50
    """Components K of the Gaussian mixture v."""
    covariance: Literal["diagonal", "full"] = "diagonal"
    """Shape of the components' covariances epsilon S_k."""
    initial_scale: float = 0.1
    """S_k = initial_scale I at the start, the slope of the map x -> E[Y | X = x] near a centre."""
    batch_size: int = 512
    """Points in a batch, of either distribution."""
    learning_rate: float = 3e-2
    """Adam's step size for epsilon log alpha_k, r_k and the Cholesky factors of S_k."""
    adam_beta1: float = 0.9
    """Adam's momentum."""
    learning_rate_schedule: Schedule = "linear"
    """How the learning rate falls during training."""
    ema_decay: float = 0.99
    """Decay of the averaged weights, which are the ones that are sampled."""

    def __post_init__(self) -> None:
        at_least(1, self, "num_components", "batch_size")
        positive(self, "initial_scale", "learning_rate")
        share_below_one(self, "adam_beta1", "ema_decay")


@dataclass(frozen=True, kw_only=True)
class DiscretePlanConfig:
    """Settings of the two large discrete plans behind conditional_energy_distance."""

    num_points: int
    """Points drawn from either distribution."""
    num_iterations: int
    """Most Sinkhorn iterations at the last epsilon."""
    tolerance: float
    """Stop when the target marginal is met to this (sum of absolute differences)."""
    over_relaxation: float
    """Power of the updates: 1 is plain Sinkhorn, below 2 it converges; 1.8 is 10 times faster."""
    seed: int
    """Seed of the points; not that of any training or evaluation."""

    def __post_init__(self) -> None:
        at_least(2, self, "num_points")
        at_least(1, self, "num_iterations")
        positive(self, "tolerance")
        _check_over_relaxation(self.over_relaxation)
        seeds(self, "seed")


def _check_over_relaxation(value: float) -> None:
    if not 1 <= value < 2:
        raise ConfigError(f"over_relaxation: found {value!r}, expected a number >= 1 and < 2")


SolverConfig = ENOTConfig | EgNOTConfig | SinkhornConfig | LightSBConfig
