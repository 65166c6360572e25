"""YAML mappings: read strictly, and laid over each other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from entropic_ot.errors import ConfigError
from entropic_ot.strict import shown

MAX_DEPTH = 100


class _UniqueKeyLoader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """YAML keeps the last of two equal keys; here that is an error.

    So is nesting deeper than MAX_DEPTH: libyaml's composer calls itself at each level, and the
    process dies of a file with 100 000 brackets.
    """

    depth = 0

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"found more than {MAX_DEPTH} levels of nesting")
        super().descend_resolver(current_node, current_index)

    def ascend_resolver(self) -> None:
        self.depth -= 1
        super().ascend_resolver()


def _mapping_without_duplicates(loader: Any, node: Any) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:  # before merge keys (<<) are laid under the mapping's own
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        where = f"{key_node.start_mark.name}: line {key_node.start_mark.line + 1}"
        if not isinstance(key, Hashable):
            raise ConfigError(
                f"{where}: found {shown(key)} as a key, expected text or a number. Quote it."
            )
        if key in seen:
            raise ConfigError(f"{where}: key {shown(key)} stands twice; keep one of them")
        seen.add(key)
    loader.flatten_mapping(node)
    return {
        loader.construct_object(k, deep=True): loader.construct_object(v, deep=True)
        for k, v in node.value
    }


_UniqueKeyLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError on a missing file, bad syntax or a repeated key."""
    try:
        with path.open() as file:
            data = yaml.load(file, Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: not found; run from the repository's root or pass --params"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}), expected a YAML file. Check the path."
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2026-99-99
        raise ConfigError(
            f"{path}: not valid YAML: {error}; expected a mapping of keys to values. Correct it "
            "there, or take the file from git again."
        ) from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: found {type(data).__name__}, expected a mapping of keys")
    return data


def typed(node: Any) -> Any:
    """Values that arrive as text, as those of `snakemake --config` do, as YAML would read them.

    Only text that is a number, true, false or null to YAML changes; keys stay as they are.
    """
    if isinstance(node, Mapping):
        return {key: typed(value) for key, value in node.items()}
    if isinstance(node, list):
        return [typed(value) for value in node]
    if not isinstance(node, str):
        return node
    try:
        value = yaml.load(node, Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, ConfigError):
        return node
    return value if value is None or isinstance(value, int | float) else node


def merged(base: Any, override: Any) -> Any:
    """`override` laid over `base`: mappings key by key, anything else replaced whole."""
    if isinstance(base, Mapping) and isinstance(override, Mapping):
        if "kind" in override and override["kind"] != base.get("kind", override["kind"]):
            return dict(override)  # another kind of problem or network has other keys
        keys = [*base, *(k for k in override if k not in base)]
        return {
            k: merged(base[k], override[k])
            if k in base and k in override
            else override.get(k, base.get(k))
            for k in keys
        }
    return override
