"""The papers' numbers are read strictly, and are those that the project knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.comparison.paper_values import load_paper_values

FILE = Path(__file__).parents[2] / "workflow" / "paper_values.yaml"


def good() -> dict[str, Any]:
    value = {
        "experiment": "gaussian",
        "variant": None,
        "dim": 2,
        "epsilon": 1,
        "method": "enot",
        "metric": "bw_uvp_plan",
        "value": 0.012,
        "interval": None,
        "remembered": True,
        "same_problem": False,
        "paper": "enot",
        "place": None,
        "train_seconds": None,
        "device": None,
    }
    return {"papers": {"enot": "ENOT"}, "values": [value]}


def write(folder: Path, data: dict[str, Any]) -> Path:
    path = folder / "paper_values.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_good_file_is_read(tmp_path: Path) -> None:
    (value,) = load_paper_values(write(tmp_path, good()))
    assert (value.epsilon, value.value, value.mark) == (1.0, 0.012, "(m) ‡")
    read = good()
    read["values"][0] |= {"remembered": False, "same_problem": True}
    assert load_paper_values(write(tmp_path, read))[0].mark == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(remembred=True), r"values\[0\]\.remembred: unknown key; did you mean"),
        (lambda v: v.pop("remembered"), r"values\[0\]\.remembered: missing, expected true or"),
        (lambda v: v.pop("same_problem"), r"values\[0\]\.same_problem: missing, expected true or"),
        (lambda v: v.update(value="0.012"), r"values\[0\]\.value: found '0\.012', expected a num"),
        (lambda v: v.update(dim=2.5), r"values\[0\]\.dim: found 2\.5, expected an integer"),
        (lambda v: v.update(dim=0), r"values\[0\]\.dim: found 0, expected an integer >= 1"),
        (lambda v: v.update(value=float("nan")), r"\.value: found nan, expected a finite number"),
        (lambda v: v.update(epsilon=-1), r"\.epsilon: found -1\.0, expected a finite number >= 0"),
        (lambda v: v.update(interval=-0.1), r"\.interval: found -0\.1"),
        (lambda v: v.update(train_seconds=0), r"\.train_seconds: found 0\.0"),
        (lambda v: v.update(experiment="gausian"), r"'gausian'; did you mean 'gaussian'\?"),
        (lambda v: v.update(metric="bw_uvp_plam"), r"'bw_uvp_plam'; did you mean 'bw_uvp_plan'\?"),
        (lambda v: v.update(paper="enott"), r"\.paper: unknown 'enott'; did you mean 'enot'\?"),
        (lambda v: v.update(method="ENOT"), r"\.method: found 'ENOT', expected 'enot'"),
    ],
)
def test_misfits_are_named(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    data = good()
    change(data["values"][0])
    with pytest.raises(ConfigError, match=message) as error:
        load_paper_values(write(tmp_path, data))
    assert "paper_values.yaml: " in str(error.value)


def test_a_number_that_stands_twice_is_refused(tmp_path: Path) -> None:
    data = good()
    data["values"].append(data["values"][0] | {"value": 0.02})
    with pytest.raises(ConfigError, match=r"values\[1\]: the same .* as values\[0\]"):
        load_paper_values(write(tmp_path, data))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: not found"):
        load_paper_values(tmp_path / "absent.yaml")


def test_the_numbers_of_the_repository() -> None:
    """Spot checks against docs: a shifted column or a dropped mark would show."""
    values = load_paper_values(FILE)
    read = [value for value in values if not value.remembered]
    assert [(v.experiment, v.value) for v in read] == [("faces_deblur", 3.78)]
    assert all(value.place for value in read), "what was read says where"
    fid = {(v.experiment, v.epsilon): v.value for v in values if v.metric == "fid"}
    assert [fid["cmnist_2to3", epsilon] for epsilon in (0, 1, 10)] == [6.28, 6.96, 14.66]
    assert [fid["faces_deblur", epsilon] for epsilon in (0, 1, 10)] == [3.78, 7.63, 14.8]
    assert len(values) == 36
    values = [value for value in values if value.metric != "fid"]
    found = {(v.experiment, v.method, v.dim): (v.value, v.interval) for v in values}
    assert len(found) == len(values) == 30
    for dim, value in {2: 0.012, 16: 0.05, 64: 0.13, 128: 0.29}.items():
        assert found["gaussian", "enot", dim] == (value, None)
    assert found["gaussian", "LSOT", 128] == (47.11, None)
    assert found["msci", "enot", 50] == (2.44, 0.13)
    assert found["msci", "egnot", 100] == (2.32, 0.15)
    assert found["mixture", "lightsb", 128] == (0.62, None)
    assert {v.epsilon for v in values if v.experiment == "msci"} == {0.1}
    assert {v.experiment for v in values if v.same_problem} == {"msci"}, "the others are drawn"
