"""Strict reading of plain mappings into frozen dataclasses, and JSON Schema from the same types.

Every field must be named in the data (a default in code never stands in for a missing key), every
key must be known. The readers (JSON, YAML) live elsewhere; errors carry the dotted key path.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import reprlib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from entropic_ot.errors import ConfigError

T = TypeVar("T")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_evaluated_hints = functools.cache(typing.get_type_hints)


def _type_hints(cls: Any) -> dict[str, Any]:
    """Evaluated once for each class: that took half of the time of reading params.yaml."""
    return _evaluated_hints(cls)


def shown(value: object) -> str:
    """`repr` of what was found, cut to what a message can hold."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # an integer of so many digits that Python refuses to write it
        return "an integer of thousands of digits"


def key_text(key: object) -> str:
    """A key as text; one that is long, or no text, is shown as `shown` does."""
    return key if isinstance(key, str) and len(key) <= 80 else shown(key)


def nearest(key: str, known: Iterable[str]) -> str:
    """A hint for an unknown key: the nearest known one and the whole list."""
    known = [str(k) for k in known]
    close = difflib.get_close_matches(key_text(key), known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known keys: {', '.join(known)}"


def join(path: str, key: object) -> str:
    """The key path one level down; a path that ends in ": " is the root of a file."""
    text = str(key) if isinstance(key, Exception) else key_text(key)
    return f"{path}{text}" if path.endswith(": ") else f"{path}.{text}"


def from_mapping(cls: type[T], data: Any, path: str) -> T:
    """`data` as an instance of the dataclass `cls`; ConfigError names the key path of a misfit."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: found {shown(data)}, expected a mapping of keys to values")
    hints = _type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            raise ConfigError(f"{join(path, key)}: unknown key; {nearest(key, known)}")
    values = {}
    for name in known:
        if name not in data:
            raise ConfigError(
                f"{join(path, name)}: missing, expected {describe(hints[name])}. Add the key."
            )
        values[name] = convert(hints[name], data[name], join(path, name))
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(join(path, error)) from None


def convert(hint: Any, value: Any, path: str) -> Any:
    """`value` as an instance of the type `hint` (str, numbers, Literal, tuple, dict, unions)."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, path)
    if origin is Literal:
        if value in args and type(value) in {type(a) for a in args}:
            return value
    elif origin in (typing.Union, types.UnionType):
        return _convert_union(args, value, path)
    elif origin is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(convert(args[0], v, f"{path}[{i}]") for i, v in enumerate(value))
    elif origin is dict:
        if isinstance(value, Mapping):
            return {
                convert(args[0], k, f"{path} (key)"): convert(args[1], v, join(path, k))
                for k, v in value.items()
            }
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return _as_float(value, path)
    elif hint is Any or (isinstance(value, hint) and (hint is bool or not isinstance(value, bool))):
        return value
    note = ""
    if hint is float and isinstance(value, str):
        note = " (YAML reads 1e-3 as text: write 1.0e-3)"
    raise ConfigError(f"{path}: found {shown(value)}, expected {describe(hint)}{note}")


def _as_float(value: int | float, path: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(
            f"{path}: found {shown(value)}, expected a number below 1.8e308"
        ) from None


def _convert_union(args: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in args:
        return None
    options = [a for a in args if a is not type(None)]
    if len(options) == 1:
        return convert(options[0], value, path)
    kinds = {kind_of(option): option for option in options}
    if not isinstance(value, Mapping) or "kind" not in value:
        raise ConfigError(f"{path}.kind: missing, expected one of {', '.join(kinds)}")
    kind = value["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        raise ConfigError(f"{path}.kind: found {shown(kind)}; {nearest(kind, kinds)}")
    return from_mapping(kinds[kind], value, path)


def at_least(minimum: int, config: object, *names: str) -> None:
    """ConfigError naming the first of these fields of `config` that is below `minimum`."""
    _check(lambda value: value >= minimum, f"an integer >= {minimum}", config, names)


def seeds(config: object, *names: str, bits: int = 63) -> None:
    """ConfigError naming the first of these fields of `config` that cannot seed a generator.

    torch's takes 63 bits.
    """
    _check(lambda value: 0 <= value < 2**bits, f"an integer >= 0 and < 2^{bits}", config, names)


def positive(config: object, *names: str) -> None:
    """ConfigError naming the first of these fields of `config` that is not a finite number > 0."""
    _check(lambda value: 0 < value < float("inf"), "a finite number > 0", config, names)


def not_negative(config: object, *names: str) -> None:
    """ConfigError naming the first of these fields of `config` that is not a finite number >= 0."""
    _check(lambda value: 0 <= value < float("inf"), "a finite number >= 0", config, names)


def share(config: object, *names: str) -> None:
    """ConfigError naming the first of these fields of `config` that is outside [0, 1]."""
    _check(lambda value: 0 <= value <= 1, "a number from 0 to 1", config, names)


def share_below_one(config: object, *names: str) -> None:
    """ConfigError naming the first of these fields of `config` that is outside [0, 1)."""
    _check(lambda value: 0 <= value < 1, "a number >= 0 and < 1", config, names)


def _check(
    accepts: Callable[[Any], bool], words: str, config: object, names: tuple[str, ...]
) -> None:
    for name in names:  # a value that is not a number (NaN) passes no comparison
        value = getattr(config, name)
        if not accepts(value):
            raise ConfigError(f"{name}: found {shown(value)}, expected {words}")


def kind_of(cls: type) -> str:
    """The one value of a dataclass's `kind: Literal[...]` field."""
    return typing.get_args(_type_hints(cls)["kind"])[0]


def describe(hint: Any) -> str:
    """A type in the words of a user of params.yaml."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(
            str(a).lower() if isinstance(a, bool) else repr(a) for a in args
        )
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(a) for a in args)
    if origin is tuple:
        return f"a list of {describe(args[0])}"
    if origin is dict or dataclasses.is_dataclass(hint):
        return "a mapping"
    words = {float: "a number", int: "an integer", str: "text", bool: "true or false"}
    return "null" if hint is type(None) else words.get(hint, str(hint))


def json_schema(hint: Any, *, partial: bool = False) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a type; `partial` leaves out `required` (overrides)."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _object_schema(typing.cast(type, hint), partial=partial)
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [json_schema(a, partial=partial) for a in args]}
    if origin is tuple:
        return {"type": "array", "items": json_schema(args[0], partial=partial)}
    if origin is dict:
        return {"type": "object", "additionalProperties": json_schema(args[1], partial=partial)}
    if hint is Any:
        return {}
    names = {float: "number", int: "integer", str: "string", bool: "boolean", type(None): "null"}
    return {"type": names[hint]}


def _object_schema(cls: type, *, partial: bool) -> dict[str, Any]:
    hints = _type_hints(cls)
    fields = [f.name for f in dataclasses.fields(cls)]
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: json_schema(hints[name], partial=partial) for name in fields},
    }
    return schema if partial else schema | {"required": fields}
