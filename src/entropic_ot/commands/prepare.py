"""`entropic-ot prepare`: raw data into memory-mappable arrays, split into training and test."""

from __future__ import annotations

import json
from pathlib import Path

from entropic_ot.data import afhq, celeba, cifar10, orl
from entropic_ot.data.arrays import prepare_arrays
from entropic_ot.data.checksums import obtain_files, verify_file
from entropic_ot.data.coloured_mnist import prepare_coloured_mnist
from entropic_ot.data.image_sides import prepare_faces, prepare_image_classes
from entropic_ot.data.mnist import FILES
from entropic_ot.errors import DataError
from entropic_ot.experiments.config import (
    ArraysProblem,
    ColouredMNISTProblem,
    FacesProblem,
    ImageClassesProblem,
    load_problem,
)
from entropic_ot.experiments.paths import AFHQ, CELEBA, CIFAR10, MNIST_SOURCE, ORL, raw_files


def mnist_folder(pointer: Path = MNIST_SOURCE) -> Path:
    """The folder of the raw digits that `entropic-ot fetch mnist` wrote down, checked.

    The digits themselves are fetched again when only the pointer is there, as after `dvc pull`.
    """
    try:
        record = json.loads(pointer.read_text())
        folder = pointer.parent / record["folder"]
        files = FILES[record["name"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{pointer}: cannot be read ({error!r}), expected name and folder of the raw digits; "
            f"`entropic-ot fetch mnist --out {pointer}` writes it"
        ) from None
    obtain_files(files, folder)
    return folder


def verified_archive(path: Path) -> str:
    """The sha256 of a raw archive, which is checked.

    The rules that fetch do not run where a file is there already, perhaps put there by hand.
    """
    files = {ORL: orl.WHEEL, CELEBA: celeba.ARCHIVE, AFHQ: afhq.ARCHIVE}
    return verify_file(files[path], path.parent)


def verified_cifar10() -> Path:
    """The folder of CIFAR-10's arrays, which are checked."""
    for file in cifar10.ARRAYS:
        verify_file(file, CIFAR10)
    return CIFAR10


def prepare(config: Path, out: Path) -> None:
    """Write the arrays of the data set described by a JSON file of results/<scale>/config/data."""
    problem = load_problem(config)
    if isinstance(problem, ColouredMNISTProblem):
        prepare_coloured_mnist(
            mnist_folder(),
            out,
            image_size=problem.image_size,
            source_digit=problem.source_digit,
            target_digit=problem.target_digit,
            seed=problem.hue_seed,
        )
    elif isinstance(problem, ArraysProblem):
        prepare_arrays(
            Path(problem.source),
            Path(problem.target),
            out,
            image_size=problem.image_size,
            test_share=problem.test_share,
            seed=problem.split_seed,
        )
    elif isinstance(problem, FacesProblem):
        archive = raw_files(problem)[0]
        prepare_faces(
            archive,
            out,
            dataset=problem.dataset,
            sha256=verified_archive(archive),
            image_size=problem.image_size,
            low_size=problem.low_size,
            test_share=problem.test_share,
            seed=problem.split_seed,
            skip_bad_files=problem.skip_bad_files,
        )
    elif isinstance(problem, ImageClassesProblem):
        is_afhq = problem.dataset == "afhq"
        prepare_image_classes(
            AFHQ if is_afhq else verified_cifar10(),
            out,
            dataset=problem.dataset,
            sha256=verified_archive(AFHQ) if is_afhq else None,
            source_class=problem.source_class,
            target_class=problem.target_class,
            image_size=problem.image_size,
            skip_bad_files=problem.skip_bad_files,
        )
    else:
        raise DataError(f"{config}: found a {problem.kind} problem, which needs no preparation")
    meta = json.loads((out / "meta.json").read_text())
    skipped = f"; left out as unreadable: {len(meta['skipped'])}" if meta.get("skipped") else ""
    print(f"{out}: " + ", ".join(f"{k} {v}" for k, v in meta["counts"].items()) + skipped)
