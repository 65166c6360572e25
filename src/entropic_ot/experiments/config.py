"""One run, fully resolved: what a training job reads (a JSON file) and what it depends on.

This module does not import torch; the names of experiments and methods are those of PROTOCOLS.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from entropic_ot.errors import ConfigError
from entropic_ot.networks.config import NetworkConfig, check_kind
from entropic_ot.solvers.config import (
    GAUSSIAN_BASE_MAX_DIM,
    DiscretePlanConfig,
    EgNOTConfig,
    ENOTConfig,
    LightSBConfig,
    SinkhornConfig,
    SolverConfig,
)
from entropic_ot.strict import (
    at_least,
    convert,
    from_mapping,
    nearest,
    not_negative,
    positive,
    seeds,
    shown,
)

Method = Literal["enot", "egnot", "sinkhorn", "lightsb"]
SOLVER_CONFIGS: dict[str, type] = {
    "enot": ENOTConfig,
    "egnot": EgNOTConfig,
    "sinkhorn": SinkhornConfig,
    "lightsb": LightSBConfig,
}
NEEDED_COUNTS = {"cbw_uvp": ("num_conditional_moments", 1), "bw_uvp_path": ("num_path_times", 2)}
"""metric -> the count of EvaluationConfig that must not be 0 for it, and the least it can be."""


@dataclass(frozen=True, kw_only=True)
class EightGaussiansProblem:
    """N(0, I) in the plane to eight Gaussians on a circle (ENOT paper)."""

    kind: Literal["toy_8gaussians"]
    """The problem's name."""
    radius: float
    """Radius of the circle of centres."""
    std: float
    """Standard deviation of each mode."""

    def __post_init__(self) -> None:
        not_negative(self, "radius", "std")


@dataclass(frozen=True, kw_only=True)
class SwissRollProblem:
    """N(0, I) in the plane to a Swiss roll (EgNOT paper)."""

    kind: Literal["toy_swissroll"]
    """The problem's name."""
    noise: float
    """Standard deviation of the noise before scaling (0.8)."""
    scale: float
    """Factor on all coordinates (1 / 7.5)."""

    def __post_init__(self) -> None:
        not_negative(self, "noise")
        positive(self, "scale")


@dataclass(frozen=True, kw_only=True)
class GaussianProblem:
    """N(0, A) to N(0, B) with the EgNOT paper's random covariances."""

    kind: Literal["gaussian"]
    """The problem's name."""
    dim: int
    """Dimension D."""
    source_seed: int
    """Seed of the source's rotation (42)."""
    target_seed: int
    """Seed of the target's rotation (43)."""

    def __post_init__(self) -> None:
        at_least(1, self, "dim")
        seeds(self, "source_seed", "target_seed", bits=32)  # numpy's legacy generator takes no more


@dataclass(frozen=True, kw_only=True)
class MixtureProblem:
    """N(0, s^2 I) to what a Gaussian mixture as potential makes of it; the target has an epsilon.

    Building the Bridge of Schroedinger (arXiv 2306.10161); docs/conventions.md, section 7.
    """

    kind: Literal["mixture"]
    """The problem's name."""
    dim: int
    """Dimension D."""
    num_components: int
    """Components of the potential, of equal weight."""
    mean_norm: float
    """Norm of their means, which are uniform on the sphere."""
    component_std: float
    """Standard deviation of each component along every axis."""
    source_std: float
    """Standard deviation of the source along every axis."""
    parameters_seed: int
    """Seed of the means."""
    archive: str | None
    """Path of the paper's parameters, gaussian_mixture_benchmark_data.zip: source and potential
    then come from there, and of the other keys only `dim` counts. null: our own draw."""

    def __post_init__(self) -> None:
        at_least(1, self, "dim", "num_components")
        positive(self, "mean_norm", "component_std", "source_std")
        seeds(self, "parameters_seed")


@dataclass(frozen=True, kw_only=True)
class ColouredMNISTProblem:
    """Randomly coloured digits to randomly coloured digits of another class, unpaired."""

    kind: Literal["coloured_mnist"]
    """The problem's name."""
    source_digit: int
    """Class of the source (2)."""
    target_digit: int
    """Class of the target (3)."""
    image_size: int
    """Side of the images in pixels (32)."""
    hue_seed: int
    """Seed of the hues, drawn independently for the two digits."""

    def __post_init__(self) -> None:
        for name in ("source_digit", "target_digit"):
            digit = getattr(self, name)
            if not 0 <= digit <= 9:
                raise ConfigError(f"{name}: found {digit!r}, expected a digit from 0 to 9")
        at_least(1, self, "image_size")
        seeds(self, "hue_seed")


@dataclass(frozen=True, kw_only=True)
class MSCIProblem:
    """Single-cell populations on two days, evaluated on a day between (MSCI protocol)."""

    kind: Literal["msci"]
    """The problem's name."""
    dim: Literal[50, 100]
    """Number of principal components."""
    setting: Literal["2to4", "3to7"]
    """Days of source and target; day 3 or 4 is held out."""


@dataclass(frozen=True, kw_only=True)
class ArraysProblem:
    """The user's own two samples: .npy or .npz files or folders of images."""

    kind: Literal["arrays"]
    """The problem's name."""
    source: str
    """Path of the source sample."""
    target: str
    """Path of the target sample."""
    image_size: int | None
    """Side in pixels that images are resized to; null for vectors."""
    test_share: float
    """Share of the rows kept out of training."""
    split_seed: int
    """Seed of the split into training and test rows."""

    def __post_init__(self) -> None:
        if self.image_size is not None:
            at_least(1, self, "image_size")
        if not 0 < self.test_share < 1:
            raise ConfigError(
                f"test_share: found {self.test_share!r}, expected a number > 0 and < 1"
            )
        seeds(self, "split_seed")


@dataclass(frozen=True, kw_only=True)
class FacesProblem:
    """Blurred faces to sharp faces of other people, unpaired (deblurring of the ENOT paper).

    The test images are the same on both sides, row by row.
    """

    kind: Literal["faces"]
    """The problem's name."""
    dataset: Literal["celeba", "orl"]
    """CelebA is the paper's; orl has 400 grey faces, of one channel, of 40 people."""
    image_size: int
    """Side of the images in pixels (64)."""
    low_size: int
    """Side in pixels of what the blurred faces are enlarged from (32)."""
    test_share: float
    """Share of the photographs (orl: of the people) kept out of training; the rest is halved."""
    split_seed: int
    """Seed of the split into source, target and test."""
    skip_bad_files: bool
    """Whether images that cannot be read are left out, and listed in meta.json; else an error."""

    def __post_init__(self) -> None:
        at_least(1, self, "image_size", "low_size")
        seeds(self, "split_seed")
        if self.low_size >= self.image_size:
            raise ConfigError(
                f"low_size: found {self.low_size!r}, expected fewer than image_size, "
                f"{self.image_size!r}: the blurred faces are enlarged from it"
            )
        if not 0 < self.test_share < 1:
            raise ConfigError(
                f"test_share: found {self.test_share!r}, expected a number > 0 and < 1"
            )


IMAGE_CLASSES: dict[str, tuple[str, ...]] = {
    "afhq": ("cat", "dog", "wild"),
    "cifar10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class ImageClassesProblem:
    """Photographs of one class to photographs of another, unpaired."""

    kind: Literal["image_classes"]
    """The problem's name."""
    dataset: Literal["afhq", "cifar10"]
    """AFHQ (version 1) is the paper's, 512 pixels; CIFAR-10 has 32."""
    source_class: str
    """Class of the source (cat)."""
    target_class: str
    """Class of the target (dog)."""
    image_size: int
    """Side in pixels that the images are resized to."""
    skip_bad_files: bool
    """Whether images that cannot be read are left out, and listed in meta.json; else an error."""

    def __post_init__(self) -> None:
        at_least(1, self, "image_size")
        classes = IMAGE_CLASSES[self.dataset]
        for name in ("source_class", "target_class"):
            if getattr(self, name) not in classes:
                raise ConfigError(
                    f"{name}: found {getattr(self, name)!r}; "
                    f"{nearest(getattr(self, name), classes)}"
                )
        if self.source_class == self.target_class:
            raise ConfigError(
                f"target_class: found {self.target_class!r}, expected another than source_class"
            )


ImageProblem = ColouredMNISTProblem | FacesProblem | ImageClassesProblem
"""Problems between two sets of images, unpaired."""


@dataclass(frozen=True, kw_only=True)
class LatentProblem:
    """Images to a latent space of a generator of the target's images (generators.latent_space)."""

    kind: Literal["latent"]
    """The problem's name."""
    images: ImageProblem
    """Source and target as images: the generator is one of the target's images."""
    generator: str
    """Key below `generators` in params.yaml."""
    space: Literal["z", "w", "encoded"]
    """z: source images x to z ~ N(0, I), cost 1/2 |x - G(z)|^2, for egnot. w: the same to the
    generator's own w, whitened. encoded: the w of encoded source images to the generator's own w,
    whitened, cost 1/2 |w - w'|^2, for all."""
    start: Literal["base", "encoder", "encoded"]
    """Where egnot's chains start in z and w. base: at draws of its base_potential. encoder: where
    the generator's encoder says (z: with encoding.latent z). encoded: where descent from there
    ends, the point that x is encoded as."""

    def __post_init__(self) -> None:
        if self.space == "encoded" and self.start != "base":
            raise ConfigError(
                f"start: found {self.start} with space encoded, expected base: there chains start "
                "from encoded images already, which are the source. Set it."
            )

    @property
    def reads_encoded(self) -> bool:
        """Whether a run reads the encoded images (or their encoder) besides the generator."""
        return self.space != "z" or self.start != "base"


ProblemConfig = (
    EightGaussiansProblem
    | SwissRollProblem
    | GaussianProblem
    | MixtureProblem
    | ColouredMNISTProblem
    | MSCIProblem
    | ArraysProblem
    | FacesProblem
    | ImageClassesProblem
    | LatentProblem
)


def image_problem(problem: ProblemConfig) -> ProblemConfig:
    """The problem whose prepared data is read: that of the images, for a latent one."""
    return problem.images if isinstance(problem, LatentProblem) else problem


def has_images(problem: ProblemConfig) -> bool:
    """Whether the points are images by the problem's settings, not vectors."""
    if isinstance(problem, ArraysProblem):
        return problem.image_size is not None
    return isinstance(problem, (ColouredMNISTProblem, FacesProblem, ImageClassesProblem))


def num_values(problem: ProblemConfig) -> int:
    """Values of an image (at least, where the data decides on colour); 0 for other points."""
    images = ArraysProblem | ColouredMNISTProblem | FacesProblem | ImageClassesProblem
    if not isinstance(problem, images) or problem.image_size is None:
        return 0
    grey = isinstance(problem, ArraysProblem)
    grey = grey or (isinstance(problem, FacesProblem) and problem.dataset == "orl")
    return (1 if grey else 3) * problem.image_size**2


@dataclass(frozen=True, kw_only=True)
class ComputeConfig:
    """Where and how numbers are computed, the same for all runs."""

    device: Literal["auto", "cpu", "cuda"]
    """auto: CUDA when it is there, else the CPU; the log says which."""
    precision: Literal["auto", "float32", "bfloat16"]
    """Of the networks' hidden layers. auto: bfloat16 where the hardware multiplies it natively."""
    compile: Literal["auto", "always", "never"]
    """torch.compile for the networks. auto: on CUDA only, with CUDA graphs; the record names it."""
    checkpoint_seconds: float
    """Seconds between checkpoints of a training."""
    log_points: int
    """Lines in a training's log.jsonl, evenly spaced over the training."""

    def __post_init__(self) -> None:
        not_negative(self, "checkpoint_seconds")
        at_least(1, self, "log_points")


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How a trained run is sampled, the same for all runs of a case."""

    num_samples: int
    """Pairs (x, y) drawn from the learned plan."""
    num_conditional: int
    """Source points that get many samples each."""
    num_per_source: int
    """Samples for each of these."""
    num_conditional_moments: int
    """Source points for which mean and covariance of y given x are kept (vectors); 0: none."""
    num_per_moment: int
    """Samples behind each of these means and covariances."""
    num_path_times: int
    """Mean and covariance of X_t over all sampled pairs are kept at t = j / num_path_times,
    0 < j < num_path_times (vectors); 0: none."""
    num_paths: int
    """Trajectories kept (ENOT; bridges of sampled pairs for the other methods)."""
    batch_size: int
    """Points sampled at once: bounds the memory."""
    seed: int
    """Seed of the test points and of the sampling noise."""

    def __post_init__(self) -> None:
        # Two is the least with which a variance and a U-statistic are defined.
        at_least(2, self, "num_samples", "num_per_source", "num_per_moment")
        at_least(1, self, "num_conditional", "num_paths", "batch_size")
        at_least(0, self, "num_conditional_moments", "num_path_times")
        seeds(self, "seed")
        if self.num_path_times == 1:
            raise ConfigError(
                "num_path_times: found 1, expected 0 or an integer >= 2: the times are "
                "j / num_path_times inside (0, 1), and 1 has none"
            )


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(SamplingConfig):
    """How a trained run is sampled and measured, the same for all runs of a case."""

    metrics: tuple[str, ...]
    """Names from the registry in entropic_ot.metrics."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.metrics:
            raise ConfigError("metrics: found an empty list, expected at least one metric")
        for name in self.metrics:
            if self.metrics.count(name) > 1:
                raise ConfigError(f"metrics: {name!r} stands twice; keep one of them")
        for name, (key, least) in NEEDED_COUNTS.items():
            if name in self.metrics and getattr(self, key) == 0:
                raise ConfigError(
                    f"{key}: found 0, expected an integer >= {least}, because metrics asks for "
                    f"{name}. Raise it, or take {name} out of metrics."
                )

    @property
    def sampling(self) -> SamplingConfig:
        """What of it samples depend on: they are not drawn again for another metric."""
        names = [f.name for f in dataclasses.fields(SamplingConfig)]
        return SamplingConfig(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """The independent digit classifier behind share_three."""

    image_size: int
    """Side of its input in pixels; images of other sizes are resized to it."""
    width: int
    """Channels of its first convolution."""
    num_epochs: int
    """Passes over the training digits."""
    batch_size: int
    """Digits in a batch."""
    learning_rate: float
    """Adam's step size."""
    seed: int
    """Seed of weights and order."""

    def __post_init__(self) -> None:
        at_least(1, self, "image_size", "width", "num_epochs", "batch_size")
        positive(self, "learning_rate")
        seeds(self, "seed")


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """One large discrete plan, shared by all runs of a case at one epsilon."""

    scale: str
    """smoke, laptop or paper: the folder of the results."""
    case: str
    """Experiment and variant, as in paths."""
    epsilon: float
    """Entropic regularisation."""
    problem: ProblemConfig
    """What is transported to what."""
    settings: DiscretePlanConfig
    """How the plan is computed."""

    def __post_init__(self) -> None:
        positive(self, "epsilon")

    @property
    def name(self) -> str:
        """The plan within its case, as in paths: eps0.1."""
        return f"eps{self.epsilon:g}"


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training: (experiment, variant, method, epsilon, seed) and every number it uses."""

    scale: str
    """smoke, laptop or paper: the folder of the results."""
    experiment: str
    """Name in params.yaml."""
    variant: str | None
    """Variant of the experiment; null when it has none."""
    method: Method
    """Which solver."""
    epsilon: float
    """Entropic regularisation, the factor of the entropy; 0 is plain optimal transport."""
    seed: int
    """Seed of the weights and of all draws in training."""
    num_steps: int
    """Outer training steps."""
    problem: ProblemConfig
    """What is transported to what."""
    solver: SolverConfig
    """Settings of the method."""
    compute: ComputeConfig
    """Device and precision."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise ConfigError(f"epsilon: found {self.epsilon!r}, expected a number >= 0")
        if self.method in ("egnot", "lightsb") and self.epsilon == 0:
            raise ConfigError(
                f"epsilon: found 0 for {self.method}, expected a number > 0 "
                "(plain OT is solved by enot)"
            )
        if self.method == "lightsb" and has_images(self.problem):
            raise ConfigError(
                f"method: found lightsb for a problem of images ({self.problem.kind}), expected "
                "enot, egnot or sinkhorn there (its Gaussian mixture is a model of vectors)"
            )
        if isinstance(self.problem, LatentProblem) and self.problem.space != "encoded":
            self._check_decoded()
        if isinstance(self.problem, MixtureProblem) and self.epsilon == 0:
            raise ConfigError(
                "epsilon: found 0 for the problem mixture, expected a number > 0 "
                "(its plan is defined by an epsilon)"
            )
        at_least(1, self, "num_steps")
        seeds(self, "seed")
        if isinstance(self.solver, ENOTConfig):
            self.solver.check_epsilon(self.epsilon)
            self._check_gaussian_base("drift_form", "gaussian_endpoint", "bounded_endpoint")
        elif isinstance(self.solver, EgNOTConfig):
            self._check_gaussian_base("base_potential", "gaussian", "none")
        self._check_networks()

    def _check_decoded(self) -> None:
        assert isinstance(self.problem, LatentProblem)
        if not isinstance(self.solver, EgNOTConfig):
            raise ConfigError(
                f"method: found {self.method} for a latent problem of space {self.problem.space}, "
                "expected egnot (the cost compares images with decoded latents). Set "
                "problem.space: encoded for the other methods."
            )
        if self.solver.base_potential != "standard_normal":
            raise ConfigError(
                f"settings.base_potential: found {self.solver.base_potential} for a latent problem "
                f"with space {self.problem.space}, expected standard_normal: chains of latents "
                "cannot start from images. Set it."
            )

    def _check_gaussian_base(self, key: str, value: str, instead: str) -> None:
        """Images too large for a Gaussian fit, as far as their size is known without the data."""
        dim = num_values(self.problem)
        if getattr(self.solver, key) == value and dim > GAUSSIAN_BASE_MAX_DIM:
            raise ConfigError(
                f"settings.{key}: found {value} for images of {dim} values, "
                f"expected {GAUSSIAN_BASE_MAX_DIM} at most: their covariances would not fit. "
                f"Set {instead}, or lower problem.image_size."
            )

    def _check_networks(self) -> None:
        """The kinds of network must suit the points, as far as these are known without the data."""
        if isinstance(self.problem, ArraysProblem) and self.problem.image_size is None:
            return  # vectors, or images already of one size: the arrays decide
        image = has_images(self.problem)
        for role in ("drift", "potential"):
            network = getattr(self.solver, role, None)
            if isinstance(network, NetworkConfig):
                check_kind(role, network, 3 if image else 1)

    @property
    def case(self) -> str:
        """The experiment and its variant, as in paths: gaussian-d16."""
        return self.experiment if self.variant is None else f"{self.experiment}-{self.variant}"

    @property
    def name(self) -> str:
        """The run within its case, as in paths: enot-eps0.1-seed0."""
        return f"{self.method}-eps{self.epsilon:g}-seed{self.seed}"

    @property
    def sha256(self) -> str:
        """Hash of everything in here."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()


def to_json(config: Any) -> str:
    """A dataclass as JSON: two spaces, keys in the order of the fields, final newline."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a resolved JSON file; ConfigError where there is none."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: not found; `entropic-ot configure` writes it from params.yaml"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}), expected a JSON file that "
            "`entropic-ot configure` writes. Check the path."
        ) from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8
        raise ConfigError(
            f"{path}: not valid JSON ({error}); `entropic-ot configure` writes it anew"
        ) from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: found {shown(data)}, expected a mapping of keys to values")
    return data


def load_run(path: Path) -> RunConfig:
    """The run in results/<scale>/config/<case>/<run>.json; ConfigError on any misfit."""
    data = read_mapping(path)
    method = data.get("method")
    if not isinstance(method, str) or method not in SOLVER_CONFIGS:
        raise ConfigError(
            f"{path}: method: found {shown(method)}, expected one of {', '.join(SOLVER_CONFIGS)}"
        )
    return run_from_mapping(data, str(path))


def run_from_mapping(data: dict[str, Any], path: str) -> RunConfig:
    """As `from_mapping`, with the settings' type chosen by the method."""
    settings: SolverConfig = from_mapping(
        SOLVER_CONFIGS[data["method"]], data.get("solver"), f"{path}.solver"
    )
    plain = from_mapping(_RunWithoutSolver, {k: v for k, v in data.items() if k != "solver"}, path)
    try:
        return RunConfig(
            **{f.name: getattr(plain, f.name) for f in dataclasses.fields(plain)}, solver=settings
        )
    except ConfigError as error:
        raise ConfigError(f"{path}.{error}") from None


@dataclass(frozen=True, kw_only=True)
class _RunWithoutSolver:
    scale: str
    experiment: str
    variant: str | None
    method: Method
    epsilon: float
    seed: int
    num_steps: int
    problem: ProblemConfig
    compute: ComputeConfig


def load_sampling(path: Path) -> SamplingConfig:
    """The settings in results/<scale>/config/<case>/sampling.json."""
    return from_mapping(SamplingConfig, read_mapping(path), str(path))


def load_evaluation(path: Path) -> EvaluationConfig:
    """The settings in results/<scale>/config/<case>/evaluation.json."""
    return from_mapping(EvaluationConfig, read_mapping(path), str(path))


def load_reference(path: Path) -> ReferenceConfig:
    """The plan in results/<scale>/config/<case>/reference-<eps>.json."""
    return from_mapping(ReferenceConfig, read_mapping(path), str(path))


def load_problem(path: Path) -> ProblemConfig:
    """The data set in results/<scale>/config/data/<dataset>.json."""
    return convert(ProblemConfig, read_mapping(path), str(path))


def load_classifier(path: Path) -> ClassifierConfig:
    """The settings in results/<scale>/config/data/classifier.json."""
    return from_mapping(ClassifierConfig, read_mapping(path), str(path))
