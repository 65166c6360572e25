"""Missing data: `enabled: auto` leaves an experiment out, `enabled: true` makes one error."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from entropic_ot.data import afhq, celeba, msci
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.config import FacesProblem, has_images, load_problem
from entropic_ot.experiments.params import Params, load_params, write_configs
from entropic_ot.experiments.params.availability import missing_files, missing_pickle
from entropic_ot.experiments.paths import (
    AFHQ,
    AFHQ_DOGS,
    CELEBA,
    ORL,
    dataset_name,
    prepared_files,
    raw_files,
)
from entropic_ot.strict import convert

ROOT = Path(__file__).parents[2]
FACES = {
    "kind": "faces",
    "dataset": "celeba",
    "image_size": 64,
    "low_size": 32,
    "test_share": 0.1,
    "split_seed": 0,
    "skip_bad_files": False,
}
CLASSES = {
    "kind": "image_classes",
    "dataset": "afhq",
    "source_class": "cat",
    "target_class": "dog",
    "image_size": 64,
    "skip_bad_files": False,
}


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """params.yaml with three experiments on data that is not here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EOT_MIRROR", raising=False)
    data = yaml.safe_load((ROOT / "params.yaml").read_text())
    old = data["experiments"]
    methods = old["cmnist_2to3"]["methods"]
    egnot = methods["egnot"] | {"settings": {}}  # images of 64 pixels are too large for its fit
    images = old["cmnist_2to3"] | {
        "methods": methods | {"egnot": egnot},
        "evaluation": {"metrics": ["cost_half_l2"]},
        "variants": {},
        "enabled": True,
    }
    data["experiments"] = {
        "gaussian": old["gaussian"],
        "msci": old["msci"] | {"variants": {"d50-2to4": {}, "d50-3to7": {"enabled": False}}},
        "faces_deblur": images | {"problem": FACES},
        "cat2dog": images | {"problem": CLASSES},
        "cat2wild": images | {"problem": CLASSES | {"target_class": "wild"}},
    }
    data["figures"], data["scales"] = {}, {"smoke": {}, "laptop": {}, "paper": {}}
    return data


def resolved(data: dict[str, Any]) -> Params:
    Path("params.yaml").write_text(yaml.safe_dump(data))
    return load_params("params.yaml", scale="laptop")


def enable(data: dict[str, Any], value: Any) -> None:
    for name in ("msci", "faces_deblur", "cat2dog", "cat2wild"):
        data["experiments"][name]["enabled"] = value


def place(path: Path, size_bytes: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.truncate(size_bytes or 1)


def test_true_is_one_error_with_every_file_its_size_and_where_to_get_it(
    data: dict[str, Any],
) -> None:
    enable(data, True)
    with pytest.raises(DataError) as caught:
        resolved(data)
    message = str(caught.value)
    assert message.startswith("params.yaml: 6 files are missing for experiments with `enabled: tr")
    for file in msci.msci_files(50):
        assert (
            f"- data/raw/msci/{file.name} ({file.size_bytes} bytes), for msci-d50-2to4" in message
        )
    assert f"- {CELEBA} (1443490838 bytes), for faces_deblur\n" in message
    assert f"- {AFHQ} (about 0.7 GB), for cat2dog, cat2wild\n" in message
    for words in (
        "entropic-ot fetch msci --dim 50",
        "entropic-ot fetch celeba --out data/raw/celeba",
        "entropic-ot fetch afhq --out data/raw/afhq",
        celeba.WHERE,
        afhq.WHERE,
        "EOT_MIRROR",
        "`enabled: auto`",
        "docs/data.md",
    ):
        assert words in message


def test_auto_is_one_line_for_each_case(data: dict[str, Any]) -> None:
    enable(data, "auto")
    params = resolved(data)
    assert {case.partition("-")[0] for case in params.cases} == {"gaussian"}
    cases = [line.partition(":")[0] for line in params.left_out]
    assert sorted(cases) == ["cat2dog", "cat2wild", "faces_deblur", "msci-d50-2to4"]
    assert all(len(line.splitlines()) == 1 and "get it: `ent" in line for line in params.left_out)


@pytest.mark.parametrize("value", [True, "auto"])
def test_with_its_files_here_or_in_a_mirror_an_experiment_takes_part(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    enable(data, value)
    place(CELEBA, celeba.ARCHIVE.size_bytes)
    place(Path("mirror/afhq.zip"))
    for file in msci.msci_files(50):
        place(Path("mirror") / file.name, file.size_bytes)
    monkeypatch.setenv("EOT_MIRROR", "mirror")
    params = resolved(data)
    assert {"msci-d50-2to4", "faces_deblur", "cat2dog", "cat2wild"} <= set(params.cases)
    assert params.left_out == []


def test_an_archive_that_is_only_half_here_is_missing(data: dict[str, Any]) -> None:
    place(CELEBA, 1000)
    problem = FacesProblem(**FACES)  # type: ignore[arg-type]
    assert [file.path for file in missing_files(problem)] == [CELEBA]


def test_prepared_data_needs_no_archive(data: dict[str, Any]) -> None:
    problem = FacesProblem(**FACES)  # type: ignore[arg-type]
    for path in prepared_files(problem):
        place(path)
    assert missing_files(problem) == []


def test_false_asks_for_nothing(data: dict[str, Any]) -> None:
    enable(data, False)
    assert resolved(data).left_out == []


@pytest.mark.parametrize(
    ("of_experiment", "of_variant", "in_all"),
    [("auto", True, None), (True, "auto", None), (True, False, False), (False, True, False)],
)
def test_a_variant_takes_part_only_if_its_experiment_does(
    data: dict[str, Any], of_experiment: Any, of_variant: Any, in_all: bool | None
) -> None:
    """None: it is left out with a line, as the weaker of the two words says."""
    enable(data, False)
    data["experiments"]["msci"] |= {
        "enabled": of_experiment,
        "variants": {"d50": {"enabled": of_variant}},
    }
    assert [line.partition(":")[0] for line in resolved(data).left_out] == (
        ["msci-d50"] if in_all is None else []
    )


@pytest.mark.parametrize("value", ["yes", 1, "true", None])
def test_another_word_for_enabled_is_refused(data: dict[str, Any], value: Any) -> None:
    data["experiments"]["gaussian"]["enabled"] = value
    with pytest.raises(ConfigError, match=r"enabled: found .*expected one of true, false, 'auto'"):
        resolved(data)


def test_data_of_registries_is_never_missing(data: dict[str, Any]) -> None:
    enable(data, True)
    del data["experiments"]["msci"], data["experiments"]["cat2wild"]
    data["experiments"]["faces_deblur"]["problem"] = FACES | {"dataset": "orl"}
    data["experiments"]["cat2dog"]["problem"] = CLASSES | {"dataset": "cifar10", "image_size": 32}
    params = resolved(data)
    assert {"faces_deblur", "cat2dog"} <= set(params.cases)
    problem = params.datasets["faces-orl-32to64px-test0.1-seed0"]
    assert raw_files(problem) == [ORL] and has_images(problem)
    write_configs(params)
    again = load_problem(params.layout.data_config("cifar10-cat2dog-32px"))
    assert again == params.datasets["cifar10-cat2dog-32px"]
    assert len(raw_files(again)) == 4


def test_ones_own_files_are_in_the_same_list(data: dict[str, Any]) -> None:
    old = yaml.safe_load((ROOT / "params.yaml").read_text())["experiments"]["my_data"]
    data["experiments"] = {"my_data": old | {"enabled": True}}
    with pytest.raises(DataError, match=r"2 files are missing(.|\n)*your own file: corr"):
        resolved(data)


def test_the_name_of_a_data_set_tells_every_setting() -> None:
    for problem, changes in (
        (
            FACES,
            {
                "dataset": "orl",
                "image_size": 48,
                "low_size": 16,
                "test_share": 0.2,
                "split_seed": 1,
                "skip_bad_files": True,
            },
        ),
        (
            CLASSES,
            {
                "dataset": "cifar10",
                "source_class": "dog",
                "target_class": "wild",
                "image_size": 32,
                "skip_bad_files": True,
            },
        ),
    ):
        names = set()
        assert set(problem) - {"kind"} == set(changes)
        for key, value in [("kind", problem["kind"]), *changes.items()]:
            changed: dict[str, Any] = copy.deepcopy(problem) | {key: value}
            if changed.get("source_class") == changed.get("target_class") == "dog":
                changed["target_class"] = "cat"
            if changed["dataset"] == "cifar10":
                changed["target_class"] = "truck"
            names.add(dataset_name(convert_problem(changed)))
        assert len(names) == len(changes) + 1


def convert_problem(problem: dict[str, Any]) -> Any:
    from entropic_ot.experiments.config import ProblemConfig

    return convert(ProblemConfig, problem, "problem")


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (FACES | {"low_size": 64}, "problem.low_size: found 64, expected fewer than image_size"),
        (FACES | {"test_share": 1.0}, "problem.test_share: found 1.0"),
        (FACES | {"dataset": "celebs"}, "problem.dataset: found 'celebs'"),
        (CLASSES | {"source_class": "cta"}, "source_class: found 'cta'; did you mean 'cat'"),
        (CLASSES | {"target_class": "cat"}, "expected another than source_class"),
        (CLASSES | {"dataset": "cifar10", "target_class": "wild"}, "target_class: found 'wild'"),
        (CLASSES | {"image_size": 0}, "image_size: found 0"),
    ],
)
def test_impossible_problems_are_refused(problem: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        convert_problem(problem)
    assert words in str(caught.value)


def test_vector_networks_are_refused_for_the_new_images(data: dict[str, Any]) -> None:
    data["experiments"]["cat2dog"]["methods"] = {
        "enot": data["experiments"]["gaussian"]["methods"]["enot"] | {"per_epsilon": {}}
    }
    with pytest.raises(ConfigError, match=r"cat2dog\.methods\.enot.*kind"):
        resolved(data)


def test_a_published_pickle_may_lie_in_a_mirror_folder_and_any_other_in_its_place(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path("data/raw/stylegan2/mine.pkl")
    (missing,) = missing_pickle(AFHQ_DOGS)
    assert (missing.path, missing.size) == (AFHQ_DOGS, "some 380 MB")
    assert "entropic-ot fetch afhqdog --out data/raw/stylegan2" in missing.how
    (missing,) = missing_pickle(other)
    assert missing.path == other and "by hand" in missing.how
    for path in (AFHQ_DOGS, other):
        place(Path("mirror") / path.name)
    monkeypatch.setenv("EOT_MIRROR", "mirror")
    assert missing_pickle(AFHQ_DOGS) == [] and len(missing_pickle(other)) == 1
    place(other)
    assert missing_pickle(other) == []
