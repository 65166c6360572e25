"""params.yaml, edited at random: it resolves, or one clear ConfigError says what to do."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from refusals import check_message, few_examples

from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.params import load_params

ROOT = Path(__file__).parents[2]
Path_ = tuple[str | int, ...]
EXPERIMENTS = ("mixture", "my_data", "cmnist_latent")
ENOT = ("experiments", "mixture", "methods", "enot")

BAD_VALUES = [
    *(None, True, False, "", " ", "text", "1e-3", "-", "../..", "a b; c", "a/b", "x" * 2000),
    *(0, 1, -1, 2**31, 2**63, 2**64, 10**400, -(10**400)),
    *(0.5, -0.5, 1e300, -1e300, 5e-324, float("nan"), float("inf"), float("-inf")),
    *([], {}, [[]], [None], [0], [0, 0], [-1], ["text"], [float("nan")], [10**400], [True]),
    *([0.1, 0.1000000001], [1e-320], list(range(300))),
    *({"kind": "gaussian"}, {"kind": None}, {"kind": []}, {"text": {}}, {1: 2}, {"": ""}),
]
"""Wrong types, numbers at the ends of their ranges, wrong lists of epsilons, names of no file."""


def small_params() -> dict[str, Any]:
    """params.yaml with a few experiments (an edit is checked in milliseconds), all enabled."""
    data = yaml.load((ROOT / "params.yaml").read_text(), yaml.CSafeLoader)
    experiments = data["experiments"]
    data["experiments"] = {name: experiments[name] for name in EXPERIMENTS}
    data["experiments"]["my_data"]["enabled"] = "auto"
    used = experiments["cmnist_latent"]["problem"]["generator"]
    data["generators"] = {used: data["generators"][used]}
    data["figures"] = {k: v for k, v in data["figures"].items() if v["experiments"] == ["mixture"]}
    block = {"methods": {"enot": {"epsilons": [1]}}}
    data["scales"] = {"smoke": {"experiments": {"mixture": block}}, "laptop": {}, "paper": {}}
    return data


ORIGINAL = small_params()


def as_yaml(data: dict[str, Any]) -> str:
    return yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False)  # 10 times as fast


def places(node: Any, path: Path_ = ()) -> list[Path_]:
    """The paths of all keys and list items below a node."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    found = []
    for key, value in items:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


PLACES = places(ORIGINAL)
Edit = tuple[str, Path_, Any]
edits = st.tuples(
    st.sampled_from(["set", "set", "set", "remove", "add"]),
    st.sampled_from(PLACES),
    st.sampled_from(BAD_VALUES),
)


def edited(data: dict[str, Any], edit: Edit) -> None:
    """Carries out one edit; none where an earlier edit took its place away."""
    what, path, value = edit
    node: Any = data
    for key in path[:-1]:
        if not isinstance(node, dict | list) or (isinstance(node, list) and len(node) <= int(key)):
            return
        node = node[key] if isinstance(node, list) else node.get(key)
    last = path[-1]
    if isinstance(node, dict):
        if what == "remove":
            node.pop(last, None)
        else:
            node[last if what == "set" else f"{last}x"] = copy.deepcopy(value)
    elif isinstance(node, list) and what == "set" and isinstance(last, int) and last < len(node):
        node[last] = copy.deepcopy(value)


def refusal(path: Path) -> str | None:
    """The error that the file leads to, whose words are checked; None where it is accepted."""
    try:
        params = load_params(path, scale="smoke")
    except (ConfigError, DataError) as error:
        check_message(str(error), names=str(path))
        return str(error)
    for run in params.runs:  # what is accepted can seed a generator and be a name of a folder
        assert 0 <= run.config.seed < 2**63
        assert "/" not in run.name and "/" not in run.case and not run.case.startswith(".")
    return None


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("params") / "params.yaml"


def test_without_an_edit_the_file_is_accepted(file: Path) -> None:
    file.write_text(as_yaml(ORIGINAL))
    assert refusal(file) is None


def test_most_edits_are_noticed(file: Path) -> None:
    """So that the property below does not hold because nothing is ever refused."""
    noticed = 0
    for place in PLACES[::9]:
        data = copy.deepcopy(ORIGINAL)
        edited(data, ("set", place, "text"))
        file.write_text(as_yaml(data))
        noticed += refusal(file) is not None
    assert noticed > 0.9 * len(PLACES[::9])


@few_examples(200)
@given(st.lists(edits, min_size=1, max_size=3))
@example([("set", (*ENOT, "epsilons"), [10**400])])
@example([("set", ("experiments", "mixture", "seeds"), [2**63])])
@example([("set", ("generators",), None), ("set", ("scales", "smoke"), {"generators": {"a": 1}})])
@example([("set", (*ENOT, "per_epsilon"), {"text": {}})])
def test_an_edited_file_is_accepted_or_clearly_refused(file: Path, changes: list[Edit]) -> None:
    data = copy.deepcopy(ORIGINAL)
    for change in changes:
        edited(data, change)
    file.write_text(as_yaml(data))
    refusal(file)


# --- the text of the file -------------------------------------------------------------------------

TEXT = as_yaml(ORIGINAL).encode()
PIECES = [
    *(
        b"\x00",
        b"\xff\xfe",
        b"\t",
        b"'",
        b'"',
        b"{",
        b"}",
        b"[",
        b":",
        b"&a ",
        b"*a",
        b"!!python/x",
    ),
    *(b"!!binary x", b"2026-99-99", b"<<: 1\n", b"? [1]\n: 2\n", b"scale: smoke\n", b"%", b"---\n"),
]


@few_examples(100)
@given(st.integers(0, len(TEXT)), st.integers(0, 40), st.sampled_from([b"", *PIECES]))
@example(0, 0, b"? {a: 1}\n: 2\n")
@example(0, 0, b"a: 2026-99-99\n")
@example(0, 0, b"\xff\xfe")
@example(0, 0, b"a: " + b"[" * 3000)
@example(0, 0, b"a: " + b"9" * 5000 + b"\n")
@example(0, 0, b"0x" + b"f" * 5000 + b": 1\n")
@example(0, 0, b"a: &a {b: *a}\n")
@example(0, len(TEXT), b"")
@example(0, len(TEXT), b"- 1")
def test_broken_text_is_accepted_or_clearly_refused(
    file: Path, start: int, cut: int, piece: bytes
) -> None:
    file.write_bytes(TEXT[:start] + piece + TEXT[start + cut :])
    refusal(file)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_params(tmp_path)
