"""evaluation.auto_metrics: computed where Inception is at hand, else one line says it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.params import Params, availability, load_params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """params.yaml with coloured MNIST on pixels and in a latent space."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EOT_MIRROR", raising=False)
    data = yaml.safe_load((ROOT / "params.yaml").read_text())
    names = ("cmnist_2to3", "cmnist_latent")
    data["experiments"] = {name: data["experiments"][name] for name in names}
    data["figures"], data["scales"] = {}, {"smoke": {}, "laptop": {}, "paper": {}}
    return data


def resolved(data: dict[str, Any]) -> Params:
    Path("params.yaml").write_text(yaml.safe_dump(data))
    return load_params("params.yaml")


def ask(data: dict[str, Any], names: list[str]) -> None:
    for experiment in data["experiments"].values():
        experiment["evaluation"]["auto_metrics"] = names


def test_without_inception_one_line_names_metrics_cases_and_the_way(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "inception_lacks", lambda: "no weights")
    ask(data, ["kid", "fid"])
    params = resolved(data)
    (line,) = params.left_out
    assert line.startswith("fid, kid: not computed for cmnist_2to3-32px, cmnist_latent-encoded, ")
    assert "no weights. " in line and "entropic-ot fetch inception" in line
    for evaluation in params.evaluations.values():
        assert not {"fid", "kid"} & set(evaluation.metrics)
    assert all("inception" not in run.needs for run in params.runs)


def test_with_inception_they_are_metrics_like_others(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "inception_lacks", lambda: None)
    ask(data, ["fid"])
    params = resolved(data)
    assert params.left_out == []
    for evaluation in params.evaluations.values():
        assert evaluation.metrics[-1] == "fid"
    assert all("inception" in run.needs for run in params.runs)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["fd_effnet"], r"auto_metrics: found fd_effnet, whose files .*Move fd_effnet to "),
        (["fid", "fid"], "auto_metrics: 'fid' stands twice"),
        (["fit"], "'fit' is not a metric of coloured_mnist; did you mean 'fid'"),
        ("fid", "auto_metrics: found 'fid', expected a list"),
        (["bw_uvp_plan"], "auto_metrics: found bw_uvp_plan"),
    ],
)
def test_others_are_refused(data: dict[str, Any], names: Any, message: str) -> None:
    ask(data, names)
    with pytest.raises(ConfigError, match=message):
        resolved(data)


def test_one_that_is_a_metric_already_is_refused(data: dict[str, Any]) -> None:
    ask(data, ["fid"])
    data["experiments"]["cmnist_2to3"]["evaluation"]["metrics"] = ["fid"]
    with pytest.raises(ConfigError, match="auto_metrics: 'fid' stands twice"):
        resolved(data)


def test_the_key_must_be_there(data: dict[str, Any]) -> None:
    del data["evaluation"]["auto_metrics"]
    with pytest.raises(ConfigError, match=r"auto_metrics: missing, expected "):
        resolved(data)


def test_on_vectors_they_are_refused(data: dict[str, Any]) -> None:
    data["evaluation"]["auto_metrics"] = ["fid"]
    problem = {"kind": "gaussian", "dim": 2, "source_seed": 0, "target_seed": 1}
    methods = {"sinkhorn": data["experiments"]["cmnist_2to3"]["methods"]["sinkhorn"]}
    experiment = data["experiments"]["cmnist_2to3"]
    data["experiments"] = {
        "gaussian": experiment
        | {"problem": problem, "methods": methods, "evaluation": {}, "variants": {}}
    }
    with pytest.raises(ConfigError, match=r"gaussian\.evaluation\.metrics: .*fid"):
        resolved(data)
