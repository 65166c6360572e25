"""The modules in a published StyleGAN2-ADA pickle (PyTorch), as inert records.

Such a file is a pickle of a dict with the keys G, D, G_ema, training_set_kwargs and augment_pipe.
A module in it is a call of torch_utils.persistence with the module's source text and its state:
parameters, buffers, modules in it, the constructor's arguments, and gains that are NumPy scalars.
The source text is never looked at. Tensors are calls of torch._utils on the bytes of torch.save,
which stay closed until `open_tensor` gives them to torch.load with weights_only.
"""

from __future__ import annotations

import io
import math
import re
import reprlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from entropic_ot.errors import DataError
from entropic_ot.restricted_pickle import PickleRefused, TakesState, read_pickle

_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch.save starts in the format before zip files, the only one inside pickled tensors."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 300


def short(value: object) -> str:
    """A repr for messages, short for deep and long values too."""
    return _SHORT.repr(value)


@dataclass(frozen=True)
class PickledModule:
    """A pickled module: the name of its class and its state. `version` and source are dropped."""

    class_name: str
    state: dict[str, Any]


@dataclass(frozen=True)
class _Storage:
    """The bytes of a pickled storage, unopened."""

    data: bytes


@dataclass(frozen=True)
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
    storage: Any, offset: Any, size: Any, stride: Any, _requires_grad: Any, _hooks: Any, *_: Any
) -> PickledTensor:
    numbers = [offset, *size, *stride] if type(size) is type(stride) is tuple else [None]
    natural = all(type(n) is int and 0 <= n < 2**40 for n in numbers)
    if type(storage) is not _Storage or not natural or len(size) != len(stride):
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


def _make_set(members: Any) -> tuple[Any, ...]:
    return tuple(members)


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
        f"{path}: {what}", found=short(found), expected=str(expected),
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
    """(full name, record) of each parameter and buffer; every module may occur once."""
    pending, seen = [("", root)], {id(root)}
    while pending:
        prefix, module = pending.pop()
        for kind in ("_parameters", "_buffers", "_modules"):
            entries = module.state.get(kind, {})
            if type(entries) is not dict:
                raise misfit(path, f"{prefix}{kind}", found=type(entries), expected="a dict")
            for key, value in entries.items():
                name = f"{prefix}{key}"
                if value is None:
                    continue
                if kind != "_modules" and type(value) is PickledTensor:
                    yield name, value
                elif kind == "_modules" and type(value) is PickledModule and id(value) not in seen:
                    seen.add(id(value))
                    pending.append((f"{name}.", value))
                else:
                    kinds = "a tensor" if kind != "_modules" else "a module of its own"
                    raise misfit(path, name, found=type(value).__name__, expected=kinds)


def open_tensor(path: Path, name: str, record: PickledTensor) -> torch.Tensor:
    """The values of a record in float32, its own copy; finite."""
    try:
        storage = torch.load(io.BytesIO(record.storage.data), map_location="cpu", weights_only=True)
        whole = torch.empty(0, dtype=storage.dtype).set_(storage)
        if math.prod(record.size) > whole.numel():
            raise ValueError(f"{whole.numel()} values for the size {record.size}")
        view = whole.as_strided(record.size, record.stride, record.offset)
    except Exception as error:  # torch.load raises many kinds for bytes that it did not write
        found = f"{type(error).__name__}: {error}"
        if isinstance(error, UnpicklingError):  # torch's own text proposes to execute it
            names = re.findall(r"GLOBAL ([\w.]+)", str(error))
            found = " ".join(["bytes that are not those of a storage", *names[:1]])
        raise misfit(path, name, found=found, expected="the tensor's values") from None
    if not view.dtype.is_floating_point or not view.isfinite().all():
        raise misfit(path, name, found=f"{view.dtype}, or not finite", expected="finite numbers")
    return view.to(torch.float32).clone(memory_format=torch.contiguous_format)
