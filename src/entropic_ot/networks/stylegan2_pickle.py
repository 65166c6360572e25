"""The modules in a published StyleGAN2-ADA pickle (PyTorch), as inert records.

Such a file is a pickle of a dict with the keys G, D, G_ema, training_set_kwargs and augment_pipe.
A module in it is a call of torch_utils.persistence with the module's source text and its state:
parameters, buffers, modules in it, the constructor's arguments, and gains that are NumPy scalars.
The source text is never looked at. Tensors are calls of torch._utils on the bytes of torch.save,
which stay closed until `open_tensor` reads them, by the same machine.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from entropic_ot.errors import DataError
from entropic_ot.restricted_pickle import (
    PickleRefused,
    StandIn,
    TakesState,
    read_pickle,
    run_pickle,
    short,
)

_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch.save starts in the format before zip files, the only one inside pickled tensors."""

_MAX_DIMS = 8
"""Dimensions of a tensor; published ones have at most four. A tuple of N numbers may be the size
of K tensors, which would cost N * K."""

_MAX_NAME = 200
"""Characters of a tensor's full name; published ones have less than 40."""


@dataclass(frozen=True, repr=False, eq=False)
class PickledModule:
    """A pickled module: the name of its class and its state. `version` and source are dropped."""

    class_name: str
    state: dict[str, Any]


@dataclass(frozen=True, repr=False, eq=False)
class _Storage:
    """The bytes of a pickled storage, unopened."""

    data: bytes


@dataclass(frozen=True, repr=False, eq=False)
class PickledTensor:
    """A pickled tensor: a view of a storage, unopened."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _make_module(meta: Any) -> PickledModule:
    match meta:
        case {"type": "class", "class_name": str(name), "state": dict(state)}:
            return PickledModule(name, state)
    raise PickleRefused("a module without a class name or a state")


def _make_storage(data: Any) -> _Storage:
    if type(data) is not bytes or not data.startswith(_LEGACY_MAGIC):
        raise PickleRefused("a storage that torch.save did not write in its legacy format")
    return _Storage(data)


def _make_tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    _requires_grad: Any,
    _hooks: Any,
    _metadata: Any = None,
) -> PickledTensor:
    tuples = type(size) is type(stride) is tuple
    if (
        type(storage) is not _Storage
        or not tuples
        or not len(size) == len(stride) <= _MAX_DIMS
        or not all(type(n) is int and 0 <= n < 2**40 for n in (offset, *size, *stride))
    ):
        raise PickleRefused("a tensor that is no view of a storage")
    return PickledTensor(storage, offset, size, stride)


def _make_parameter(data: Any, _requires_grad: Any, _hooks: Any) -> PickledTensor:
    if type(data) is not PickledTensor:
        raise PickleRefused("a parameter that is no tensor")
    return data


_NUMPY_FORMATS = {"f2": "<e", "f4": "<f", "f8": "<d", "i4": "<i", "i8": "<q"}
"""NumPy's names of the types of scalars -> struct's."""

_NUMPY_STATE = (3, "<", None, None, None, -1, -1, 0)
"""numpy.dtype.__reduce__: version, byte order, and nothing that a structured type would have."""


class _NumpyType(TakesState):
    """A pickled numpy.dtype of plain numbers, little endian."""

    def __init__(self, name: Any, _align: Any, _copy: Any) -> None:
        if type(name) is not str or name not in _NUMPY_FORMATS:
            raise PickleRefused(f"the NumPy type {short(name)}")
        self.format = _NUMPY_FORMATS[name]

    def take(self, state: Any) -> None:
        if type(state) is not tuple or state != _NUMPY_STATE:
            raise PickleRefused(f"a NumPy type of the state {short(state)}")


def _make_number(kind: Any, data: Any) -> Any:
    if (
        type(kind) is not _NumpyType
        or type(data) is not bytes
        or len(data) != struct.calcsize(kind.format)
    ):
        raise PickleRefused("a NumPy scalar that is no plain number")
    return struct.unpack(kind.format, data)[0]


def _make_dict() -> dict[Any, Any]:
    return {}


def _make_set(members: Any) -> list[Any]:
    if type(members) is not list:
        raise PickleRefused("a set of what is no list")
    return members


STAND_INS: dict[str, Callable[..., Any]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _make_module,
    "torch._utils._rebuild_tensor_v2": _make_tensor,
    "torch._utils._rebuild_parameter": _make_parameter,
    "torch.storage._load_from_bytes": _make_storage,
    "collections.OrderedDict": _make_dict,
    "dnnlib.util.EasyDict": _make_dict,
    "numpy.dtype": _NumpyType,
    "numpy.core.multiarray.scalar": _make_number,
    "numpy._core.multiarray.scalar": _make_number,
    "builtins.set": _make_set,
    "__builtin__.set": _make_set,
}
"""Every global that occurs in the published files, and what stands for it."""


def misfit(path: Path, what: str, *, found: object, expected: object) -> DataError:
    """The error for a pickle whose part `what` is not that of a generator."""
    return DataError.about(
        f"{path}: {ascii(what)[1:-1][:300]}", found=short(found), expected=str(expected),
        action="Only unconditional StyleGAN2-ADA generators (PyTorch) can be converted.",
    )  # fmt: skip


def read_module(path: Path, key: str, *, class_name: str) -> PickledModule:
    """The module under `key`; DataError for other contents, and for any unexpected global."""
    contents = read_pickle(path, STAND_INS)
    module = contents.get(key) if type(contents) is dict else None
    if type(module) is not PickledModule or module.class_name != class_name:
        raise DataError.about(
            path, found=short(list(contents) if type(contents) is dict else contents),
            expected=f"a dict in which {key} is a {class_name}",
            action="Give a network pickle of StyleGAN2-ADA (PyTorch).",
        )  # fmt: skip
    return module


def named_tensors(path: Path, root: PickledModule) -> Iterator[tuple[str, PickledTensor]]:
    """(full name, record) of each parameter and buffer.

    Every module and every storage may occur once, as in the published files, so that no file takes
    more work than its size.
    """
    pending, seen = [("", root)], {id(root)}
    while pending:
        prefix, module = pending.pop()
        for kind in ("_parameters", "_buffers", "_modules"):
            entries = module.state.get(kind, {})
            if type(entries) is not dict:
                raise misfit(path, f"{prefix}{kind}", found=type(entries), expected="a dict")
            for key, value in entries.items():
                name = f"{prefix}{key}"
                if type(key) is not str or not key.isidentifier() or len(name) > _MAX_NAME:
                    raise misfit(path, f"{prefix}{kind}", found=key, expected="a short name")
                if value is None:
                    continue
                if kind == "_modules" and type(value) is PickledModule and id(value) not in seen:
                    seen.add(id(value))
                    pending.append((f"{name}.", value))
                elif (
                    kind != "_modules"
                    and type(value) is PickledTensor
                    and id(value.storage) not in seen
                ):
                    seen.add(id(value.storage))
                    yield name, value
                else:
                    kinds = "a tensor of its own" if kind != "_modules" else "a module of its own"
                    raise misfit(path, name, found=type(value).__name__, expected=kinds)


def open_tensor(path: Path, name: str, record: PickledTensor) -> torch.Tensor:
    """The values of a record in float32, its own copy; finite."""
    try:
        whole = _stored_values(record.storage.data)
        if math.prod(record.size) > whole.numel():
            raise PickleRefused(f"{whole.numel()} values for the size {record.size}")
        view = whole.as_strided(record.size, record.stride, record.offset)
    except (PickleRefused, RuntimeError) as error:  # RuntimeError: a view beyond the storage
        raise misfit(path, name, found=str(error), expected="the tensor's values") from None
    values = view.to(torch.float32)  # in which a large number of float64 is infinite
    if not values.isfinite().all():
        raise misfit(path, name, found="infinite or no numbers", expected="finite numbers")
    return values.clone(memory_format=torch.contiguous_format)


_DTYPES = {
    "torch.HalfStorage": torch.float16,
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
}


def _no_call() -> None:
    raise PickleRefused("a call of a kind of storage")


def _make_reference(reference: Any) -> tuple[torch.dtype, str, int]:
    match reference:
        case ("storage", StandIn(name=kind), str(key), str(_), int(count), None):
            return _DTYPES[kind], key, count
    raise PickleRefused(f"the persistent id {short(reference)}")


def _stored_values(data: bytes) -> torch.Tensor:
    """[count]: what torch.save wrote of a storage before it wrote zip files.

    Five pickles: a number that marks the format, its version, what the writing machine was like,
    the storage as a persistent id, the list of the ids. Then the count of values and their bytes.
    """
    contents: list[Any] = []
    end, stand_ins = 0, dict.fromkeys(_DTYPES, _no_call)
    for _ in range(5):
        value, end = run_pickle(
            data, stand_ins, start=end, persistent=_make_reference, max_instructions=1000
        )
        contents.append(value)
    match contents:
        case [_, 1001, {"little_endian": True}, (torch.dtype() as dtype, key, count), [only]]:
            values = data[end + 8 :]
            size = struct.pack("<q", count) if 0 <= count < 2**40 else b""
            fits = data[end : end + 8] == size and len(values) == count * dtype.itemsize
            if key == only and fits and count > 0:
                return torch.frombuffer(bytearray(values), dtype=dtype)
    raise PickleRefused(f"{len(data)} bytes that are no storage of torch.save")
