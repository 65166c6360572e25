"""Edits of the mapping in params.yaml, as tests of its readers make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Edit = Callable[[dict[str, Any]], None]


def change(*path: str, to: Any) -> Edit:
    """Sets the key at this path."""

    def edit(data: dict[str, Any]) -> None:
        parent(data, path)[path[-1]] = to

    return edit


def remove(*path: str) -> Edit:
    """Takes out the key at this path."""

    def edit(data: dict[str, Any]) -> None:
        del parent(data, path)[path[-1]]

    return edit


def parent(data: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The mapping that holds the last key of the path."""
    for key in path[:-1]:
        data = data[key]
    return data
