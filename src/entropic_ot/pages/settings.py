"""The resolved configuration to read: what all runs of a method share, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entropic_ot.experiments.config import read_mapping

_RUN = ("experiment", "variant", "method", "epsilon", "seed")


@dataclass(frozen=True)
class Block:
    """Settings of one file, or of several runs of one case and method."""

    title: str
    shared: tuple[tuple[str, str], ...]
    """(dotted key, value) of all of them."""
    columns: tuple[str, ...]
    """The keys in which they differ; empty for one file."""
    rows: tuple[tuple[str, ...], ...]
    """Their values, one row a file."""


@dataclass(frozen=True)
class Group:
    """The blocks of one case, or those of no case."""

    title: str
    blocks: tuple[Block, ...]


def settings_groups(paths: Sequence[Path]) -> list[Group]:
    """The settings in resolved JSON files, by case and method; ConfigError where one is missing."""
    groups: dict[str, dict[str, list[dict[str, str]]]] = {}
    for path in paths:
        data = read_mapping(path)
        title, block = "generators, data and classifier", f"{path.parent.name}/{path.stem}"
        if all(key in data for key in _RUN):
            title, block = path.parent.name, str(data["method"])
        elif path.parent.name in groups:
            title, block = path.parent.name, path.stem
        groups.setdefault(title, {}).setdefault(block, []).append(flattened(data))
    return [
        Group(title, tuple(_block(name, found) for name, found in blocks.items()))
        for title, blocks in groups.items()
    ]


def flattened(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted keys and values as text: {"a": {"b": [1, 2]}} becomes {"a.b": "1, 2"}."""
    flat: dict[str, str] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def _text(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)


def _block(title: str, found: Sequence[Mapping[str, str]]) -> Block:
    keys = list(dict.fromkeys(key for flat in found for key in flat))
    values = {key: [flat.get(key, "–") for flat in found] for key in keys}
    shared = {key: texts[0] for key, texts in values.items() if len(set(texts)) == 1}
    columns = tuple(key for key in keys if key not in shared)
    rows = tuple(zip(*(values[key] for key in columns), strict=True)) if columns else ()
    return Block(title, tuple(shared.items()), columns, rows)
