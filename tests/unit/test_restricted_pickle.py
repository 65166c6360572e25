"""Pickles are read as data; whatever would execute, or cost much, is refused and named."""

from __future__ import annotations

import builtins
import collections
import copyreg
import functools
import importlib
import operator
import os
import pickle
import re
import struct
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entropic_ot import restricted_pickle
from entropic_ot.errors import DataError
from entropic_ot.restricted_pickle import PickleRefused, TakesState, read_pickle

STAND_INS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda: {},
    "some.make": lambda number: ("made", number),
}
PROTOCOLS = [2, 3, 4, 5]


class Calls:
    """Pickles as a call of `function`, which whoever loads it executes."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments, self.state


def read(path: Path, data: bytes) -> Any:
    path.write_bytes(data)
    return read_pickle(path, STAND_INS)


def refusal(path: Path, data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read(path, data)
    assert str(caught.value).startswith(f"{path}: found ")
    return str(caught.value)


# --- data -----------------------------------------------------------------------------------------

KEYS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False)),
    *(st.text(), st.binary()),
)
SCALARS = KEYS | st.integers()
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(KEYS, inner),
        st.lists(inner).map(tuple),
        st.sets(KEYS),
    ),
)


@given(data=DATA, protocol=st.sampled_from([4, 5]))
def test_data_comes_back_as_pickle_itself_reads_it(
    data: Any, protocol: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "data.pkl"
    assert read(path, pickle.dumps(data, protocol)) == data


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_and_cyclic_data_keep_their_structure(tmp_path: Path, protocol: int) -> None:
    shared: list[Any] = [1]
    cyclic: dict[str, Any] = {"a": shared, "b": shared}
    cyclic["self"] = cyclic
    found = read(tmp_path / "p", pickle.dumps(cyclic, protocol))
    assert found["a"] is found["b"] and found["self"] is found and found["a"] == [1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stand_in_is_called_in_the_place_of_its_global(tmp_path: Path, protocol: int) -> None:
    ordered = collections.OrderedDict([("b", 1), ("a", 2)])
    found = read(tmp_path / "p", pickle.dumps(ordered, protocol))
    assert type(found) is dict and list(found.items()) == [("b", 1), ("a", 2)]
    made = read(tmp_path / "p", b"\x80\x02csome\nmake\nK\x03\x85R.")
    assert made == ("made", 3)


class Box(TakesState):
    state: Any = None

    def take(self, state: Any) -> None:
        if state == "bad":
            raise PickleRefused("a bad state")
        self.state = state


def test_a_stateful_stand_in_is_given_its_state(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"\x80\x02csome\nbox\n)R(K\x01K\x02tb.")
    found = read_pickle(path, {"some.box": Box})
    assert type(found) is Box and found.state == (1, 2)
    path.write_bytes(b"\x80\x02csome\nbox\n)RX\x03\x00\x00\x00badb.")
    with pytest.raises(DataError, match="found a bad state at byte"):
        read_pickle(path, {"some.box": Box})


def test_byte_strings_of_python_2_are_text_in_latin_1(tmp_path: Path) -> None:
    """A character a byte; the two instructions are those of a length in one and in four bytes."""
    assert read(tmp_path / "p", b"\x80\x02U\x02a\xff.") == "a\xff"
    assert read(tmp_path / "p", b"\x80\x02T\x02\x00\x00\x00a\xff.") == "a\xff"


# --- what would execute ---------------------------------------------------------------------------


def attacks(mark: Path) -> dict[str, tuple[Any, str]]:
    """name -> (what makes the file `mark` when it is loaded, the global that must be named)."""
    touch = f"open({str(mark)!r}, 'w').close()"
    shell = f"touch '{mark}'"
    inner = Calls(eval, touch)
    return {
        "os.system": (Calls(os.system, shell), f"{os.name}.system"),
        "eval": (Calls(eval, touch), "eval"),
        "exec": (Calls(exec, touch), "exec"),
        "nested in data": ({"G": [1, {"x": (Calls(eval, touch),)}]}, "eval"),
        "as an argument": (Calls(print, inner), "print"),
        "as a state": (Calls(collections.OrderedDict, state={"a": inner}), "eval"),
        "in a stand-in": ([collections.OrderedDict(a=inner)], "eval"),
        "a bound method": (touch.upper, "getattr"),
        "getattr of a module": (
            Calls(getattr, Calls(importlib.import_module, "os"), "system"),
            "getattr",
        ),
        "importlib": (Calls(importlib.import_module, "os"), "importlib.import_module"),
        "__import__": (Calls(builtins.__import__, "os"), "__import__"),
        "partial": (Calls(functools.partial, eval, touch), "functools.partial"),
        "methodcaller": (Calls(operator.methodcaller, "x"), "operator.methodcaller"),
        "a class": (Calls(types.SimpleNamespace), "SimpleNamespace"),
        "a registry": (Calls(copyreg.add_extension, "os", "system", 240), "add_extension"),
        "pickle in pickle": (Calls(pickle.loads, pickle.dumps(inner)), "loads"),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", attacks(Path("x")))
def test_an_unexpected_global_is_named_and_nothing_runs(
    tmp_path: Path, name: str, protocol: int
) -> None:
    mark = tmp_path / "executed"
    attack, named = attacks(mark)[name]
    path = tmp_path / "p"
    message = refusal(path, pickle.dumps(attack, protocol))
    assert re.search(rf"the global '[\w.]*{re.escape(named)}' at byte \d+", message)
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_the_attacks_are_real(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    for name in ("os.system", "eval", "exec", "nested in data", "in a stand-in"):
        pickle.loads(pickle.dumps(attacks(mark)[name][0]))
        assert mark.exists(), name
        mark.unlink()


BY_HAND = {
    "GLOBAL": (b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR.", "the global 'os.system'"),
    "STACK_GLOBAL": (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "'os.system'"),
    "STACK_GLOBAL with a dotted name": (
        b"\x80\x04\x8c\x04some\x8c\x0dmake.__call__\x93.",
        "the global 'some.make.__call__'",
    ),
    "STACK_GLOBAL whose name is a number": (b"\x80\x04\x8c\x02osK\x01\x93.", "no text"),
    "INST": (b"(X\x04\x00\x00\x00trueios\nsystem\n.", "the instruction INST"),
    "OBJ": (b"(csome\nmake\nK\x01o.", "the instruction OBJ"),
    "EXT1": (b"\x80\x02\x82\xf0.", "the instruction EXT1"),
    "EXT2": (b"\x80\x02\x83\xf0\x00.", "the instruction EXT2"),
    "EXT4": (b"\x80\x02\x84\xf0\x00\x00\x00.", "the instruction EXT4"),
    "PERSID": (b"Pstorage\n.", "the instruction PERSID"),
    "BINPERSID": (b"\x80\x02X\x01\x00\x00\x00aQ.", "the instruction BINPERSID"),
    "NEXT_BUFFER": (b"\x80\x05\x97.", "the instruction NEXT_BUFFER"),
    "NEWOBJ_EX": (b"\x80\x04csome\nmake\nK\x01\x85}\x92.", "the instruction NEWOBJ_EX"),
    "FROZENSET": (b"\x80\x04(\x91.", "the instruction FROZENSET"),
    "text": (b"I" + b"9" * 5000 + b"\n.", "Exceeds the limit"),
    "BUILD with a state": (b"\x80\x02csome\nmake\nK\x01\x85R}X\x01\x00\x00\x00aK\x01sb.", "BUILD"),
    "BUILD of a global": (b"\x80\x02csome\nmake\n}X\x01\x00\x00\x00aK\x01sb.", "BUILD"),
    "BUILD of slots": (b"\x80\x02csome\nmake\nN}X\x01\x00\x00\x00aK\x01s\x86b.", "BUILD"),
    "a call of data": (b"\x80\x02X\x04\x00\x00\x00evalK\x01\x85R.", "a call of what is no global"),
    "a call of a result": (b"\x80\x02csome\nmake\nK\x01\x85RK\x01\x85R.", "a call of what is no"),
    "arguments that are no tuple": (b"\x80\x02csome\nmake\n]R.", "a call of what is no global"),
    "other arguments": (b"\x80\x02csome\nmake\n)R.", "other arguments than those of some.make"),
    "a global as a key": (b"\x80\x02}csome\nmake\nK\x01s.", "a key or member of a set that is"),
    "a tuple in a set": (b"\x80\x04\x8f()\x90.", "a key or member of a set that is a tuple"),
    "items for a tuple": (b"\x80\x02)K\x01a.", "damaged"),
    "items for a stand-in's tuple": (b"\x80\x02csome\nmake\nK\x01\x85RK\x01a.", "damaged"),
    "two values": (b"\x80\x02K\x01K\x02.", "2 values where the pickle ends"),
    "no value": (b"\x80\x02.", "0 values where the pickle ends"),
    "an open mark": (b"\x80\x02(K\x01.", "1 values where the pickle ends"),
    "a mark that is not there": (b"\x80\x02K\x01t.", "damaged"),
    "a memo entry that is not there": (b"\x80\x02h\x07.", "damaged"),
    "memo of nothing": (b"\x80\x02q\x07.", "damaged"),
    "an empty stack": (b"\x80\x02R.", "damaged"),
    "a tuple of too few": (b"\x80\x02K\x01\x87.", "damaged"),
    "an odd number of keys and values": (b"\x80\x02}(K\x01K\x02K\x03u.", "damaged"),
    "an unknown instruction": (b"\x80\x02\xff.", "damaged"),
    "a protocol of the future": (b"\x80\x7f\xff", "damaged"),
    "empty": (b"", "damaged"),
    "a zip file": (b"PK\x03\x04" + b"\x00" * 30, "a zip archive at byte 0"),
    "something behind the end": (b"\x80\x02K\x01.abc", "3 bytes behind the end at byte 5"),
    "another pickle behind the end": (b"\x80\x02K\x01.\x80\x02cos\nsystem\n.", "behind the end"),
    "STACK_GLOBAL in another alphabet": (
        b"\x80\x04\x8c\x05s\xd0\xbeme\x8c\x04make\x93.",
        r"the global 's\u043eme.make'",
    ),
    "STACK_GLOBAL with a space of no width": (
        b"\x80\x04\x8c\x07some\xe2\x80\x8b\x8c\x04make\x93.",
        r"the global 'some\u200b.make'",
    ),
    "STACK_GLOBAL that would clear the screen": (
        b"\x80\x04\x8c\x08some\x1b[2J\x8c\x04make\x93.",
        r"the global 'some\x1b[2J.make'",
    ),
    "STACK_GLOBAL out of the memo": (
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93.",
        "the global 'os.system'",
    ),
    "an id in a tuple": (b"\x80\x02csome\nmake\nX\x01\x00\x00\x00aQ\x85R.", "BINPERSID"),
    "text that is no UTF-8": (b"\x80\x04\x8c\x01\xff.", "damaged"),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_instructions_that_data_does_not_need_are_refused(tmp_path: Path, name: str) -> None:
    data, named = BY_HAND[name]
    assert named in refusal(tmp_path / "p", data)


def test_an_extension_that_is_registered_is_refused_all_the_same(tmp_path: Path) -> None:
    """pickle.Unpickler takes it from a cache without asking find_class."""
    copyreg.add_extension("os", "getpid", 240)
    try:
        assert pickle.loads(b"\x80\x02\x82\xf0)R.") == os.getpid()
        assert "the instruction EXT1" in refusal(tmp_path / "p", b"\x80\x02\x82\xf0)R.")
    finally:
        copyreg.remove_extension("os", "getpid", 240)
        copyreg.clear_extension_cache()


# --- what would cost ------------------------------------------------------------------------------

EXPENSIVE = {
    "a huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a.",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"a.",
    "huge bytes, signed": b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b"a.",
    "a huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"a.",
    "a huge integer": b"\x80\x02\x8b" + struct.pack("<I", 2**31 - 1) + b"a.",
    "a negative size": b"\x80\x02\x8b" + struct.pack("<i", -1) + b"a.",
    "a frame of no end": b"\x80\x04\x95" + b"\xff" * 8 + b"\x8e" + b"\xff" * 8,
    "a global of a long name": b"\x80\x04\x8d"
    + struct.pack("<Q", 10**7)
    + b"a" * 10**7
    + b"\x8c\x01b\x93.",
    "keys of one hash": b"\x80\x02}("
    + b"".join(
        b"\x8a\x0f" + (k * (2**61 - 1)).to_bytes(15, "little") + b"K\x01" for k in range(1, 50_000)
    )
    + b"u.",
    "members of one hash": b"\x80\x04\x8f("
    + b"".join(b"\x8a\x0f" + (k * (2**61 - 1)).to_bytes(15, "little") for k in range(1, 50_000))
    + b"\x90.",
    "a tuple that hashes for ever": b"\x80\x02}K\x01" + b"2\x86" * 64 + b"K\x01s.",
}


@pytest.mark.parametrize("name", EXPENSIVE)
def test_huge_sizes_are_refused_at_once(tmp_path: Path, name: str) -> None:
    start = time.process_time()
    message = refusal(tmp_path / "p", EXPENSIVE[name])
    # Milliseconds; 2^62 bytes, or 2^64 hashes, would take for ever.
    assert time.process_time() - start < 5
    assert len(message) < 1500


def test_more_instructions_or_bytes_than_a_network_has_are_refused(
    tmp_path: Path,
) -> None:
    """An empty set is one byte in the file and 200 in memory."""
    count = restricted_pickle.MAX_INSTRUCTIONS
    message = refusal(tmp_path / "p", b"\x80\x04" + b"N0" * (count // 2) + b"N.")
    assert f"more than {count} instructions at byte {count + 1}" in message
    assert read(tmp_path / "p", b"\x80\x04" + b"N0" * (count // 2 - 2) + b"N.") is None
    with (tmp_path / "p").open("wb") as file:
        file.truncate(2**40)  # a hole; no byte of it is read
    with pytest.raises(DataError, match="found 1099511627776 bytes; expected a pickle of at most"):
        read_pickle(tmp_path / "p", STAND_INS)


def test_a_huge_memo_index_and_a_huge_frame_cost_nothing(tmp_path: Path) -> None:
    """pickle.Unpickler makes an array of 2^32 entries for the first of them."""
    assert read(tmp_path / "p", b"\x80\x02K\x05r\xff\xff\xff\xff.") == 5
    framed = b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"K\x05."
    assert read(tmp_path / "p", framed) == 5


def test_deep_nesting_is_no_recursion(tmp_path: Path) -> None:
    found = read(tmp_path / "p", b"\x80\x02)" + b"\x85" * 100_000 + b".")
    depth = 0
    while found:
        found, depth = found[0], depth + 1
    assert depth == 100_000


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = {"a": [1, 2.5, "text", b"bytes", None, (1, 2, 3, 4)], "b": {"c": {3}}, "d": 2**80}
    whole = pickle.dumps(data, 4)
    assert read(tmp_path / "p", whole) == data
    for length in range(len(whole)):
        refusal(tmp_path / "p", whole[:length])


@given(data=st.binary(max_size=60))
def test_noise_is_refused_or_read_but_never_another_error(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.pkl"
    path.write_bytes(b"\x80\x04" + data)
    try:
        read_pickle(path, STAND_INS)
    except DataError as error:
        assert str(path) in str(error)


def test_a_missing_file_and_a_refusing_stand_in_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: found no readable file"):
        read_pickle(tmp_path / "absent", STAND_INS)

    def refuse(number: int) -> None:
        raise PickleRefused(f"the number {number}")

    path = tmp_path / "p"
    path.write_bytes(b"\x80\x02csome\nmake\nK\x03\x85R.")
    with pytest.raises(DataError, match="found the number 3 at byte"):
        read_pickle(path, {"some.make": refuse})
