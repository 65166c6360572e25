"""The only place where names become objects: problems with their data, and solvers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from entropic_ot.costs import Cost, DecodedHalfSquaredEuclidean, HalfSquaredEuclidean
from entropic_ot.data.arrays import load_prepared
from entropic_ot.data.msci import MsciData, load_msci
from entropic_ot.device import choose_compile, choose_precision, make_rng
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.config import (
    EightGaussiansProblem,
    FacesProblem,
    GaussianProblem,
    LatentProblem,
    MixtureProblem,
    MSCIProblem,
    ProblemConfig,
    RunConfig,
    SwissRollProblem,
)
from entropic_ot.experiments.paths import PREPARED, RAW, Layout, dataset_name
from entropic_ot.experiments.store import load_arrays
from entropic_ot.generators.config import Latent
from entropic_ot.generators.encoding import LatentMoments
from entropic_ot.generators.latent_space import (
    Decode,
    EncodedStart,
    MappedNormal,
    decode_w,
    decode_z,
)
from entropic_ot.networks.stylegan2_file import load_generator
from entropic_ot.problems.base import ArrayDistribution, Distribution, EOTProblem
from entropic_ot.problems.gaussian import Gaussian, GaussianPlan, haar_covariance
from entropic_ot.problems.mixture import (
    MixturePlan,
    MixtureTarget,
    load_archive,
    random_mixture,
    round_gaussian,
)
from entropic_ot.problems.toy import EightGaussians, StandardNormal, SwissRoll
from entropic_ot.solvers.base import Solver
from entropic_ot.solvers.config import EgNOTConfig, ENOTConfig, LightSBConfig, SinkhornConfig
from entropic_ot.solvers.egnot import EgNOT, Start
from entropic_ot.solvers.enot import ENOT
from entropic_ot.solvers.lightsb import LightSB
from entropic_ot.solvers.sinkhorn import Sinkhorn


@dataclass(frozen=True)
class LatentSide:
    """What a latent problem has besides the points that its solver sees."""

    decode: Decode
    """Points of the latent space -> images."""
    source_images: Distribution
    """Row i: the image behind row i of the test source."""
    target_images: Distribution
    """Test images of the target."""
    cost: Cost
    """Between a source point and a latent."""
    start: Start | None
    """Where EgNOT's chains start; None: where its base potential says."""
    generator: Decode
    """z -> G(z), whatever the space of the problem."""
    z_dim: int


@dataclass(frozen=True)
class Benchmark:
    """A problem as the experiments see it: what is trained on and what is tested with."""

    source: Distribution
    target: Distribution
    test_source: Distribution
    test_target: Distribution
    plan: GaussianPlan | MixturePlan | None = None
    """The closed form, where there is one."""
    msci: MsciData | None = None
    """The single-cell populations with the held-out day."""
    latent: LatentSide | None = None
    """The images behind a latent problem."""
    paired_test: bool = False
    """Row i of the test target belongs to row i of the test source (faces)."""

    def eot(self, epsilon: float) -> EOTProblem:
        """The problem that a solver is given."""
        cost = HalfSquaredEuclidean() if self.latent is None else self.latent.cost
        return EOTProblem(self.source, self.target, epsilon, cost)


def build_run(config: RunConfig, *, device: torch.device) -> tuple[Benchmark, Solver]:
    """The problem of a run and its solver; reads the files of `Layout.data_files`."""
    if isinstance(config.solver, SinkhornConfig):
        device = torch.device("cpu")  # where its solver computes
    if isinstance(config.problem, LatentProblem):
        benchmark = _latent(config, config.problem, device=device)
    else:
        benchmark = build_benchmark(config.problem, epsilon=config.epsilon)
    shape = benchmark.target.shape
    return benchmark, build_solver(config, shape, device=device, benchmark=benchmark)


def build_benchmark(problem: ProblemConfig, *, epsilon: float) -> Benchmark:
    """The distributions of a problem, not a latent one; reads prepared data where it has some."""
    if isinstance(problem, EightGaussiansProblem):
        return _same(StandardNormal((2,)), EightGaussians(radius=problem.radius, std=problem.std))
    if isinstance(problem, SwissRollProblem):
        return _same(StandardNormal((2,)), SwissRoll(noise=problem.noise, scale=problem.scale))
    if isinstance(problem, GaussianProblem):
        a = haar_covariance(problem.dim, seed=problem.source_seed)
        b = haar_covariance(problem.dim, seed=problem.target_seed)
        return _same(Gaussian(a), Gaussian(b), plan=GaussianPlan(a, b, epsilon))
    if isinstance(problem, MixtureProblem):
        mixture_plan = build_mixture_plan(problem, epsilon=epsilon)
        return _same(mixture_plan.source, MixtureTarget(mixture_plan), plan=mixture_plan)
    if isinstance(problem, MSCIProblem):
        cells = load_msci(RAW / "msci", problem.dim, problem.setting)
        source, target = ArrayDistribution(cells.source), ArrayDistribution(cells.target)
        return Benchmark(source, target, source, target, msci=cells)
    name = dataset_name(problem)
    assert name is not None, "every other problem has prepared data"
    return _prepared(PREPARED / name, paired_test=isinstance(problem, FacesProblem))


def build_mixture_plan(problem: MixtureProblem, *, epsilon: float) -> MixturePlan:
    """The paper's parameters from its archive, or our own draw."""
    if problem.archive is not None:
        source, potential = load_archive(Path(problem.archive), problem.dim, epsilon)
        return MixturePlan(source, potential, epsilon)
    potential = random_mixture(
        problem.dim,
        num_components=problem.num_components,
        mean_norm=problem.mean_norm,
        component_std=problem.component_std,
        rng=make_rng(problem.parameters_seed),
    )
    return MixturePlan(round_gaussian(problem.dim, std=problem.source_std), potential, epsilon)


def _same(
    source: Distribution,
    target: Distribution,
    *,
    plan: GaussianPlan | MixturePlan | None = None,
) -> Benchmark:
    """Distributions given by a formula: fresh draws are test points."""
    return Benchmark(source, target, source, target, plan=plan)


def _prepared(folder: Path, *, paired_test: bool) -> Benchmark:
    def part(name: str) -> ArrayDistribution:
        return ArrayDistribution(load_prepared(folder, name), name=str(folder / name))

    return Benchmark(
        source=part("source_train"),
        target=part("target_train"),
        test_source=part("source_test"),
        test_target=part("target_test"),
        paired_test=paired_test,
    )


def _latent(config: RunConfig, problem: LatentProblem, *, device: torch.device) -> Benchmark:
    images = build_benchmark(problem.images, epsilon=config.epsilon)
    layout, dataset = Layout(config.scale), dataset_name(problem)
    assert dataset is not None
    generator = load_generator(layout.generator(problem.generator), device=device)
    generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    precision = choose_precision(config.compute.precision, device)
    sizes = generator.config
    made = (sizes.img_channels, sizes.resolution, sizes.resolution)
    if made != images.source.shape:
        raise ConfigError(
            f"problem.generator: found {problem.generator}, which makes images of shape {made}, "
            f"for images of shape {images.source.shape}, expected the same. Change "
            "problem.images.image_size, or take another generator."
        )

    from_z = decode_z(generator, precision=precision)

    def with_images(
        decode: Decode, cost: Cost, source: Distribution, target: Distribution,
        test_source: Distribution, start: Start | None = None,
    ) -> Benchmark:  # fmt: skip
        side = LatentSide(
            decode, images.test_source, images.test_target, cost, start, from_z, sizes.z_dim
        )
        return Benchmark(source, target, test_source, target, latent=side)

    path, start = layout.latents(problem.generator, dataset), None
    encoded = load_arrays(path, command="encode") if problem.reads_encoded else {}
    if problem.start != "base":
        latent: Latent = "z" if problem.space == "z" else "w"
        descend = problem.start == "encoded"
        start = EncodedStart(encoded, generator, latent=latent, descend=descend, path=str(path))
    if problem.space == "z":
        cost = DecodedHalfSquaredEuclidean(from_z)
        normal = StandardNormal((sizes.z_dim,))
        return with_images(from_z, cost, images.source, normal, images.test_source, start)
    mean, root = (torch.from_numpy(encoded[name]).to(device) for name in ("w_mean", "w_root"))
    moments = LatentMoments(mean, root)
    decode = decode_w(generator, moments.w_of, precision=precision)
    own = MappedNormal(generator, moments.u_of)
    if problem.space == "w":
        cost = DecodedHalfSquaredEuclidean(decode)
        return with_images(decode, cost, images.source, own, images.test_source, start)
    train, test = (
        ArrayDistribution(moments.u_of(w.to(device)).cpu().numpy())
        for w in (torch.from_numpy(encoded[f"source_{part}_w"]) for part in ("train", "test"))
    )
    return with_images(decode, HalfSquaredEuclidean(), train, own, test)


def build_solver(
    config: RunConfig,
    shape: tuple[int, ...],
    *,
    device: torch.device,
    benchmark: Benchmark | None = None,
) -> Solver:
    """The solver of a run on target points of `shape`, with weights drawn from the run's seed.

    `benchmark`: where its cost is another than 1/2 |x - y|^2.
    """
    latent = None if benchmark is None else benchmark.latent
    precision = choose_precision(config.compute.precision, device)
    compiled = choose_compile(config.compute.compile, device)
    settings = config.solver
    if isinstance(settings, ENOTConfig):
        return ENOT(
            shape,
            settings,
            epsilon=config.epsilon,
            precision=precision,
            compiled=compiled,
            device=device,
            seed=config.seed,
        )
    if isinstance(settings, EgNOTConfig):
        return EgNOT(
            shape,
            settings,
            epsilon=config.epsilon,
            cost=None if latent is None else latent.cost,
            source_shape=None if benchmark is None else benchmark.source.shape,
            start=None if latent is None else latent.start,
            precision=precision,
            compiled=compiled,
            device=device,
            seed=config.seed,
        )
    if isinstance(settings, LightSBConfig):
        return LightSB(shape, settings, epsilon=config.epsilon, device=device)
    return Sinkhorn(shape, settings, epsilon=config.epsilon)


def as_array(points: torch.Tensor) -> np.ndarray:
    """Points as float32 numpy rows on the CPU."""
    return points.detach().float().cpu().numpy()
