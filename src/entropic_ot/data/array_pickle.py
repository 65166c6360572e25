"""Pickles of nested dicts of numpy arrays, read without executing anything that is in them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from entropic_ot.errors import DataError
from entropic_ot.restricted_pickle import PickleRefused, TakesState, read_pickle

_KINDS = frozenset(f"{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)) - {"f1"}
"""Names of the types whose arrays are read: plain numbers."""
_PLAIN_TYPE = (3, "<", None, None, None, -1, -1, 0)
"""State of such a type, little endian: version, byte order, and what structured types have."""


def read_array_pickle(path: Path) -> dict[str, Any]:
    """Nested dicts of numpy arrays out of a pickle that may hold nothing else.

    Raises:
        DataError: missing, damaged, or it asks for anything but dicts and arrays of numbers.
    """
    tree = read_pickle(path, _STAND_INS)
    try:
        if type(tree) is not dict:
            raise TypeError(f"a {type(tree).__name__}")
        return _opened(tree)
    except (TypeError, RecursionError) as error:
        raise DataError.about(
            path,
            found=f"in place of a dict: {error}",
            expected="a pickle of nested dicts of numpy arrays",
            action="Delete it and fetch it again.",
        ) from None


class _Type(TakesState):
    """A pickled numpy.dtype of plain numbers."""

    def __init__(self, name: Any, _align: Any, _copy: Any) -> None:
        if type(name) is not str or name not in _KINDS:
            raise PickleRefused("an array whose type is not one of plain numbers")
        self.name = name

    def take(self, state: Any) -> None:
        # Types of one byte have no order: "|".
        if type(state) is not tuple or state not in (_PLAIN_TYPE, (3, "|", *_PLAIN_TYPE[2:])):
            raise PickleRefused("an array whose type is not one of plain, little-endian numbers")


class _Array(TakesState):
    """A pickled array: empty when it is made, filled by its state."""

    def __init__(self, *_: Any) -> None:
        self.array = np.zeros(0)

    def take(self, state: Any) -> None:
        match state:
            case (1, tuple(shape), _Type(name=name), bool(fortran), bytes(data)):
                self.array = _filled(shape, np.dtype(f"<{name}"), "F" if fortran else "C", data)
            case _:
                raise PickleRefused("an array that is not one of plain numbers")


def _filled(shape: tuple[Any, ...], dtype: np.dtype, order: Any, data: bytes) -> np.ndarray:
    natural = all(type(size) is int and 0 <= size < 2**40 for size in shape)
    if not natural or math.prod(shape) * dtype.itemsize != len(data):
        raise PickleRefused(f"{len(data)} bytes for an array of another size")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _refused_call(*_: Any) -> Any:
    raise PickleRefused("an array that is made by its class")


_STAND_INS = {
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.ndarray": _refused_call,
    "numpy.dtype": _Type,
}


def _opened(tree: dict[str, Any]) -> dict[str, Any]:
    opened = {}
    for name, value in tree.items():
        if type(value) not in (dict, _Array):
            raise TypeError(f"a {type(value).__name__} under {name!r}")
        opened[name] = value.array if isinstance(value, _Array) else _opened(value)
    return opened
