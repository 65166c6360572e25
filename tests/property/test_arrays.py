"""Arrays, image folders and archives that are damaged at random: read, or clearly refused."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from refusals import check_message, few_examples

from entropic_ot.data.archives import ArchiveLimits, decode_image, open_zip, read_tar_gz
from entropic_ot.data.array_pickle import parse_array_pickle
from entropic_ot.data.arrays import load_array_or_folder, load_prepared
from entropic_ot.errors import DataError


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def claimed(shape: str, descr: str = "'<f4'") -> bytes:
    """A .npy file of few bytes whose header claims an array of this shape."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (117 - len(header)) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


def zipped(name: str, contents: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(name, contents)
    return stream.getvalue()


def refusal(read: Callable[[], object], *, names: str) -> bool:
    """Whether `read` raises DataError, whose words are checked."""
    try:
        read()
    except DataError as error:
        check_message(str(error), names=names)
        return True
    return False


# --- arrays ---------------------------------------------------------------------------------------

GOOD = np.arange(12.0, dtype=np.float32).reshape(4, 3)
WRONG: dict[str, bytes] = {
    "empty.npy": b"",
    "text.npy": b"1 2 3\n4 5 6\n",
    "no_rows.npy": npy(GOOD[:0]),
    "no_columns.npy": npy(GOOD[:, :0]),
    "flat.npy": npy(GOOD[0]),
    "scalar.npy": npy(np.float32(1)),
    "three_axes.npy": npy(GOOD[None]),
    "five_axes.npy": npy(np.zeros((1, 1, 1, 1, 1), np.float32)),
    "nan.npy": npy(np.where(GOOD == 5, np.nan, GOOD)),
    "inf.npy": npy(np.where(GOOD == 5, -np.inf, GOOD)),
    "beyond_float32.npy": npy(GOOD.astype(np.float64) * 1e300),
    "integers.npy": npy(GOOD.astype(np.int64)),
    "booleans.npy": npy(GOOD > 3),
    "complex.npy": npy(GOOD * 1j),
    "text_values.npy": npy(GOOD.astype(str)),
    "dates.npy": npy(np.zeros((2, 2), "datetime64[s]")),
    "records.npy": npy(np.zeros(3, [("a", "f4"), ("b", "i4")])),
    "objects.npy": npy(np.array([[1, "a"]], dtype=object)),
    "bytes_as_vectors.npy": npy(GOOD.astype(np.uint8)),
    "zip_by_this_name.npy": npz(x=GOOD),
    "huge_header.npy": claimed("(1000000000000, 3)"),
    "overflowing_header.npy": claimed("(9223372036854775807, 9223372036854775807)"),
    "negative_header.npy": claimed("(-1, 3)"),
    "header_of_text.npy": claimed("('a',)"),
    "header_that_calls.npy": claimed("__import__('os').getcwd()"),
    "header_of_no_type.npy": claimed("(4, 4)", "'nonsense'"),
    "header_of_objects.npy": claimed("(4, 4)", "'|O'"),
    "huge_header.npz": zipped("x.npy", claimed("(1000000000000, 3)")),
    "no_array_inside.npz": zipped("x.npy", b"text"),
    "other_member.npz": zipped("readme.txt", b"text"),
    "no_member.npz": b"PK\x05\x06" + bytes(18),
    "two.npz": npz(x=GOOD, y=GOOD),
    "array_by_this_name.npz": npy(GOOD),
    "objects.npz": npz(x=np.array([[1, "a"]], dtype=object)),
    "table.csv": b"1,2\n",
    "no_ending": b"",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_sample_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(WRONG[name])
    assert refusal(lambda: load_array_or_folder(path), names=str(path))


@pytest.mark.xfail(
    strict=True,
    reason="float32's largest number is infinite in float16; the repair is in the sources of every "
    "training, so it waits until the published results are made anew",
)
def test_infinity_in_float16_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.npy"
    path.write_bytes(npy(np.where(GOOD == 5, np.inf, GOOD).astype(np.float16)))
    assert refusal(lambda: load_array_or_folder(path), names=str(path))


def test_an_array_of_images_has_the_size_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(npy(np.zeros((2, 3, 8, 9), np.float32)))
    assert refusal(lambda: load_array_or_folder(path, image_size=8), names=str(path))


@pytest.mark.parametrize("path", ["nothing.npy", "x" * 300 + ".npy", "a\0b.npy"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    assert refusal(lambda: load_array_or_folder(Path(path)), names="")


Damage = tuple[str, int, int]
damages = st.tuples(
    st.sampled_from(["cut", "flip", "flip", "flip", "insert", "zero"]),
    st.integers(0, 10**6),
    st.integers(0, 7),
)


def damaged(contents: bytes, damage: Damage) -> bytes:
    """`contents` cut, with a bit changed, with bytes put in or set to 0, at a place in it."""
    what, place, bit = damage
    at = place % len(contents)
    if what == "cut":
        return contents[:at]
    if what == "flip":
        return contents[:at] + bytes([contents[at] ^ (1 << bit)]) + contents[at + 1 :]
    if what == "insert":
        return contents[:at] + b"\xff" * (bit + 1) + contents[at:]
    return contents[:at] + bytes(min(bit + 1, len(contents) - at)) + contents[at + bit + 1 :]


@few_examples(200)
@given(st.sampled_from([".npy", ".npz"]), st.lists(damages, min_size=1, max_size=3))
def test_a_damaged_array_is_read_or_clearly_refused(
    tmp_path: Path, ending: str, all_damage: list[Damage]
) -> None:
    path = tmp_path / f"source_train{ending}"
    contents = npy(GOOD) if ending == ".npy" else npz(x=GOOD)
    for damage in all_damage:
        contents = damaged(contents, damage) or b"\0"
    path.write_bytes(contents)
    if not refusal(lambda: load_array_or_folder(path), names=str(path)):
        array = load_array_or_folder(path)
        assert array.ndim in (2, 4) and array.size and np.isfinite(array).all()
    if ending == ".npy":
        refusal(lambda: load_prepared(tmp_path, "source_train"), names=str(path))


types = st.one_of(
    hnp.floating_dtypes(endianness="?"),
    st.just(np.dtype(np.uint8)),
    hnp.integer_dtypes(),
    hnp.complex_number_dtypes(),
    hnp.boolean_dtypes(),
    hnp.unicode_string_dtypes(max_len=3),
    hnp.datetime64_dtypes(),
)
any_array = types.flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
)
nearly_good = st.sampled_from([np.float32, np.float64]).flatmap(
    lambda kind: hnp.arrays(
        kind,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=3),
        elements=st.floats(width=32) | st.sampled_from([np.nan, np.inf]),
    )
)


def is_sample(array: NDArray[Any]) -> bool:
    """Vectors of floats, images of floats or bytes; finite, also in float32."""
    if array.ndim not in (2, 4) or not array.size or array.dtype.kind not in "fu":
        return False
    if array.dtype.kind == "u":
        return array.dtype == np.uint8 and array.ndim == 4
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float32)).all())


@few_examples(250)
@given(any_array | nearly_good)
def test_an_array_is_read_as_it_is_or_clearly_refused(tmp_path: Path, array: NDArray[Any]) -> None:
    """Any shape, type and values: what a sample cannot be is never read."""
    path = tmp_path / "x.npy"
    np.save(path, array)
    if refusal(lambda: load_array_or_folder(path), names=str(path)):
        # Images have channels, and sides that are equal, which vectors have not.
        assert array.ndim == 4 or array.dtype.itemsize > 8 or not is_sample(array)
    else:
        assert is_sample(array)
        np.testing.assert_array_equal(load_array_or_folder(path), array)


# --- images ---------------------------------------------------------------------------------------


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


PICTURES = {kind: picture(kind) for kind in ("PNG", "JPEG")}


@pytest.mark.parametrize("contents", [b"", b"text", b"%!PS-Adobe-3.0 EPSF-3.0\n", picture("BMP")])
def test_what_is_neither_png_nor_jpeg_is_refused(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "a.png").write_bytes(contents)
    assert refusal(lambda: load_array_or_folder(tmp_path), names="a.png")


def test_a_folder_by_the_name_of_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    assert refusal(lambda: load_array_or_folder(tmp_path), names="a.png")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    assert refusal(lambda: load_array_or_folder(tmp_path), names=str(tmp_path))


pictures = st.tuples(
    st.sampled_from(["a", "b", "Ä", "a b"]),
    st.sampled_from([".png", ".jpg", ".jpeg", ".PNG", ".txt", ".gif"]),
    st.sampled_from(["RGB", "RGBA", "L", "1", "P", "CMYK", "I;16"]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.booleans(),
)


def encoded(mode: str, size: tuple[int, int], ending: str) -> bytes:
    """A picture in the format that its name promises, or in the nearest that has the mode."""
    stream = io.BytesIO()
    kind = "PNG" if "png" in ending.lower() and mode != "CMYK" else "JPEG"
    image = Image.new(mode, size)
    (image if kind == "PNG" or mode in ("RGB", "L", "CMYK") else image.convert("RGB")).save(
        stream, kind
    )
    return stream.getvalue()


@few_examples(100)
@given(st.lists(pictures, max_size=4), st.sampled_from([None, 1, 4]))
def test_a_folder_of_any_pictures_is_read_whole_or_clearly_refused(
    all_pictures: list[Any], image_size: int | None
) -> None:
    """Modes, sizes and names of all kinds, some files cut off."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for stem, ending, mode, size, whole in all_pictures:
            contents = encoded(mode, size, ending)
            (folder / f"{stem}{ending}").write_bytes(contents if whole else contents[:40])
        files = [f for f in folder.iterdir() if f.suffix.lower() in (".png", ".jpg", ".jpeg")]
        if not refusal(lambda: load_array_or_folder(folder, image_size=image_size), names=name):
            array = load_array_or_folder(folder, image_size=image_size)
            assert array.dtype == np.uint8 and array.shape[:2] == (len(files), 3)
            assert image_size is None or array.shape[2:] == (image_size, image_size)
            assert all(file.stat().st_size > 40 for file in files)


@few_examples(150)
@given(st.sampled_from(sorted(PICTURES)), st.lists(damages, min_size=1, max_size=3))
def test_a_damaged_image_is_read_or_clearly_refused(
    tmp_path: Path, kind: str, all_damage: list[Damage]
) -> None:
    contents = PICTURES[kind]
    for damage in all_damage:
        contents = damaged(contents, damage) or b"\0"
    path = tmp_path / "a.png"
    path.write_bytes(contents)
    refusal(lambda: load_array_or_folder(tmp_path, image_size=4), names=str(path))
    refusal(lambda: decode_image(contents, "archive.zip, member a.png"), names="member a.png")


# --- archives -------------------------------------------------------------------------------------

LIMITS = ArchiveLimits(num_members=4, member_bytes=10_000, total_bytes=20_000, ratio=100)


def tar_gz() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tape:
        info = tarfile.TarInfo("folder/a.txt")
        info.size = 500
        tape.addfile(info, io.BytesIO(bytes(500)))
    return stream.getvalue()


TAR_GZ, ZIP = tar_gz(), zipped("folder/a.txt", bytes(range(250)) * 2)


@few_examples(200)
@given(st.sampled_from(["zip", "tar.gz"]), st.lists(damages, min_size=1, max_size=3))
def test_a_damaged_archive_is_read_or_clearly_refused(
    tmp_path: Path, kind: str, all_damage: list[Damage]
) -> None:
    contents = ZIP if kind == "zip" else TAR_GZ
    for damage in all_damage:
        contents = damaged(contents, damage) or b"\0"
    path = tmp_path / f"x.{kind}"
    path.write_bytes(contents)

    def read_zip() -> None:
        with open_zip(path, LIMITS) as bundle:
            for name in bundle.names:
                assert len(bundle.read(name)) <= LIMITS.member_bytes

    def read_tar() -> None:
        read_tar_gz(path, ["folder/a.txt"], LIMITS)

    refusal(read_zip if kind == "zip" else read_tar, names=str(path))


PICKLE = pickle.dumps({"a": np.arange(6.0).reshape(2, 3)}, protocol=2)


@few_examples(200)
@given(st.lists(damages, min_size=1, max_size=3))
@example([("cut", 0, 0)])
def test_a_damaged_pickle_of_arrays_is_read_or_clearly_refused(all_damage: list[Damage]) -> None:
    contents = PICKLE
    for damage in all_damage:
        contents = damaged(contents, damage) or b"\0"
    refusal(lambda: parse_array_pickle(contents, "arrays.pkl"), names="arrays.pkl")
