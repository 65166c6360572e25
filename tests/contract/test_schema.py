"""The JSON Schema of params.yaml: in sync with the dataclasses, and as strict as they are."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from params_edits import change, remove

from entropic_ot.commands.schema import params_schema, schema_text
from entropic_ot.experiments.params import SCALES, merged

ROOT = Path(__file__).parents[2]
FILE = ROOT / "workflow" / "schemas" / "params.schema.json"


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def data() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def test_the_schema_in_the_repository_is_the_generated_one() -> None:
    message = f"run: entropic-ot schema > {FILE.relative_to(ROOT)}"
    assert FILE.read_text() == schema_text(), message


def test_the_generated_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(params_schema())


def test_params_yaml_is_valid(validator: Any, data: dict[str, Any]) -> None:
    validator.validate(data)


@pytest.mark.parametrize("scale", SCALES)
def test_params_yaml_is_valid_with_the_overrides_of_each_scale(
    validator: Any, data: dict[str, Any], scale: str
) -> None:
    validator.validate(merged(data, data["scales"][scale]) | {"scale": scale})


ENOT = ("experiments", "gaussian", "methods", "enot")
WRONG = {
    "unknown top-level key": change("experimnts", to={}),
    "unknown key of an experiment": change("experiments", "gaussian", "sedes", to=[0]),
    "unknown method": change("experiments", "gaussian", "methods", "enott", to=None),
    "unknown key of a method": change(*ENOT, "steps", to=1),
    "unknown setting": change(*ENOT, "settings", to={"batchsize": 1}),
    "setting of another method": change(*ENOT, "settings", to={"step_size": 1.0}),
    "unknown key of a network": change(*ENOT, "settings", to={"drift": {"widht": 1}}),
    "unknown setting at one epsilon": change(*ENOT, "per_epsilon", to={"1": {"setings": {}}}),
    "unknown key of a preset": change("presets", "enot", "vectors", "widht", to=1),
    "unknown problem": change("experiments", "gaussian", "problem", to={"kind": "gausian"}),
    "unknown key of a variant": change("experiments", "gaussian", "variants", to={"a": {"b": 1}}),
    "unknown key of a scale": change("scales", "smoke", to={"evalution": {}}),
    "unknown key deep in a scale": change(
        "scales", "smoke", to={"experiments": {"gaussian": {"methods": {"enot": {"steps": 1}}}}}
    ),
    "a fourth scale": change("scales", "huge", to={}),
    "unknown scale": change("scale", to="lapptop"),
    "text for a number": change(*ENOT, "num_steps", to="many"),
    "a fraction for an integer": change(*ENOT, "num_steps", to=1.5),
    "a number for a list": change(*ENOT, "epsilons", to=1),
    "true for a number": change("compute", "log_points", to=True),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_key_or_type_is_not_valid(validator: Any, data: dict[str, Any], what: str) -> None:
    wrong = copy.deepcopy(data)
    WRONG[what](wrong)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(wrong)


@pytest.mark.parametrize(
    "path",
    [
        ("compute",),
        ("compute", "device"),
        (*ENOT, "preset"),
        ("presets", "enot", "vectors", "drift"),
    ],
    ids=".".join,
)
def test_a_missing_key_is_not_valid(
    validator: Any, data: dict[str, Any], path: tuple[str, ...]
) -> None:
    remove(*path)(data)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(data)
