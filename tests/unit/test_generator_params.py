"""The section `generators` of params.yaml: resolved at every scale, refused in clear words."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from params_edits import Edit, change, remove

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.generator_config import (
    ConvertedGenerator,
    TrainedGenerator,
    load_encoding_job,
    load_training_job,
)
from entropic_ot.experiments.params import Params, load_params, write_configs
from entropic_ot.experiments.paths import Layout

ROOT = Path(__file__).parents[2]
NAME = "coloured_threes"
OURS = ("generators", NAME)


@pytest.fixture(scope="module")
def original() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.fixture
def data(original: dict[str, Any]) -> dict[str, Any]:
    """params.yaml with one experiment, without overrides."""
    data = copy.deepcopy(original)
    data["experiments"] = {"gaussian": data["experiments"]["gaussian"]}
    data["generators"] = {NAME: data["generators"][NAME]}
    data["figures"] = {"gaussian": data["figures"]["gaussian"]}
    data["scales"] = {"smoke": {}, "laptop": {}, "paper": {}}
    return data


def resolved(data: dict[str, Any], folder: Path, **options: Any) -> Params:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return load_params(path, **options)


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_the_repositorys_generators_are_written_and_read_again(
    scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load_params(ROOT / "params.yaml", scale=scale)
    monkeypatch.chdir(tmp_path)
    files = write_configs(params)
    folder = Path("results") / scale / "config" / "generators"
    for name, source in params.generators.items():
        path = Layout(scale).encoding_config(name)
        assert path == folder / f"{name}-encoding.json" and path in files
        assert load_encoding_job(path).encoding == source.encoding
        path = Layout(scale).generator_config(name)
        assert path == folder / f"{name}.json"
        if isinstance(source, TrainedGenerator):
            assert load_training_job(path).training == source.training
        else:
            assert path not in files
    assert {source.kind for source in params.generators.values()} == {"trained", "converted"}


def test_a_change_of_the_encoding_is_none_of_the_training(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def texts() -> list[str]:
        layout = Layout("laptop")
        write_configs(params)
        paths = (layout.generator_config(NAME), layout.encoding_config(NAME))
        return [path.read_text() for path in paths]

    monkeypatch.chdir(tmp_path)
    params = resolved(data, tmp_path)
    training, encoding = texts()
    data["generators"][NAME]["encoding"]["penalty"] = 0.5
    params = resolved(data, tmp_path)
    assert texts()[0] == training and texts()[1] != encoding


def test_paths_of_a_generator_and_of_what_it_encodes() -> None:
    layout, root = Layout("laptop"), Path("results/laptop")
    assert layout.generator("g") == root / "generators/g/generator.safetensors"
    assert layout.latents("g", "d") == root / "latents/g/d.npz"


def test_a_generator_that_no_run_uses_is_no_job_but_has_its_data_and_settings(
    data: dict[str, Any], tmp_path: Path
) -> None:
    params = resolved(data, tmp_path)
    assert params.used_generators == [] and params.encoded == []
    assert list(params.datasets) == ["coloured_mnist-2to3-32px-seed0"]


def test_a_scale_lays_its_keys_over_a_generator(data: dict[str, Any], tmp_path: Path) -> None:
    data["scales"]["smoke"] = {"generators": {NAME: {"training": {"num_steps": 3}}}}
    for scale, steps in (("smoke", 3), ("laptop", 2200)):
        source = resolved(data, tmp_path, scale=scale).generators[NAME]
        assert isinstance(source, TrainedGenerator) and source.training.num_steps == steps


def test_a_generator_may_come_from_a_pickle(data: dict[str, Any], tmp_path: Path) -> None:
    encoding = data["generators"][NAME]["encoding"]
    pickle = {"kind": "converted", "pickle": "data/raw/dogs.pkl", "encoding": encoding}
    data["generators"]["dogs"] = pickle
    source = resolved(data, tmp_path).generators["dogs"]
    assert isinstance(source, ConvertedGenerator) and source.pickle == "data/raw/dogs.pkl"


def small(data: dict[str, Any]) -> None:
    data["generators"][NAME]["images"]["image_size"] = 16


def unknown_at_a_scale(data: dict[str, Any]) -> None:
    data["scales"]["smoke"] = {"generators": {"coloured_twos": {}}}


REFUSED: list[tuple[Edit, str]] = [
    (change(*OURS, "training", "num_stepz", to=3), "training.num_stepz: unknown key; did you mean"),
    (remove(*OURS, "training", "r1_gamma"), "training.r1_gamma: missing, expected a number"),
    (change(*OURS, "kind", to="convertd"), "coloured_threes.kind: found 'convertd'; did you mean"),
    (change(*OURS, "side", to="both"), "side: found 'both', expected one of 'source', 'target'"),
    (
        change(*OURS, "images", to={"kind": "toy_8gaussians", "radius": 1.0, "std": 0.5}),
        "images: found the problem toy_8gaussians, whose points are vectors",
    ),
    (small, "training.channels: found 4 resolutions, which make images of 32 pixels"),
    (
        change(*OURS, "training", "augmentation", "transforms", to=["turn"]),
        "training.augmentation.transforms[0]: found 'turn'",
    ),
    (unknown_at_a_scale, "scales.smoke.generators.coloured_twos: unknown; did you mean"),
]


@pytest.mark.parametrize(("edit", "words"), REFUSED)
def test_mistakes_are_named_with_their_key(
    edit: Edit, words: str, data: dict[str, Any], tmp_path: Path
) -> None:
    edit(data)
    with pytest.raises(ConfigError) as error:
        resolved(data, tmp_path)
    assert words in str(error.value)
