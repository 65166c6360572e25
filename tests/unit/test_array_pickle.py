"""Arrays in pickles: read as they are, also of Python 2; what would cost much is refused."""

from __future__ import annotations

import pickle
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from entropic_ot.data.array_pickle import parse_array_pickle, read_array_pickle
from entropic_ot.errors import DataError

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"


def short(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def made_array(data: bytes, dimensions: bytes, kind: bytes = b"u1") -> bytes:
    """The instructions that make an array: `data` and `dimensions` push its bytes and shape."""
    number_type = b"cnumpy\ndtype\n" + short(kind) + b"K\x00K\x01\x87R(K\x03" + short(b"|")
    number_type += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    new = RECONSTRUCT + b"cnumpy\nndarray\nK\x00\x85" + short(b"b") + b"\x87R"
    return new + b"(K\x01" + dimensions + number_type + b"\x89" + data + b"tb"


def text_of_python2(data: bytes) -> bytes:
    return b"T" + struct.pack("<I", len(data)) + data


def put(path: Path, contents: bytes) -> Path:
    path.write_bytes(contents)
    return path


def refusal(path: Path, contents: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read_array_pickle(put(path, contents))
    assert str(caught.value).startswith(f"{path}: found ")
    assert str(caught.value).isascii()
    return str(caught.value)


@pytest.mark.parametrize("kind", ["u1", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_as_they_were(tmp_path: Path, kind: str, order: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(kind).copy(order)  # type: ignore[call-overload]
    tree = {"a": {"b": array}, "same": array, "none": np.zeros((0, 5), kind)}
    found = read_array_pickle(put(tmp_path / "p", pickle.dumps(tree, 4)))
    for name, made in (("same", found["same"]), ("b", found["a"]["b"])):
        np.testing.assert_array_equal(made, array, err_msg=name)
        assert made.dtype == array.dtype
    assert found["none"].shape == (0, 5)


def test_text_of_python_2_is_an_array_of_its_bytes() -> None:
    data = bytes(range(256))
    array = made_array(text_of_python2(data), b"K\x02K\x80\x86")
    labels = b"](K\x05K\x06e"
    contents = b"\x80\x02}(" + short(b"data") + array + short(b"labels") + labels + b"u."
    found = parse_array_pickle(contents, "here")
    assert found["labels"] == [5, 6]
    np.testing.assert_array_equal(found["data"], np.arange(256, dtype=np.uint8).reshape(2, 128))


def test_text_that_is_no_bytes_is_refused_and_named(tmp_path: Path) -> None:
    text = "\u0436\u0436".encode()
    array = made_array(b"X" + struct.pack("<I", len(text)) + text, b"K\x02\x85")
    message = refusal(tmp_path / "p", b"\x80\x02}" + short(b"a") + array + b"s.")
    assert r"an array of text: '\u0436\u0436'" in message


@pytest.mark.parametrize(
    "name",
    ["\ud800", "\u0436", "a" * 10**6, "\x1b[2J"],
    ids=["surrogate", "cyrillic", "long", "escape"],
)
def test_a_strange_name_is_shown_in_ascii_and_cut(tmp_path: Path, name: str) -> None:
    assert len(refusal(tmp_path / "p", pickle.dumps({name: 1}, 4))) < 1500


# --- what would cost ------------------------------------------------------------------------------


def shared_dicts(depth: int) -> bytes:
    """Dicts of which each is twice in the next one: 2^depth ways to the innermost."""
    tree: dict[str, object] = {}
    for _ in range(depth):
        tree = {"a": tree, "b": tree}
    return pickle.dumps(tree, 4)


def many_dimensions() -> bytes:
    """A shape of 3 * 10^5 sizes, whose product has 12 million bits."""
    sizes = b"\x8a\x06\xff\xff\xff\xff\xff\x00" * (3 * 10**5)
    return b"\x80\x02}" + short(b"a") + made_array(b"C\x00", b"(" + sizes + b"t") + b"s."


EXPENSIVE = {
    "a dict in two places": shared_dicts(2),
    "dicts in many places": shared_dicts(100),
    "a shape of many sizes": many_dimensions(),
    "a huge size": b"\x80\x02}"
    + short(b"a")
    + made_array(b"C\x00", b"\x8b" + struct.pack("<I", 10**6) + b"\x7f" * 10**6 + b"\x85")
    + b"s.",
    "huge sizes of nothing": b"\x80\x02}"
    + short(b"a")
    + made_array(b"C\x00", b"(K\x00" + b"\x8a\x05\xff\xff\xff\xff\x7f" * 3 + b"t")
    + b"s.",
    "a deep nest": b"\x80\x02" + b"}U\x01a" * 10**5 + b"}" + b"s" * 10**5 + b".",
    "a type of a long name": b"\x80\x02cnumpy\ndtype\nX"
    + struct.pack("<I", 10**6)
    + b"u" * 10**6
    + b"K\x00K\x01\x87R.",
}


@pytest.mark.parametrize("name", EXPENSIVE)
def test_what_would_take_for_ever_is_refused_at_once(tmp_path: Path, name: str) -> None:
    start = time.process_time()
    message = refusal(tmp_path / "p", EXPENSIVE[name])
    # Fractions of a second; 2^100 dicts, or the product of so many sizes, are not.
    assert time.process_time() - start < 5
    assert len(message) < 1500


@pytest.mark.parametrize("python2", [True, False])
def test_arrays_that_share_their_bytes_take_their_memory_once(
    tmp_path: Path, python2: bool
) -> None:
    """A thousand arrays of one MiB of the file: a GiB if each had its own."""
    size = 2**20
    data = text_of_python2(b"\xff" * size) if python2 else b"B" + struct.pack("<I", size)
    data += b"" if python2 else b"\xff" * size
    shape = b"J" + struct.pack("<I", size) + b"\x85"
    one = made_array(b"h\x00", shape)
    arrays = b"".join(short(b"%d" % k) + one for k in range(1000))
    contents = b"\x80\x03" + data + b"q\x000}(" + arrays + b"u."
    put(tmp_path / "p", contents)
    tracemalloc.start()
    found = read_array_pickle(tmp_path / "p")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 1000 and all(array.nbytes == size for array in found.values())
    assert peak < 32 * size
