"""Reads pickles without executing anything that is in them.

A pickle is a program for a small stack machine. This module runs that program itself, with only
the instructions that data needs. A global becomes the stand-in that the caller gives for its name;
any other global, and any other instruction, is an error that names it. Keys of dicts and members
of sets are plain scalars, so that nothing is hashed whose hash takes long, and integers among them
have 64 bits, so that few have the same hash. The memory needed is bounded by twice the file's size
and a constant for each instruction, of which there may be 10^6.
"""

from __future__ import annotations

import io
import pickletools
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from entropic_ot.errors import DataError

_LITERALS = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
        *("SHORT_BINSTRING", "BINSTRING"),  # of Python 2; text in Latin-1, a character a byte
    )
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, type] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = frozenset(("BINPUT", "LONG_BINPUT", "MEMOIZE"))
_GETS = frozenset(("BINGET", "LONG_BINGET"))
_MARKED = frozenset(("TUPLE", "APPENDS", "SETITEMS", "ADDITEMS", "POP_MARK"))
_CALLS = frozenset(("REDUCE", "NEWOBJ"))
_SCALARS = (str, int, float, bytes, type(None))
MAX_BYTES = 2**31
MAX_INSTRUCTIONS = 10**6
"""A published generator of 512x512 images is 364 MB and 36 thousand instructions."""


MAX_MESSAGE = 1000
"""Characters of a value in a message."""


class PickleRefused(Exception):
    """What a stand-in raises when its arguments are not those that it expects."""


class PickleDamaged(PickleRefused):
    """Bytes that are no whole pickle."""


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring = 3, 300

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= 1000 else f"an integer of {x.bit_length()} bits"

    def repr_bytes(self, x: bytes, level: int) -> str:
        return repr(x) if len(x) <= 100 else f"{x[:100]!r} and {len(x) - 100} bytes more"

    def repr_instance(self, x: object, level: int) -> str:
        plain = isinstance(x, (float, bool, type(None)))  # what others hold may be of any size
        return repr(x) if plain else f"<{type(x).__name__}>"


def short(value: object) -> str:
    """A repr in ASCII for messages, short for deep, long and huge values too, and soon written."""
    text = _Short().repr(value).encode("ascii", "backslashreplace").decode()
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."


class TakesState:
    """A stand-in's result with a state of its own (instruction BUILD), which `take` checks."""

    def take(self, state: Any) -> None:
        """Keep what is needed of `state`; PickleRefused when it is not what is expected."""
        raise NotImplementedError


class StandIn:
    """Opaque value of a global: the machine calls `make`, and nothing reads or changes it."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name, self.make = name, make


def read_pickle(path: Path, stand_ins: Mapping[str, Callable[..., Any]]) -> Any:
    """The value in a pickle (protocols 2 to 5) of dicts, lists, tuples, sets and scalars.

    Args:
        path: the file; read whole into memory, at most 2 GiB.
        stand_ins: "module.name" of every global that may occur -> what is called in its place,
            with the positional arguments in the file. It must be harmless for all arguments, and
            copy none, as they may be given to it again and again; it refuses them by PickleRefused
            or TypeError. Its results are not looked into; one that is a TakesState is given its
            state.

    Raises:
        DataError: missing, damaged or too large file, a global without a stand-in, another
            instruction, something behind the end.
    """
    return parse_pickle(_read(path), path, stand_ins)


def parse_pickle(data: bytes, path: object, stand_ins: Mapping[str, Callable[..., Any]]) -> Any:
    """As `read_pickle`, of a file's contents; `path` is what messages call it."""
    try:
        value, end = run_pickle(data, stand_ins)
        if end != len(data):
            raise PickleRefused(f"{len(data) - end} bytes behind the end at byte {end}")
    except PickleDamaged as damage:
        raise DataError.about(
            path, found=str(damage), expected="a whole one",
            action="Nothing of it was executed or kept. Get the file again.",
        ) from None  # fmt: skip
    except PickleRefused as refusal:
        raise DataError.about(
            path,
            found=str(refusal),
            expected="a pickle that holds only data and " + ", ".join(sorted(stand_ins)),
            action="Nothing of it was executed or kept. Get the file from its publisher.",
        ) from None
    return value


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size <= MAX_BYTES:
            return path.read_bytes()
    except OSError as error:
        raise DataError.about(
            path, found=f"no readable file ({error.strerror})", expected="a pickle",
            action="Check the path.",
        ) from None  # fmt: skip
    raise DataError.about(
        path, found=f"{size} bytes", expected=f"a pickle of at most {MAX_BYTES}",
        action="Check whether it is the right file.",
    )  # fmt: skip


def run_pickle(
    data: bytes,
    stand_ins: Mapping[str, Callable[..., Any]],
    *,
    start: int = 0,
    persistent: Callable[[Any], Any] | None = None,
    max_instructions: int = MAX_INSTRUCTIONS,
) -> tuple[Any, int]:
    """(value, position behind it) of the pickle at data[start:].

    Args:
        data: what holds the pickle.
        stand_ins: as for `read_pickle`; a global that is not called is a StandIn.
        start: first byte.
        persistent: called with a persistent id (instruction BINPERSID), which is refused without.
        max_instructions: a pickle of more is refused.

    Raises:
        PickleRefused, PickleDamaged: with the byte where it was found.
    """
    machine, position = _Machine(stand_ins, persistent), start
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        if data[start : start + 4] == b"PK\x03\x04":
            raise PickleRefused("a zip archive")
        for count, (opcode, argument, at) in enumerate(pickletools.genops(stream)):
            position = start if at is None else at
            if count == max_instructions:
                raise PickleRefused(f"more than {max_instructions} instructions")
            machine.step(opcode.name, argument)
    except PickleRefused as refusal:
        raise PickleRefused(f"{refusal} at byte {position}") from None
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
        # genops raises ValueError; the others are instructions whose operands are not there.
        what = f"{type(error).__name__}: {short(str(error))}"
        raise PickleDamaged(f"a damaged pickle ({what}) after byte {position}") from None
    return machine.result, position + 1


class _Machine:
    """Stack, marks and memo of the pickle instructions, one `step` each."""

    def __init__(
        self,
        stand_ins: Mapping[str, Callable[..., Any]],
        persistent: Callable[[Any], Any] | None,
    ) -> None:
        self.stand_ins, self.persistent = stand_ins, persistent
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}
        self.result: Any = None

    def step(self, name: str, argument: Any) -> None:
        """Execute one instruction; PickleRefused when it is none of those that data needs."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _PUTS:
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in _GETS:
            stack.append(self.memo[argument])
        elif name in _TUPLES:
            self._pop_tuple(_TUPLES[name])
        elif name in _MARKED:
            self._close_mark(name)
        elif name in _CALLS:
            self._call()
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._global(name, argument)
        else:
            self._other(name)

    def _other(self, name: str) -> None:
        stack = self.stack
        if name == "MARK":
            self.outer.append(stack)
            self.stack = []
        elif name == "APPEND":
            _append(stack[-2], [stack.pop()])
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _set_items(stack[-1], [key, value])
        elif name == "BUILD":
            self._build(stack.pop())
        elif name == "BINPERSID" and self.persistent is not None:
            stack.append(self.persistent(stack.pop()))
        elif name == "POP":
            stack.pop()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "STOP":
            if self.outer or len(stack) != 1:
                raise PickleRefused(f"{len(stack)} values where the pickle ends")
            self.result = stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise PickleRefused(f"the instruction {name}")

    def _build(self, state: Any) -> None:
        target = self.stack[-1]
        if isinstance(target, TakesState):
            target.take(state)
        elif state:
            raise PickleRefused("an object with a state of its own (instruction BUILD)")

    def _pop_tuple(self, length: int) -> None:
        if len(self.stack) < length:
            raise IndexError("too few values for a tuple")
        values = tuple(self.stack[-length:])
        self.stack[-length:] = [values]

    def _close_mark(self, name: str) -> None:
        values, self.stack = self.stack, self.outer.pop()
        if name == "TUPLE":
            self.stack.append(tuple(values))
        elif name == "APPENDS":
            _append(self.stack[-1], values)
        elif name == "SETITEMS":
            _set_items(self.stack[-1], values)
        elif name == "ADDITEMS":
            if type(self.stack[-1]) is not set:
                raise TypeError("members for what is no set")
            self.stack[-1].update(checked_scalars(values))

    def _global(self, name: str, argument: Any) -> None:
        if name == "GLOBAL":
            found = str(argument).replace(" ", ".", 1)
        else:
            attribute, module = self.stack.pop(), self.stack.pop()
            if type(module) is not str or type(attribute) is not str:
                raise PickleRefused("a global whose name is no text")
            found = f"{module}.{attribute}"
        if found not in self.stand_ins:
            raise PickleRefused(f"the global {short(found)}")
        self.stack.append(StandIn(found, self.stand_ins[found]))

    def _call(self) -> None:
        arguments, target = self.stack.pop(), self.stack.pop()
        if type(target) is not StandIn or type(arguments) is not tuple:
            raise PickleRefused("a call of what is no global")
        try:
            self.stack.append(target.make(*arguments))
        except TypeError:
            raise PickleRefused(f"other arguments than those of {target.name}") from None


def checked_scalars(values: list[Any]) -> list[Any]:
    """`values`, which are all plain scalars; PickleRefused otherwise."""
    for value in values:
        if type(value) not in (*_SCALARS, bool):
            raise PickleRefused(f"a key or member of a set that is a {type(value).__name__}")
        if type(value) is int and value.bit_length() > 64:
            raise PickleRefused(f"a key or member of a set of {value.bit_length()} bits")
    return values


def _append(target: Any, values: list[Any]) -> None:
    if type(target) is not list:
        raise TypeError("items for what is no list")
    target.extend(values)


def _set_items(target: Any, flat: list[Any]) -> None:
    if type(target) is not dict or len(flat) % 2:
        raise TypeError("keys and values for what is no dict")
    target.update(zip(checked_scalars(flat[::2]), flat[1::2], strict=True))
