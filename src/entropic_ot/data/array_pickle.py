"""Pickles of dicts of numpy arrays, read without executing anything that is in them.

Arrays are made only when the pickle is read to its end, each as a view of its bytes in the file, so
that a pickle that names the same bytes a thousand times costs no more than one that does once.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from entropic_ot.errors import DataError
from entropic_ot.restricted_pickle import (
    PickleRefused,
    TakesState,
    parse_pickle,
    read_pickle,
    short,
)

_KINDS = frozenset(f"{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)) - {"f1"}
"""Names of the types whose arrays are read: plain numbers."""
_PLAIN_TYPE = (3, "<", None, None, None, -1, -1, 0)
"""State of such a type, little endian: version, byte order, and what structured types have."""
_MAX_DIMS = 32


def read_array_pickle(path: Path) -> dict[str, Any]:
    """Nested dicts of numpy arrays out of a pickle that may hold nothing else.

    Raises:
        DataError: missing, damaged, or it asks for anything but dicts and arrays of numbers.
    """
    tree = read_pickle(path, _STAND_INS)
    try:
        return _Opener().nested(_dict(tree))
    except (TypeError, ValueError, RecursionError) as error:
        raise _bad_tree(path, error, "a pickle of nested dicts of numpy arrays") from None


def parse_array_pickle(contents: bytes, where: object) -> dict[Any, Any]:
    """A dict of numpy arrays and other data, also as Python 2 wrote it.

    Args:
        contents: the pickle.
        where: what messages call it.

    Returns:
        Its arrays as arrays; its other values (text, lists of numbers) as they are.

    Raises:
        DataError: damaged, or it asks for anything but data and arrays of numbers.
    """
    tree = parse_pickle(contents, where, _STAND_INS)
    try:
        opener = _Opener()
        return {
            name: opener.array(value) if isinstance(value, _Array) else value
            for name, value in _dict(tree).items()
        }
    except (TypeError, ValueError) as error:
        raise _bad_tree(where, error, "a pickle of a dict of numpy arrays") from None


def _dict(tree: Any) -> dict[Any, Any]:
    if type(tree) is not dict:
        raise TypeError(f"a {type(tree).__name__}")
    return tree


def _bad_tree(where: object, error: Exception, expected: str) -> DataError:
    return DataError.about(
        where,
        found=f"in place of a dict of arrays: {error}",
        expected=expected,
        action="Delete it and fetch it again.",
    )


class _Type(TakesState):
    """A pickled numpy.dtype of plain numbers."""

    def __init__(self, name: Any, _align: Any, _copy: Any) -> None:
        if type(name) is not str or name not in _KINDS:
            raise PickleRefused(f"an array of type {short(name)}, which is none of plain numbers")
        self.name = name

    def take(self, state: Any) -> None:
        # Types of one byte have no order: "|".
        if type(state) is not tuple or state not in (_PLAIN_TYPE, (3, "|", *_PLAIN_TYPE[2:])):
            raise PickleRefused("an array whose type is not one of plain, little-endian numbers")


class _Array(TakesState):
    """A pickled array: empty when it is made; its state is only referred to."""

    def __init__(self, *_: Any) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.dtype = np.dtype(np.float64)
        self.order: Literal["C", "F"] = "C"
        self.data: bytes | str = b""

    def take(self, state: Any) -> None:
        match state:
            case (1, tuple(shape), _Type(name=name), bool(fortran), bytes(data) | str(data)):
                self.dtype = np.dtype(f"<{name}")
                self.shape = _checked_shape(shape, self.dtype, len(data))
                self.order, self.data = "F" if fortran else "C", data
            case _:
                raise PickleRefused("an array that is not one of plain numbers")


def _checked_shape(shape: tuple[Any, ...], dtype: np.dtype[Any], num_bytes: int) -> tuple[int, ...]:
    natural = len(shape) <= _MAX_DIMS and all(type(n) is int and 0 <= n < 2**40 for n in shape)
    if not natural or math.prod(shape) * dtype.itemsize != num_bytes:
        raise PickleRefused(f"{num_bytes} bytes for an array of another size: {short(shape)}")
    return shape


def _refused_call(*_: Any) -> Any:
    raise PickleRefused("a call of numpy.ndarray")


_STAND_INS = {
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.ndarray": _refused_call,
    "numpy.dtype": _Type,
}


class _Opener:
    """Makes numpy arrays of what was read; each text is turned into bytes once."""

    def __init__(self) -> None:
        self._bytes: dict[int, bytes] = {}
        self._seen: set[int] = set()

    def array(self, found: _Array) -> np.ndarray:
        """A view of the bytes; ValueError where numpy does not take the shape."""
        data = self._encoded(found.data) if isinstance(found.data, str) else found.data
        return np.frombuffer(data, found.dtype).reshape(found.shape, order=found.order)

    def _encoded(self, text: str) -> bytes:
        """The bytes of Python 2's text, which is read as Latin-1, a character a byte."""
        if id(text) not in self._bytes:
            try:
                self._bytes[id(text)] = text.encode("latin-1")
            except UnicodeEncodeError:
                raise TypeError(f"an array of text: {short(text)}") from None
        return self._bytes[id(text)]

    def nested(self, tree: dict[Any, Any]) -> dict[str, Any]:
        """Dicts of dicts and arrays; TypeError for other values and for a dict seen before.

        A dict that is in several places would be walked in each of them, and a chain of such
        dicts, two places each, for ever.
        """
        if id(tree) in self._seen:
            raise TypeError("a dict that is in two places")
        self._seen.add(id(tree))
        opened = {}
        for name, value in tree.items():
            if type(value) not in (dict, _Array):
                raise TypeError(f"a {type(value).__name__} under {short(name)}")
            opened[name] = self.array(value) if isinstance(value, _Array) else self.nested(value)
        return opened
