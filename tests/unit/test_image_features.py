"""Features of images, the cached real side, and the weights' files."""

from __future__ import annotations

import dataclasses
import logging
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from entropic_ot.data import download
from entropic_ot.data.array_pickle import read_array_pickle
from entropic_ot.data.checksums import ChecksumError
from entropic_ot.data.fetch import MissingFilesError
from entropic_ot.data.sources import MIRROR_VARIABLE
from entropic_ot.data.weights import INCEPTION
from entropic_ot.errors import DataError
from entropic_ot.metrics import real_side
from entropic_ot.metrics.features import (
    FeatureExtractor,
    inception_features,
    lenet_features,
    state_sha256,
)
from entropic_ot.metrics.real_side import real_features
from entropic_ot.networks.classifier import DigitClassifier
from entropic_ot.networks.efficientnet_lite import EfficientNetLite0, SameConv
from entropic_ot.pixels import to_bytes


def images(n: int = 24, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(-1, 1, (n, 3, 8, 8))
    return values.astype(np.float32)


class CountingExtractor:
    """Four mean values an image, and how often they were computed."""

    def __init__(self) -> None:
        self.num_calls = 0
        self.extractor = FeatureExtractor("test", "0" * 64, self.embed)

    def embed(self, part: torch.Tensor) -> torch.Tensor:
        self.num_calls += 1
        return part.float()[:, :2, :, :2].mean(2).flatten(1)


# --- features -------------------------------------------------------------------------------------


def test_bytes_are_the_nearest_and_stay_within_their_range() -> None:
    values = torch.tensor([-3.0, -1.0, 2 / 255 * 0.6 - 1, 0.0, 1.0, 1.5])
    assert to_bytes(values).tolist() == [0, 0, 1, 128, 255, 255]


@pytest.mark.parametrize("bad", [np.zeros((2, 2, 8, 8)), np.full((2, 3, 8, 8), np.nan)])
def test_what_is_no_image_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected finite numbers of shape"):
        CountingExtractor().extractor(bad)


def test_lenet_features_are_what_the_last_layer_sees() -> None:
    torch.manual_seed(0)
    classifier = DigitClassifier(image_size=8, width=2)
    extractor, x = lenet_features(classifier), images(70)  # more than a batch
    features = extractor(x)
    assert features.shape == (70, 128) and features.dtype == np.float32
    exact = to_bytes(torch.from_numpy(x)).float() / 127.5 - 1
    logits = classifier.last(torch.from_numpy(features))  # dropout is off
    # Batches of other sizes may add up in another order, in float32.
    assert torch.allclose(logits, classifier(exact.amax(1, keepdim=True)), atol=1e-6)
    assert logits.std(0).max() > 1e-3  # the images differ
    assert np.array_equal(features, extractor(x))


def test_the_hash_of_weights_changes_with_any_of_them() -> None:
    torch.manual_seed(0)
    classifier = DigitClassifier(image_size=8, width=2)
    before = lenet_features(classifier).sha256
    assert before == state_sha256(classifier)
    with torch.no_grad():
        classifier.state_dict()["last.1.bias"][3] += 1e-6
    assert lenet_features(classifier).sha256 != before


def test_fid_without_its_weights_says_which_file_to_place_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(url: str) -> None:
        raise download.SourceError("no network in this test")

    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr("entropic_ot.data.fetch.open_https", offline)
    with pytest.raises(MissingFilesError) as caught:
        inception_features(tmp_path)
    assert f"place it at {tmp_path / INCEPTION.name}" in str(caught.value)
    assert INCEPTION.sha256 in str(caught.value)
    (tmp_path / INCEPTION.name).write_bytes(b"other weights")
    with pytest.raises(ChecksumError):
        inception_features(tmp_path)


def test_torchvision_can_be_imported_beside_any_build_of_torch() -> None:
    """In a fresh Python, as the declared operators stay for the life of a process."""
    pytest.importorskip("scipy", reason="the workflow's packages are not installed")
    code = (
        "from entropic_ot.metrics.features import import_torchvision as f; f(); f();"
        "from torchvision.models import alexnet; alexnet()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- EfficientNet-Lite0 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(8, 3, 2, 0, 1), (7, 3, 2, 1, 1), (8, 5, 2, 1, 2), (8, 5, 1, 2, 2), (8, 1, 1, 0, 0)],
)
def test_same_padding(size: int, kernel: int, stride: int, before: int, after: int) -> None:
    """TensorFlow's definition of SAME: the odd pixel of padding comes last."""
    conv = SameConv(1, 1, kernel, stride=stride, bias=False)
    x = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(x, (before, after, before, after))
    expected = torch.nn.functional.conv2d(padded, conv.weight, stride=stride)
    assert conv(x).shape[-1] == -(-size // stride)
    assert torch.equal(conv(x), expected)


def published_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict under the names of the published file."""
    renamed = {}
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] == "blocks":
            norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[parts[2]]
            layer = f"_{parts[2]}_conv" if parts[3] == "conv" else norm
            renamed[f"_blocks.{parts[1]}.{layer}.{parts[4]}"] = value
        elif parts[0] == "last":
            renamed[f"_fc.{parts[1]}"] = value
        else:
            conv, norm = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}[parts[0]]
            renamed[f"{conv if parts[1] == 'conv' else norm}.{parts[2]}"] = value
    return renamed


def test_efficientnet_takes_the_published_names() -> None:
    torch.manual_seed(0)
    first, second = EfficientNetLite0().eval(), EfficientNetLite0().eval()
    state = published_names(first.state_dict())
    # As the published file has them; the depthwise layer of the first block has no expansion.
    assert state["_blocks.0._depthwise_conv.weight"].shape == (32, 1, 3, 3)
    assert state["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    assert state["_conv_head.weight"].shape == (1280, 320, 1, 1)
    assert "_blocks.0._expand_conv.weight" not in state
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(second(x), first(x))
        second.load_published(state)
        assert torch.equal(second(x), first(x))
    with pytest.raises(RuntimeError, match="_unknown"):
        second.load_published(state | {"_unknown.weight": x})


# --- pickles --------------------------------------------------------------------------------------


def test_a_pickle_of_arrays_is_read(tmp_path: Path) -> None:
    tree = {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}, "scale": np.ones(1)}
    (tmp_path / "w").write_bytes(pickle.dumps(tree, protocol=3))
    found = read_array_pickle(tmp_path / "w")
    assert np.array_equal(found["layer"]["kernel"], tree["layer"]["kernel"])
    assert found["layer"]["kernel"].dtype == np.float32


class Attack:
    """Runs a function when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_that_asks_for_anything_else_is_refused(tmp_path: Path) -> None:
    contents = pickle.dumps({"layer": Attack(tmp_path / "touched")}, protocol=3)
    (tmp_path / "w").write_bytes(contents)
    with pytest.raises(
        DataError, match=r"the global 'pathlib\.Path\.touch'|the global 'builtins\.getattr'"
    ):
        read_array_pickle(tmp_path / "w")
    assert not (tmp_path / "touched").exists()
    pickle.loads(contents)
    assert (tmp_path / "touched").exists()  # the attack works where it is not refused


def cyclic() -> dict[str, object]:
    tree: dict[str, object] = {}
    tree["self"] = tree
    return tree


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"\x80\x03}",
        *(pickle.dumps(tree) for tree in ([1], {"a": 1}, {"a": {"b": "text"}}, cyclic())),
        pickle.dumps({"a": np.array([object()])}),
        pickle.dumps({"a": np.zeros(3, ">f4")}),
        pickle.dumps({"a": np.zeros(3, "f4,i4")}),
        pickle.dumps({"a": np.zeros(3, np.float32)}).replace(b"\x03\x85", b"\x04\x85"),
    ],
)
def test_what_is_no_pickle_of_arrays_is_an_error(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "w").write_bytes(contents)
    with pytest.raises(DataError):
        read_array_pickle(tmp_path / "w")


# --- the real side --------------------------------------------------------------------------------


def test_real_features_are_read_from_their_file(tmp_path: Path) -> None:
    counting = CountingExtractor()
    first = real_features(images(), counting.extractor, cache=tmp_path)
    second = real_features(images(), counting.extractor, cache=tmp_path)
    assert counting.num_calls == 1 and np.array_equal(first, second)
    assert np.array_equal(first, real_features(images(), counting.extractor))
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]  # nothing left behind


def test_other_images_features_weights_or_code_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = CountingExtractor()
    real_features(images(), counting.extractor, cache=tmp_path)
    changed = images()
    changed[5, 1, 2, 3] += 1e-3
    real_features(changed, counting.extractor, cache=tmp_path)
    real_features(images(12), counting.extractor, cache=tmp_path)
    for edit in ({"sha256": "1" * 64}, {"name": "other"}):
        real_features(images(), dataclasses.replace(counting.extractor, **edit), cache=tmp_path)
    monkeypatch.setattr(real_side, "_code_sha256", lambda: "2" * 64)
    real_features(images(), counting.extractor, cache=tmp_path)
    assert counting.num_calls == 6 and len(list(tmp_path.iterdir())) == 6


@pytest.mark.fault(
    "bit flipped in, end cut off, or wrong file in data/cache/real_side",
    "a warning names it, and the features are computed anew",
)
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_file_is_computed_anew_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    counting = CountingExtractor()
    first = real_features(images(), counting.extractor, cache=tmp_path / "a")
    (path,) = (tmp_path / "a").iterdir()
    contents = path.read_bytes()
    if damage == "other":
        real_features(images(seed=1), counting.extractor, cache=tmp_path / "b")
        (other,) = (tmp_path / "b").iterdir()
        path.write_bytes(other.read_bytes())
    else:
        at = contents.index(first.tobytes()[:16])
        flipped = contents[:at] + bytes([contents[at] ^ 1]) + contents[at + 1 :]
        path.write_bytes({"cut": contents[:-200], "flip": flipped, "empty": b""}[damage])
    counting.num_calls = 0
    with caplog.at_level(logging.WARNING):
        again = real_features(images(), counting.extractor, cache=tmp_path / "a")
    assert counting.num_calls == 1 and np.array_equal(first, again)
    assert str(path) in caplog.text
    real_features(images(), counting.extractor, cache=tmp_path / "a")
    assert counting.num_calls == 1  # the file is whole again


def test_jobs_that_write_one_file_at_once_all_read_it_whole(tmp_path: Path) -> None:
    """All compute before any writes; afterwards there is one file, which is read."""
    barrier, results = threading.Barrier(4), []
    counting = CountingExtractor()

    def wait(part: torch.Tensor) -> torch.Tensor:
        barrier.wait(timeout=60)
        return counting.embed(part)

    slow = FeatureExtractor("test", "0" * 64, wait)
    threads = [
        threading.Thread(
            target=lambda: results.append(real_features(images(), slow, cache=tmp_path))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counting.num_calls == 4 and len(results) == 4
    assert len(list(tmp_path.iterdir())) == 1
    again = real_features(images(), counting.extractor, cache=tmp_path)
    assert counting.num_calls == 4 and all(np.array_equal(again, found) for found in results)
