"""Large images: how many rows are read, or held in 32 bits, at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from entropic_ot.device import make_rng
from entropic_ot.metrics import features
from entropic_ot.metrics.features import FeatureExtractor
from entropic_ot.pixels import to_bytes
from entropic_ot.problems.base import ArrayDistribution


class Recording(np.memmap):
    """A memory-mapped array that notes which rows are asked for."""

    asked: ClassVar[list[list[int]]] = []

    def __getitem__(self, index: Any) -> Any:
        self.asked.append(np.atleast_1d(index).tolist())
        return super().__getitem__(index)


@pytest.fixture
def mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    values = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "images.npy", values)
    monkeypatch.setattr(Recording, "asked", [])
    return np.load(tmp_path / "images.npy", mmap_mode="r").view(Recording)


def test_of_a_mapped_array_a_cpu_reads_the_rows_of_the_batch_alone(mapped: Recording) -> None:
    distribution = ArrayDistribution(mapped)
    rows = torch.tensor([7, 7, 30])
    found = distribution.at(rows)
    assert Recording.asked == [[7, 7, 30]]
    in_memory = ArrayDistribution(np.array(mapped))
    torch.testing.assert_close(found, in_memory.at(rows), rtol=0, atol=0)
    drawn = [d.sample(9, rng=make_rng(1)) for d in (distribution, in_memory)]
    assert torch.equal(*drawn) and drawn[0].dtype == torch.float32
    drawn[0].zero_()  # a copy: the file is read-only


def test_images_are_held_in_32_bits_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = features.as_rgb

    def as_rgb(images: np.ndarray) -> torch.Tensor:
        sizes.append(len(images))
        return original(images)

    monkeypatch.setattr(features, "as_rgb", as_rgb)
    extractor = FeatureExtractor("test", "0" * 64, lambda part: part.float().mean((2, 3)), 8)
    images = np.random.default_rng(0).uniform(-1, 1, (20, 3, 4, 4)).astype(np.float16)
    found = extractor(images)
    assert sizes == [8, 8, 4]
    whole = to_bytes(original(images)).float().mean((2, 3)).numpy()
    np.testing.assert_allclose(found, whole, rtol=1e-6)  # means of 16 bytes in 32 bits
