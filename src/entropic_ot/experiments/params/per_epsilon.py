"""`per_epsilon`: what differs in a method's steps and settings for one epsilon."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.params.schema import SCALES, MethodParams
from entropic_ot.experiments.params.yaml_file import merged
from entropic_ot.strict import convert, join, key_text, nearest, shown


def at_epsilon(method: MethodParams, epsilon: float, path: str) -> tuple[int, dict[str, Any], str]:
    """Steps, settings and key path at one epsilon, its block in `per_epsilon` laid over."""
    known = {f"{e:g}" for e in method.epsilons}
    for key, block in method.per_epsilon.items():
        _epsilon_text(key, f"{path}.per_epsilon.{key}")
        if not isinstance(block, Mapping | None):
            raise ConfigError(f"{path}.per_epsilon.{key}: found {shown(block)}, expected a mapping")
        for inner in block or {}:
            if inner not in ("num_steps", "settings"):
                raise ConfigError(
                    f"{join(f'{path}.per_epsilon.{key}', inner)}: unknown key; "
                    f"{nearest(inner, ('num_steps', 'settings'))}"
                )
    key = f"{epsilon:g}"
    block = {f"{float(k):g}": v for k, v in method.per_epsilon.items()}.get(key) or {}
    at = f"{path}.per_epsilon.{key}" if block and key in known else path
    num_steps = convert(int, block.get("num_steps", method.num_steps), f"{at}.num_steps")
    return num_steps, merged(method.settings, block.get("settings") or {}), at


def _epsilon_text(key: object, path: str) -> str:
    """A key of `per_epsilon` as epsilons are written in the names of runs: 0.1 for 1e-1."""
    try:
        return f"{float(str(key)):g}"
    except ValueError:
        raise ConfigError(f"{path}: found no number as a key, expected an epsilon") from None


def check_per_epsilon(data: Mapping[str, Any], path: str) -> None:
    """Every key of `per_epsilon`, here or in a scale's overrides, is an epsilon at some scale.

    A scale may have fewer epsilons than the file, so what one scale does not use another may. The
    other scales are not checked in any other way: what is no mapping there is passed over.
    """
    at_scales = [merged(data, data["scales"][scale] or {}) for scale in SCALES]
    layers = {"": data} | {f"scales.{scale}.": data["scales"][scale] for scale in SCALES}
    for prefix, layer in layers.items():
        for name, variant, method, where in _places_of_methods(layer):
            keys = _below(layer, *where, "per_epsilon")
            known = _epsilons_anywhere(at_scales, name, variant, method) if keys else []
            for key in keys:
                at = f"{path}: {prefix}{'.'.join(where)}.per_epsilon.{key}"
                if known and _epsilon_text(key, at) not in known:
                    raise ConfigError(
                        f"{at}: found an epsilon that {method} has at no scale, expected one of "
                        f"{', '.join(known)}. Correct it, remove it or add it to `epsilons`."
                    )


def _places_of_methods(layer: Any) -> Iterator[tuple[str, str | None, str, tuple[str, ...]]]:
    """(experiment, variant, method, key path) of every block of a method in params.yaml."""
    for name in _below(layer, "experiments"):
        experiment = ("experiments", name)
        places: dict[str | None, tuple[str, ...]] = {None: experiment}
        for variant in _below(layer, *experiment, "variants"):
            places[variant] = (*experiment, "variants", variant)
        for key, place in places.items():
            for method in _below(layer, *place, "methods"):
                yield name, key, method, (*place, "methods", method)


def _epsilons_anywhere(
    at_scales: Iterable[Any], name: str, variant: str | None, method: str
) -> list[str]:
    """The epsilons of a method at all scales, in one variant or, if that is None, in all."""
    found: set[int | float] = set()
    for data in at_scales:
        experiment = _below(data, "experiments", name)
        blocks = _below(experiment, "variants")
        changes = blocks.values() if variant is None else [_below(blocks, variant)]
        for change in changes or [{}]:
            method_block = _below(merged(experiment, change or {}), "methods", method)
            epsilons = method_block.get("epsilons")
            if isinstance(epsilons, list):
                found |= {e for e in epsilons if isinstance(e, int | float)}
    return [f"{epsilon:g}" for epsilon in sorted(found) if abs(epsilon) < sys.float_info.max]


def _below(data: Any, *keys: str) -> Mapping[str, Any]:
    """The mapping at a path of keys; empty where there is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def string_keys(data: Mapping[str, Any], path: str) -> dict[str, Any]:
    """YAML reads the epsilons of `per_epsilon` as numbers; keys are text everywhere else."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: found {shown(data)}, expected a mapping of keys to values")
    blocks = data.get("per_epsilon")
    if not isinstance(blocks, Mapping):
        return dict(data)
    return dict(data) | {"per_epsilon": {key_text(k): v for k, v in blocks.items()}}
