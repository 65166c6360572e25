"""Extras of pyproject.toml: messages and pages that say what to install name the same versions."""

from __future__ import annotations

import tomllib
from pathlib import Path

from entropic_ot.experiments.params.availability import GET_INCEPTION
from entropic_ot.metrics.registry import TORCH_FIDELITY

ROOT = Path(__file__).parents[2]


def test_one_range_of_torch_fidelity_everywhere() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert extras["fid"] == [TORCH_FIDELITY]
    assert TORCH_FIDELITY in GET_INCEPTION
    assert f"'{TORCH_FIDELITY}'" in (ROOT / "docs/conventions.md").read_text()


def test_the_lock_file_says_which_extras_it_leaves_out() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    head = (ROOT / "requirements.lock").read_text().splitlines()[1]
    left_out = extras.keys() - {"workflow", "dev"}
    assert all(name in head for name in left_out), head
