"""Strict reading of mappings: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from entropic_ot import strict
from entropic_ot.errors import ConfigError
from entropic_ot.strict import convert, from_mapping, json_schema, nearest


@dataclass(frozen=True, kw_only=True)
class Circle:
    kind: Literal["circle"]
    radius: float

    def __post_init__(self) -> None:
        strict.positive(self, "radius")


@dataclass(frozen=True, kw_only=True)
class Square:
    kind: Literal["square"]
    side: int


@dataclass(frozen=True, kw_only=True)
class Drawing:
    name: str
    shape: Circle | Square
    sizes: tuple[int, ...]
    scale: float | None
    visible: bool
    default: int = 3


def drawing(**changes: Any) -> dict[str, Any]:
    data = {
        "name": "a",
        "shape": {"kind": "circle", "radius": 1},
        "sizes": [1, 2],
        "scale": None,
        "visible": True,
        "default": 4,
    }
    return {**data, **changes}


def error(data: Any, path: str = "file") -> str:
    with pytest.raises(ConfigError) as caught:
        from_mapping(Drawing, data, path)
    return str(caught.value)


def test_a_mapping_becomes_the_dataclass() -> None:
    read = from_mapping(Drawing, drawing(), "file")
    assert read == Drawing(
        name="a",
        shape=Circle(kind="circle", radius=1.0),
        sizes=(1, 2),
        scale=None,
        visible=True,
        default=4,
    )
    assert isinstance(read.shape, Circle) and isinstance(read.shape.radius, float)


def test_a_union_is_chosen_by_its_kind() -> None:
    read = from_mapping(Drawing, drawing(shape={"kind": "square", "side": 2}), "file")
    assert read.shape == Square(kind="square", side=2)


def test_a_default_in_code_does_not_stand_in_for_a_missing_key() -> None:
    data = drawing()
    del data["default"]
    assert error(data) == "file.default: missing, expected an integer. Add the key."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nmae": 1}, "file.nmae: unknown key; did you mean 'name'? Known keys: name, shape,"),
        ({"zzzzzz": 1}, "file.zzzzzz: unknown key; Known keys: name, shape,"),
        ({"name": 3}, "file.name: found 3, expected text"),
        ({"sizes": 3}, "file.sizes: found 3, expected a list of an integer"),
        ({"sizes": [1, "x"]}, "file.sizes[1]: found 'x', expected an integer"),
        ({"sizes": [1, 2.0]}, "file.sizes[1]: found 2.0, expected an integer"),
        ({"sizes": [True]}, "file.sizes[0]: found True, expected an integer"),
        ({"visible": 1}, "file.visible: found 1, expected true or false"),
        ({"visible": "yes"}, "file.visible: found 'yes', expected true or false"),
        ({"scale": "wide"}, "file.scale: found 'wide', expected a number"),
        ({"scale": True}, "file.scale: found True, expected a number"),
        ({"scale": "1e-3"}, "expected a number (YAML reads 1e-3 as text: write 1.0e-3)"),
        ({"shape": "circle"}, "file.shape.kind: missing, expected one of circle, square"),
        ({"shape": {"radius": 1}}, "file.shape.kind: missing, expected one of circle, square"),
        ({"shape": {"kind": "circel"}}, "file.shape.kind: found 'circel'; did you mean 'circle'?"),
        ({"shape": {"kind": ["circle"]}}, "file.shape.kind: found ['circle']; "),
        ({"shape": {"kind": "circle"}}, "file.shape.radius: missing, expected a number."),
        ({"shape": {"kind": "square", "side": 1, "radius": 1}}, "file.shape.radius: unknown key"),
        (
            {"shape": {"kind": "circle", "radius": -1}},
            "file.shape.radius: found -1.0, expected a finite number > 0",
        ),
    ],
)
def test_misfits_name_the_key_path_what_was_found_and_what_was_expected(
    changes: dict[str, Any], message: str
) -> None:
    assert message in error(drawing(**changes))


@pytest.mark.parametrize("data", [None, 3, "text", [1]])
def test_something_else_than_a_mapping_is_refused(data: Any) -> None:
    assert error(data) == f"file: found {data!r}, expected a mapping of keys to values"


def test_at_the_root_of_a_file_the_key_follows_the_file_name() -> None:
    assert error(drawing(nmae=1), "params.yaml: ").startswith("params.yaml: nmae: unknown key")
    bad = drawing(shape={"kind": "circle", "radius": 0})
    assert error(bad, "params.yaml: ").startswith("params.yaml: shape.radius: found 0.0")


def test_mappings_convert_keys_and_values() -> None:
    assert convert(dict[str, float], {"a": 1}, "p") == {"a": 1.0}
    with pytest.raises(ConfigError, match=r"p \(key\): found 1, expected text"):
        convert(dict[str, float], {1: 1.0}, "p")
    with pytest.raises(ConfigError, match=r"p\.a: found 'x', expected a number"):
        convert(dict[str, float], {"a": "x"}, "p")


def test_a_literal_takes_only_its_values_and_their_types() -> None:
    assert convert(Literal[50, 100], 50, "p") == 50
    for wrong in (60, 50.0, "50"):
        with pytest.raises(ConfigError, match="expected one of 50, 100"):
            convert(Literal[50, 100], wrong, "p")
    with pytest.raises(ConfigError, match="expected one of 1, 2"):
        convert(Literal[1, 2], True, "p")  # True == 1


def test_the_nearest_key_is_named_and_all_are_listed() -> None:
    assert nearest("epsilonn", ["seeds", "epsilons"]) == (
        "did you mean 'epsilons'? Known keys: seeds, epsilons"
    )
    assert nearest("qqq", ["seeds"]) == "Known keys: seeds"


# --- ranges ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    value: float


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("check", "accepted", "refused"),
    [
        (strict.positive, [1e-9, 5], [0, -1, NAN, INFINITE]),
        (strict.not_negative, [0, 5], [-1e-9, NAN, INFINITE]),
        (strict.share, [0, 0.5, 1], [-0.1, 1.1, NAN]),
        (strict.share_below_one, [0, 0.99], [-0.1, 1, NAN]),
    ],
)
def test_ranges(check: Any, accepted: list[float], refused: list[float]) -> None:
    for value in accepted:
        check(Number(value), "value")
    for value in refused:
        with pytest.raises(ConfigError, match=r"^value: found .*, expected a "):
            check(Number(value), "value")


def test_at_least() -> None:
    strict.at_least(1, Number(1), "value")
    with pytest.raises(ConfigError, match=r"^value: found 0, expected an integer >= 1$"):
        strict.at_least(1, Number(0), "value")


# --- schema ---------------------------------------------------------------------------------------


def test_the_schema_says_the_same_as_the_types() -> None:
    schema = json_schema(Drawing)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name", "shape", "sizes", "scale", "visible", "default"]
    properties = schema["properties"]
    assert properties["name"] == {"type": "string"}
    assert properties["sizes"] == {"type": "array", "items": {"type": "integer"}}
    assert properties["scale"] == {"anyOf": [{"type": "number"}, {"type": "null"}]}
    assert [option["properties"]["kind"] for option in properties["shape"]["anyOf"]] == [
        {"enum": ["circle"]},
        {"enum": ["square"]},
    ]


def test_a_partial_schema_requires_nothing_at_any_depth() -> None:
    assert "required" in str(json_schema(Drawing))
    assert "required" not in str(json_schema(Drawing, partial=True))
