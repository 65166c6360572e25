"""The authors' colouring, its hue estimate, and the prepared files."""

from __future__ import annotations

import colorsys
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from entropic_ot.data import coloured_mnist as cm
from entropic_ot.data import mnist
from entropic_ot.errors import ConfigError, DataError

SIDES = ("source_train", "source_test", "target_train", "target_test")


def _write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


def _digits(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise in the middle of a black picture; the corner pixel inside it tells the label."""
    images = np.zeros((len(labels), 28, 28), dtype=np.uint8)
    images[:, 6:22, 6:22] = rng.integers(0, 256, (len(labels), 16, 16))
    images[:, 0, 0] = labels
    return images


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mnist")
    rng = np.random.default_rng(1)
    for part, num in (("train", 2000), ("t10k", 400)):
        labels = (np.arange(num) % 10).astype(np.uint8)
        _write_idx(folder / f"{part}-images-idx3-ubyte", _digits(labels, rng))
        _write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def circular_distance(a: NDArray[Any], b: NDArray[Any] | float) -> NDArray[np.float64]:
    """Distance in degrees, 0 to 180."""
    return np.asarray(np.abs((np.asarray(a, dtype=np.float64) - b + 180.0) % 360.0 - 180.0))


def pixel_by_hand(value: int, hue: float) -> tuple[int, ...]:
    """The authors' rule for one pixel, written as plainly as possible."""
    inc = value * (hue % 60) / 60
    dec = value - inc
    colours = {
        0: (value, inc, 0),
        1: (dec, value, 0),
        2: (0, value, inc),
        3: (0, dec, value),
        4: (inc, 0, value),
        5: (value, 0, dec),
    }
    return tuple(round(channel) for channel in colours[round(hue / 60) % 6])


# --- colouring ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hue", "expected"),
    [
        (0.0, (200, 0, 0)),
        (15.0, (200, 50, 0)),
        (45.0, (50, 200, 0)),  # the floor of HSV would give (200, 150, 0)
        (60.0, (200, 200, 0)),
        (105.0, (0, 200, 150)),
        (120.0, (0, 200, 0)),
        (180.0, (0, 200, 200)),
        (225.0, (150, 0, 200)),
        (255.0, (50, 0, 200)),
        (300.0, (200, 0, 200)),
        (345.0, (200, 150, 0)),
    ],
)
def test_hand_picked_hues(hue: float, expected: tuple[int, ...]) -> None:
    grey = np.full((1, 1, 1), 200, dtype=np.uint8)
    coloured = cm.colour(grey, np.array([hue]))
    assert coloured.shape == (1, 3, 1, 1)
    assert tuple(coloured[0, :, 0, 0]) == expected


def test_every_pixel_follows_the_rule_written_plainly() -> None:
    hues = np.concatenate([np.arange(0.0, 360.0, 2.5), [359.999]])
    values = np.array([[0, 1, 77], [128, 254, 255]], dtype=np.uint8)
    grey = np.broadcast_to(values, (len(hues), 2, 3))
    coloured = cm.colour(grey, hues)
    assert coloured.dtype == np.uint8
    for image, hue in zip(coloured, hues, strict=True):
        for row, column in np.ndindex(2, 3):
            by_hand = pixel_by_hand(int(values[row, column]), float(hue))
            assert tuple(image[:, row, column]) == by_hand, hue


def test_more_pictures_than_a_block_are_coloured_alike() -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (2 * cm._BLOCK_ROWS + 1, 2, 2), dtype=np.uint8)
    hues = cm.draw_hues(len(grey), rng)
    together = cm.colour(grey, hues)
    last = cm.colour(grey[-1:], hues[-1:])
    np.testing.assert_array_equal(together[-1:], last)


def test_the_seen_hue_is_the_hsv_hue_of_the_picture() -> None:
    drawn = np.arange(0.0, 360.0, 1.25)
    grey = np.full((len(drawn), 1, 1), 255, dtype=np.uint8)
    pixels = cm.colour(grey, drawn)[:, :, 0, 0] / 255.0
    hsv = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in pixels])
    # 8 bits resolve 60 / 255 degrees, rounded: half of that
    assert circular_distance(cm.seen_hue(drawn), 360.0 * hsv[:, 0]).max() <= 0.12
    np.testing.assert_array_equal(hsv[:, 1:], 1.0)


def test_the_seen_hue_is_uniform_too() -> None:
    drawn = np.arange(0.0, 360.0, 0.5) + 0.25
    np.testing.assert_allclose(np.sort(cm.seen_hue(drawn)), drawn)
    assert not np.allclose(cm.seen_hue(drawn), drawn)


# --- the hue of a picture -------------------------------------------------------------------------


def test_mean_hue_recovers_the_hue_of_coloured_digits() -> None:
    rng = np.random.default_rng(3)
    hues = cm.draw_hues(500, rng)
    grey = _digits(np.zeros(500, dtype=np.uint8), rng)
    estimate = cm.mean_hue(cm.colour(grey, hues))
    assert estimate.dtype == np.float32
    assert estimate.min() >= 0.0
    assert estimate.max() < 360.0
    assert circular_distance(estimate, cm.seen_hue(hues)).max() < 1.0


def test_mean_hue_reads_floats_and_ignores_a_grey_background() -> None:
    hues = np.arange(2.0, 360.0, 7.0)
    grey = np.zeros((len(hues), 8, 8), dtype=np.uint8)
    grey[:, 2:5, 2:5] = 240
    images = cm.colour(grey, hues)
    floats = (images / 127.5 - 1.0).astype(np.float32) + 0.1
    np.testing.assert_allclose(cm.mean_hue(floats), cm.mean_hue(images), atol=0.01)


def test_mean_hue_follows_the_bright_pixels() -> None:
    image = np.zeros((1, 3, 1, 2), dtype=np.uint8)
    image[0, :, 0, 0] = (250, 0, 0)
    image[0, :, 0, 1] = (0, 25, 0)
    assert circular_distance(cm.mean_hue(image), 6.0).max() < 0.1  # 60 * 25 / 250


def test_a_picture_without_colour_has_no_hue() -> None:
    images = np.zeros((2, 3, 4, 4), dtype=np.uint8)
    images[1] = 99
    assert np.isnan(cm.mean_hue(images)).all()


# --- resizing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 28, 32])
def test_resizing_keeps_flat_pictures_flat_and_the_mean_brightness(size: int) -> None:
    flat = np.full((1, 28, 28), 77, dtype=np.uint8)
    np.testing.assert_array_equal(cm.resize(flat, size), np.full((1, size, size), 77))
    digits = _digits(np.zeros(20, dtype=np.uint8), np.random.default_rng(0))
    resized = cm.resize(digits, size)
    assert resized.shape == (20, size, size)
    # the noise lies well inside, so its share of the picture is kept up to rounding to integers
    np.testing.assert_allclose(resized.mean(axis=(1, 2)), digits.mean(axis=(1, 2)), rtol=0.03)


def test_resizing_interpolates_between_neighbours() -> None:
    step = np.zeros((1, 28, 28), dtype=np.uint8)
    step[:, :, 14:] = 240
    row = cm.resize(step, 56)[0, 20]
    assert set(row[:27]) == {0}
    assert set(row[29:]) == {240}
    assert tuple(row[27:29]) == (60, 180)  # a quarter and three quarters of the way


# --- prepared files -------------------------------------------------------------------------------


def _prepare(raw: Path, out: Path, **changes: Any) -> Path:
    settings: dict[str, Any] = {
        "image_size": 32,
        "source_digit": 2,
        "target_digit": 3,
        "seed": 5,
    }
    cm.prepare_coloured_mnist(raw, out, **(settings | changes))
    return out


def test_the_prepared_files_are_memory_mappable_and_described(raw: Path, tmp_path: Path) -> None:
    out = _prepare(raw, tmp_path / "out", image_size=16)
    expected = {f"{side}.npy" for side in SIDES} | {f"hue_{side}.npy" for side in SIDES}
    assert {path.name for path in out.iterdir()} == expected | {"meta.json"}
    counts = {"train": 200, "test": 40}
    for side in SIDES:
        images = np.load(out / f"{side}.npy", mmap_mode="r")
        hues = np.load(out / f"hue_{side}.npy", mmap_mode="r")
        num = counts[side.split("_")[1]]
        assert (images.dtype, images.shape) == (np.dtype(np.uint8), (num, 3, 16, 16))
        assert (hues.dtype, hues.shape) == (np.dtype(np.float32), (num,))
        assert hues.max() < 360.0
        assert circular_distance(cm.mean_hue(images), hues).max() < 3.0
    meta = json.loads((out / "meta.json").read_text())
    assert meta["data"] == "mnist"
    assert meta["counts"] == {side: counts[side.split("_")[1]] for side in SIDES}
    assert (meta["source_digit"], meta["target_digit"]) == (2, 3)
    assert (meta["image_size"], meta["seed"]) == (16, 5)


def test_the_right_digits_are_on_the_right_sides(raw: Path, tmp_path: Path) -> None:
    out = _prepare(raw, tmp_path / "out", image_size=28, source_digit=7, target_digit=9)
    for side in SIDES:
        corner = np.load(out / f"{side}.npy")[:, :, 0, 0].max(axis=1)
        assert set(corner) == {7 if side.startswith("source") else 9}
    source = np.load(out / "source_train.npy").max(axis=1)
    data = mnist.load_mnist(raw)
    np.testing.assert_array_equal(source, data.train_images[data.train_labels == 7])


def test_hues_are_uniform_and_independent_between_sides_and_splits(
    raw: Path, tmp_path: Path
) -> None:
    out = _prepare(raw, tmp_path / "out")
    hues = {side: np.load(out / f"hue_{side}.npy") for side in SIDES}
    for first in SIDES:
        for second in SIDES:
            if first < second:
                num = min(len(hues[first]), len(hues[second]))
                distance = circular_distance(hues[first][:num], hues[second][:num])
                # uniform on [0, 180]: mean 90, standard error 52 / sqrt(num); 4 of them
                assert abs(distance.mean() - 90.0) < 4 * 52.0 / np.sqrt(num), (first, second)
    for side in ("source_train", "target_train"):
        counts = np.histogram(hues[side], bins=6, range=(0.0, 360.0))[0]
        assert ((counts - 200 / 6) ** 2 / (200 / 6)).sum() < 20.5  # chi square, 5 df, p = 0.001


def test_the_seed_decides_everything(raw: Path, tmp_path: Path) -> None:
    first = _prepare(raw, tmp_path / "first")
    again = _prepare(raw, tmp_path / "again")
    other = _prepare(raw, tmp_path / "other", seed=6)
    for path in first.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
    for side in SIDES:
        name = f"hue_{side}.npy"
        assert (first / name).read_bytes() != (other / name).read_bytes()
    _prepare(raw, other)
    for path in first.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_a_failure_midway_keeps_the_previous_files(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = _prepare(raw, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    calls = []

    def failing(grey: NDArray[np.uint8], drawn: NDArray[Any]) -> NDArray[np.uint8]:
        calls.append(len(grey))
        if len(calls) == 3:
            raise OSError("disk full, for the test")
        return np.zeros((len(grey), 3, 32, 32), dtype=np.uint8)

    monkeypatch.setattr(cm, "colour", failing)
    with pytest.raises(OSError, match="disk full"):
        _prepare(raw, out, seed=9)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"source_digit": 10}, "source_digit"),
        ({"target_digit": -1}, "target_digit"),
        ({"image_size": 0}, "image_size"),
    ],
)
def test_settings_out_of_range_are_named(
    raw: Path, tmp_path: Path, changes: dict[str, int], key: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: found {changes[key]}"):
        _prepare(raw, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_a_digit_that_the_data_lack_is_an_error(tmp_path: Path) -> None:
    for part in ("train", "t10k"):
        _write_idx(tmp_path / f"{part}-images-idx3-ubyte", np.zeros((5, 28, 28), dtype=np.uint8))
        _write_idx(tmp_path / f"{part}-labels-idx1-ubyte", np.zeros(5, dtype=np.uint8))
    with pytest.raises(DataError, match="no picture of the digit 2"):
        _prepare(tmp_path, tmp_path / "out")
