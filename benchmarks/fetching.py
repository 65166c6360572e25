"""The case `fetch`: files out of a mirror folder, checked and whole or not there at all."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench_config import FetchCase
from entropic_ot.data.fetch import fetch_files
from entropic_ot.data.sources import RemoteFile
from reference.copying import copied


class FetchWorkload:
    """Random files from a mirror folder into an empty one, without a network."""

    def __init__(self, case: FetchCase, *, fast: bool) -> None:
        self.fast = fast
        self._folder = tempfile.TemporaryDirectory()  # removed with this object
        self.mirror = Path(self._folder.name)
        rng = np.random.default_rng(0)
        self.sha256: dict[str, str] = {}
        for i in range(case.num_files):
            contents = rng.bytes(case.file_mb * 2**20)
            (self.mirror / f"{i}.bin").write_bytes(contents)
            self.sha256[f"{i}.bin"] = hashlib.sha256(contents).hexdigest()
        size = case.file_mb * 2**20
        self.files = [RemoteFile(name, digest, size, ()) for name, digest in self.sha256.items()]

    def run(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._fetch(Path(folder))

    def _fetch(self, out: Path) -> None:
        if self.fast:
            fetch_files(self.files, out, mirrors=[self.mirror])
        else:
            copied(self.sha256, self.mirror, out)

    def first(self) -> dict[str, Tensor]:
        """All bytes."""
        with tempfile.TemporaryDirectory() as folder:
            self._fetch(Path(folder))
            arrays = {name: np.fromfile(Path(folder) / name, np.uint8) for name in self.sha256}
        return {name: torch.from_numpy(array).float() for name, array in arrays.items()}
