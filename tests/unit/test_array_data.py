"""The user's own arrays and image folders: what is read, what is refused, and the split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from entropic_ot.data import arrays
from entropic_ot.data.arrays import check_pair, load_array_or_folder, prepare_arrays
from entropic_ot.errors import ConfigError, DataError

FILES = {"source_train.npy", "source_test.npy", "target_train.npy", "target_test.npy", "meta.json"}


def save(path: Path, array: Any, **kwargs: Any) -> Path:
    np.save(path, array, **kwargs)
    return path


def save_image(path: Path, pixels: NDArray[Any]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- arrays ---------------------------------------------------------------------------------------


def test_an_npy_file_is_memory_mapped(tmp_path: Path) -> None:
    array = noise(7, 3)
    loaded = load_array_or_folder(save(tmp_path / "x.npy", array))
    assert isinstance(loaded, np.memmap)
    np.testing.assert_array_equal(loaded, array)


def test_an_npz_file_needs_a_key_only_if_it_holds_several_arrays(tmp_path: Path) -> None:
    one, two = noise(4, 2), noise(5, 2, seed=1)
    np.savez(tmp_path / "one.npz", one)
    np.savez(tmp_path / "two.npz", one=one, two=two)
    np.testing.assert_array_equal(load_array_or_folder(tmp_path / "one.npz"), one)
    np.testing.assert_array_equal(load_array_or_folder(tmp_path / "two.npz", key="two"), two)
    with pytest.raises(DataError, match="found arrays named 'one', 'two'; expected one array"):
        load_array_or_folder(tmp_path / "two.npz")
    with pytest.raises(DataError, match="expected an array named 'three'"):
        load_array_or_folder(tmp_path / "two.npz", key="three")


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.arange(6.0), r"shape \(6,\)"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.zeros((4, 2), dtype=np.int64), "int64 values"),
        (np.zeros((4, 2), dtype=np.uint8), "uint8 values"),
        (np.zeros((4, 2), dtype=complex), "complex128 values"),
        (np.zeros((4, 2), dtype=bool), "bool values"),
        (np.array([["a", "b"]]), "<U1 values"),
        (np.zeros((0, 2)), r"empty array of shape \(0, 2\)"),
        (np.zeros((2, 0)), r"empty array of shape \(2, 0\)"),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused(
    tmp_path: Path, array: NDArray[Any], found: str
) -> None:
    path = save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=rf"x\.npy: found .*{found}"):
        load_array_or_folder(path)


def test_object_arrays_are_refused_without_unpickling(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    trap = np.array([Trap(), None], dtype=object)
    save(tmp_path / "x.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=trap)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match="without pickled Python objects"):
            load_array_or_folder(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_values_that_float32_cannot_hold_are_counted_and_located(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 8 * 3 * 4)  # blocks of four rows
    array = noise(50, 3).astype(np.float64)
    array[13, 1] = array[13, 2] = array[40, 0] = bad
    with pytest.raises(DataError) as caught:
        load_array_or_folder(save(tmp_path / "x.npy", array))
    message = str(caught.value)
    assert f"x.npy: found NaN, infinite or too large values: 3, the first {bad:g} in row" in message
    assert (
        "row 13, at [13, 1]; expected finite float32 values. Remove or repair these rows" in message
    )


def test_a_value_that_is_not_a_number_is_located_in_an_image(tmp_path: Path) -> None:
    images = noise(5, 3, 4, 4)
    images[2, 1, 3, 0] = np.nan
    np.savez(tmp_path / "x.npz", images)
    with pytest.raises(
        DataError, match=r"x\.npz: .*: 1, the first nan in row 2, at \[2, 1, 3, 0\];"
    ):
        load_array_or_folder(tmp_path / "x.npz")


def test_float64_up_to_the_largest_float32_is_accepted(tmp_path: Path) -> None:
    array = np.full((2, 2), np.finfo(np.float32).max, dtype=np.float64)
    assert load_array_or_folder(save(tmp_path / "x.npy", array)).shape == (2, 2)


@pytest.mark.fault(
    "own data file missing, cut off or of another kind",
    "an error with its name",
)
def test_missing_truncated_and_foreign_files_are_named(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.npy", noise(100, 3)).read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-1])
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 not a whole archive")
    (tmp_path / "table.csv").write_text("1,2\n")
    for name, found in (
        ("absent.npy", "nothing"),
        ("cut.npy", "cannot read"),
        ("empty.npy", "cannot read"),
        ("cut.npz", "cannot read"),
        ("table.csv", "'.csv'"),
    ):
        with pytest.raises(DataError, match=rf"{name}: found .*{found}"):
            load_array_or_folder(tmp_path / name)


def test_image_arrays_must_have_the_size_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npy", np.zeros((4, 3, 8, 8), dtype=np.uint8))
    assert load_array_or_folder(path, image_size=8).dtype == np.uint8
    with pytest.raises(DataError, match=r"found samples of shape \(3, 8, 8\); expected .* 16 x 16"):
        load_array_or_folder(path, image_size=16)
    with pytest.raises(DataError, match="image_size"):
        load_array_or_folder(save(tmp_path / "v.npy", noise(4, 2)), image_size=16)


def test_the_two_sides_must_have_the_same_features() -> None:
    check_pair(noise(4, 3), noise(9, 3))
    with pytest.raises(DataError, match=r"a\.npy and b\.npy: found .*\(3,\) and \(2,\)"):
        check_pair(noise(4, 3), noise(4, 2), ("a.npy", "b.npy"))
    with pytest.raises(DataError, match="uint8 and float32"):
        check_pair(np.zeros((4, 1, 2, 2), dtype=np.uint8), noise(4, 1, 2, 2))


# --- folders of images ----------------------------------------------------------------------------


def test_a_folder_is_read_in_the_order_of_names_as_rgb(tmp_path: Path) -> None:
    colours = {"b.png": (10, 20, 30), "a.PNG": (40, 50, 60), "c.jpeg": (99, 99, 99)}
    for name, colour in colours.items():
        save_image(tmp_path / name, np.full((4, 6, 3), colour, dtype=np.uint8))
    save_image(tmp_path / "d.png", np.full((4, 6), 7, dtype=np.uint8))  # grey
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"not an image")
    images = load_array_or_folder(tmp_path)
    assert (images.dtype, images.shape) == (np.dtype(np.uint8), (4, 3, 4, 6))
    np.testing.assert_array_equal(
        images[:, :, 0, 0], [(40, 50, 60), (10, 20, 30), (99, 99, 99), (7, 7, 7)]
    )


def test_images_are_cropped_to_the_central_square_and_resized(tmp_path: Path) -> None:
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 8:16, 0] = 200  # the central square
    wide[:, :, 1] = np.linspace(0, 255, 24).astype(np.uint8)
    save_image(tmp_path / "wide.png", wide)
    save_image(tmp_path / "tall.png", wide.transpose(1, 0, 2))
    images = load_array_or_folder(tmp_path, image_size=4)
    assert images.shape == (2, 3, 4, 4)
    np.testing.assert_array_equal(images[:, 0], 200)
    np.testing.assert_array_equal(images[0], images[1].transpose(0, 2, 1))


def test_images_of_different_sizes_need_image_size(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", np.zeros((4, 6, 3), dtype=np.uint8))
    save_image(tmp_path / "b.png", np.zeros((5, 6, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"b\.png: found 6 x 5 pixels; expected 6 x 4 like a\.png"):
        load_array_or_folder(tmp_path)
    assert load_array_or_folder(tmp_path, image_size=4).shape == (2, 3, 4, 4)


def test_the_orientation_tag_of_a_photo_is_obeyed(tmp_path: Path) -> None:
    pixels = np.zeros((2, 4, 3), dtype=np.uint8)
    pixels[:, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    image = load_array_or_folder(tmp_path)[0, 0]
    np.testing.assert_array_equal(image, [[255, 255], [0, 0], [0, 0], [0, 0]])


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_image_is_named(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    whole = save_image(tmp_path / f"a.{suffix}", pixels).read_bytes()
    (tmp_path / f"b.{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=rf"b\.{suffix}: found a file that cannot be decoded"):
        load_array_or_folder(tmp_path)


def test_sixteen_bit_images_are_refused(tmp_path: Path) -> None:
    save_image(tmp_path / "deep.png", np.full((4, 4), 40000, dtype=np.uint16))
    with pytest.raises(DataError, match=r"deep\.png: found more than 8 bits"):
        load_array_or_folder(tmp_path)


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    save_image(tmp_path / "inner" / "a.png", np.zeros((2, 2, 3), dtype=np.uint8))
    with pytest.raises(DataError, match="found no images directly inside"):
        load_array_or_folder(tmp_path)


# --- preparing ------------------------------------------------------------------------------------


def _prepare(source: Path, target: Path, out: Path, **changes: Any) -> Path:
    settings: dict[str, Any] = {"image_size": None, "test_share": 0.2, "seed": 3}
    prepare_arrays(source, target, out, **(settings | changes))
    return out


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two sides whose first column is the row number."""
    paths = (tmp_path / "source.npy", tmp_path / "target.npy")
    for path, num in zip(paths, (50, 31), strict=True):
        array = noise(num, 3).astype(np.float64)
        array[:, 0] = np.arange(num)
        save(path, array)
    return paths


def test_each_row_goes_to_exactly_one_part_in_order(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 4 * 3 * 7)  # blocks of seven rows
    out = _prepare(*pair, tmp_path / "out")
    assert {path.name for path in out.iterdir()} == FILES
    for side, path, num_test in (("source", pair[0], 10), ("target", pair[1], 6)):
        original = np.load(path)
        parts = {
            part: np.load(out / f"{side}_{part}.npy", mmap_mode="r") for part in ("train", "test")
        }
        assert len(parts["test"]) == num_test
        assert len(parts["train"]) + num_test == len(original)
        for part in parts.values():
            assert part.dtype == np.float32
            rows = part[:, 0].astype(int)
            assert (np.diff(rows) > 0).all()
            np.testing.assert_array_equal(part, original[rows].astype(np.float32))
        together = np.concatenate([part[:, 0] for part in parts.values()])
        np.testing.assert_array_equal(np.sort(together), np.arange(len(original)))
    meta = json.loads((out / "meta.json").read_text())
    assert meta["counts"] == {
        "source_train": 40,
        "source_test": 10,
        "target_train": 25,
        "target_test": 6,
    }
    assert meta["sample_shape"] == [3]
    assert meta["dtype"] == "float32"
    assert meta["files"] == {"source": "source.npy", "target": "target.npy"}


def test_the_split_depends_on_the_seed_alone_and_differs_between_sides(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npy", np.arange(80, dtype=np.float32).reshape(40, 2))
    first = _prepare(path, path, tmp_path / "first")
    again = _prepare(path, path, tmp_path / "again")
    other = _prepare(path, path, tmp_path / "other", seed=4)
    for name in FILES:
        assert (first / name).read_bytes() == (again / name).read_bytes()
    source_test = (first / "source_test.npy").read_bytes()
    assert source_test != (other / "source_test.npy").read_bytes()
    assert source_test != (first / "target_test.npy").read_bytes()


def test_both_parts_get_at_least_one_row(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npy", noise(2, 2))
    for share in (0.01, 0.99):
        out = _prepare(path, path, tmp_path / f"out{share}", test_share=share)
        assert len(np.load(out / "source_train.npy")) == 1
        assert len(np.load(out / "target_test.npy")) == 1
    single = save(tmp_path / "single.npy", noise(1, 2))
    with pytest.raises(DataError, match=r"single\.npy: found 1 sample; expected at least 2"):
        _prepare(path, single, tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []


def test_folders_of_images_stay_uint8(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for side in ("cats", "dogs"):
        (tmp_path / side).mkdir()
        for number in range(5):
            pixels = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
            save_image(tmp_path / side / f"{number}.png", pixels)
    out = _prepare(tmp_path / "cats", tmp_path / "dogs", tmp_path / "out", image_size=6)
    train = np.load(out / "source_train.npy", mmap_mode="r")
    assert (train.dtype, train.shape) == (np.dtype(np.uint8), (4, 3, 6, 6))
    assert json.loads((out / "meta.json").read_text())["dtype"] == "uint8"


def test_keys_choose_the_arrays_of_npz_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", x=np.zeros((4, 2)), y=np.ones((4, 2)))
    both = tmp_path / "both.npz"
    out = _prepare(both, both, tmp_path / "out", source_key="x", target_key="y")
    assert set(np.load(out / "source_train.npy").ravel()) == {0.0}
    assert set(np.load(out / "target_train.npy").ravel()) == {1.0}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_the_test_share_must_leave_both_parts_something(
    tmp_path: Path, pair: tuple[Path, Path], share: float
) -> None:
    with pytest.raises(ConfigError, match=r"^test_share: found"):
        _prepare(*pair, tmp_path / "out", test_share=share)


def test_sides_that_do_not_fit_are_named_by_their_paths(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    other = save(tmp_path / "other.npy", noise(8, 2))
    with pytest.raises(DataError, match=r"source\.npy and .*other\.npy"):
        _prepare(pair[0], other, tmp_path / "out")


def test_a_failure_midway_keeps_the_previous_files(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = _prepare(*pair, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def failing(folder: Path, meta: object) -> None:
        raise OSError("disk full, for the test")

    monkeypatch.setattr(arrays, "write_meta", failing)
    with pytest.raises(OSError, match="disk full"):
        _prepare(*pair, out, seed=8)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
