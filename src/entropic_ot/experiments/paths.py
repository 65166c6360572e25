"""Every path of the project, made here and parsed nowhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from entropic_ot.experiments.config import (
    ArraysProblem,
    ColouredMNISTProblem,
    MixtureProblem,
    MSCIProblem,
    ProblemConfig,
    to_json,
)

RAW = Path("data/raw")
PREPARED = Path("data/prepared")
WEIGHTS = Path("data/weights")
"""Published weights of networks behind metrics."""
REAL_SIDE = Path("data/cache/real_side")
"""Features of real images, named by their contents: of all scales; no declared output."""
MNIST_SOURCE = RAW / "mnist_source.json"


def dataset_name(problem: ProblemConfig) -> str | None:
    """Folder name below data/prepared; None when the problem is drawn from a formula.

    The name tells every setting that the prepared files depend on.
    """
    if isinstance(problem, ColouredMNISTProblem):
        digits = f"{problem.source_digit}to{problem.target_digit}"
        return f"coloured_mnist-{digits}-{problem.image_size}px-seed{problem.hue_seed}"
    if isinstance(problem, ArraysProblem):
        return "arrays-" + hashlib.sha256(to_json(problem).encode()).hexdigest()[:8]
    return None


def prepared_files(problem: ProblemConfig) -> list[Path]:
    """The files of the prepared data set, in the order in which rules list them."""
    name = dataset_name(problem)
    if name is None:
        return []
    arrays = ["source_train", "source_test", "target_train", "target_test"]
    return [PREPARED / name / f"{a}.npy" for a in arrays] + [PREPARED / name / "meta.json"]


def raw_files(problem: ProblemConfig) -> list[Path]:
    """What the preparation reads (or, where nothing is prepared, the training itself)."""
    if isinstance(problem, ColouredMNISTProblem):
        return [MNIST_SOURCE]
    if isinstance(problem, MSCIProblem):
        return [msci_file(problem.dim, day) for day in (2, 3, 4, 7)]
    if isinstance(problem, ArraysProblem):
        return [Path(problem.source), Path(problem.target)]
    if isinstance(problem, MixtureProblem) and problem.archive is not None:
        return [Path(problem.archive)]
    return []


def data_files(problem: ProblemConfig) -> list[Path]:
    """What trainings, samplings and evaluations read: prepared files, or else the raw ones."""
    return prepared_files(problem) or raw_files(problem)


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

    def run_config(self, case: str, run: str) -> Path:
        return self.root / "config" / case / f"{run}.json"

    def evaluation_config(self, case: str) -> Path:
        return self.root / "config" / case / "evaluation.json"

    def reference_config(self, case: str, name: str) -> Path:
        return self.root / "config" / case / f"reference-{name}.json"

    def data_config(self, dataset: str) -> Path:
        return self.root / "config" / "data" / f"{dataset}.json"

    def run(self, case: str, run: str) -> Path:
        """checkpoint.safetensors, training_state.safetensors, log.jsonl, provenance.json."""
        return self.root / "runs" / case / run

    def work(self, case: str, run: str) -> Path:
        """Checkpoints of the training while it goes on; kept, and no declared output."""
        return self.root / "checkpoints" / case / run

    def samples(self, case: str, run: str) -> Path:
        return self.root / "samples" / case / f"{run}.npz"

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

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def tables(self) -> Path:
        return self.root / "tables"

    @property
    def figures(self) -> Path:
        return self.root / "figures"
