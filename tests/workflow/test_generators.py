"""The rules of workflow/rules/stylegan.smk: which jobs a generator needs, and when again."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_project import Project, copy_of, jobs_in, make_project, tiny_params

from entropic_ot.data.mnist import MNIST_5K_FILE
from entropic_ot.experiments.paths import AFHQ_DOGS
from entropic_ot.files import file_sha256

pytestmark = pytest.mark.slow

IMAGES = {
    **{"kind": "coloured_mnist", "source_digit": 2, "target_digit": 3},
    **{"image_size": 8, "hue_seed": 0},
}
DATA = "coloured_mnist-2to3-8px-seed0"
PICKLE = "data/raw/stylegan2/small.pkl"
GATHERING = {"making the tables", "comparing with the papers", "drawing latent"} | {
    "writing the pages of results"
}


def generator_params(kind: str) -> dict[str, Any]:
    """One latent experiment on small digits, with a generator `small` of this kind."""
    params = tiny_params()
    source = params["generators"].pop("coloured_threes")
    source["images"] = IMAGES
    source["training"] |= {"channels": [8, 8], "discriminator_channels": [8, 8]}
    small = params["scales"]["smoke"]["generators"].pop("coloured_threes")
    del small["images"], small["training"]["channels"], small["training"]["discriminator_channels"]
    small["encoding"]["max_images"] = 6
    if kind == "converted":
        source = {"kind": "converted", "pickle": PICKLE, "encoding": source["encoding"]}
        del small["training"]
    params["generators"] = {"small": source}
    params["scales"]["smoke"]["generators"] = {"small": small}
    experiment = params["experiments"].pop("my_data")
    problem = {"kind": "latent", "images": IMAGES, "generator": "small"}
    problem |= {"space": "w", "start": "encoder"}
    experiment["problem"] = problem
    experiment["evaluation"] = {"num_samples": 8, "num_paths": 2, "metrics": ["cost_half_l2"]}
    experiment["methods"] = {
        "egnot": {
            **{"preset": "latents", "epsilons": [1], "num_steps": 2},
            **{"settings": {}, "per_epsilon": {}},
        }
    }
    params["experiments"] = {"latent": experiment}
    figure = {"experiments": ["latent"], "notebook": "latent", "caption": "One"}
    params["figures"] = {"latent": figure}
    params["scales"]["smoke"]["experiments"] = {}
    return params


def make(folder: Path, kind: str) -> Project:
    project = make_project(
        folder,
        generator_params(kind),
        figures=("latent",),
        real_notebooks=("tables", "encoding"),
    )
    write_digits(project)
    return project


def write_digits(project: Project) -> None:
    """1300 random digits as if fetched: the project's sources take their file for mnist_5k."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, size=(1300, 785))
    rows[:, -1] = np.arange(1300) % 10
    path = project / f"data/raw/mnist/{MNIST_5K_FILE.name}"
    path.parent.mkdir(parents=True)
    lines = "\n".join(",".join(map(str, row)) for row in rows)
    path.write_bytes(gzip.compress(lines.encode()))
    source = project / "src/entropic_ot/data/mnist.py"
    assert MNIST_5K_FILE.sha256 in source.read_text()
    known = source.read_text().replace(MNIST_5K_FILE.sha256, file_sha256(path))
    source.write_text(known)
    pointer = {"name": "mnist_5k", "folder": "mnist", "sha256": {}}
    (project / "data/raw/mnist_source.json").write_text(json.dumps(pointer))


def trained_and_after(run: str = "latent egnot-eps1-seed0") -> set[str]:
    """What follows a change of the encoding."""
    return {f"training {run}", f"sampling {run}", f"evaluating {run}", *GATHERING}


@pytest.fixture(scope="session")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    project = make(tmp_path_factory.mktemp("generators"), "trained")
    return project, project.run("snakemake", "--cores", "8", "--", "all")


@pytest.fixture
def whole(_whole: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of a project in which all was made, with a generator that was trained there."""
    return copy_of(_whole[0], tmp_path / "whole")


def test_a_trained_generator_is_learned_once_then_encodes_and_is_drawn(
    _whole: tuple[Project, str],
) -> None:
    project, output = _whole
    assert jobs_in(output) == {
        f"preparing {DATA}",
        "training the generator small",
        f"encoding {DATA} by small",
        f"drawing what small makes of {DATA}",
        *trained_and_after(),
    }
    results = project / "results/smoke"
    made = {path.name for path in (results / "generators/small").iterdir()}
    assert made == {"generator.safetensors", "samples.png", "log.jsonl", "provenance.json"}
    provenance = json.loads((results / "generators/small/provenance.json").read_text())
    assert list(provenance["data_sha256"]) == [f"data/prepared/{DATA}/target_train.npy"]
    with np.load(results / f"latents/small/{DATA}.npz") as latents:
        assert latents["source_train_w"].shape == (6, 8)  # max_images, w_dim
    record = json.loads((results / f"latents/small/{DATA}.json").read_text())
    assert "results/smoke/generators/small/generator.safetensors" in record["data_sha256"]
    assert record["train_seconds"] > 0 and record["device"]
    for ending in ("figures/encodings/small/%s.png", "notebooks/encodings/small/%s.html"):
        assert (results / (ending % DATA)).stat().st_size > 0
    assert project.planned() == set()


def set_training(params: dict[str, Any]) -> None:
    params["scales"]["smoke"]["generators"]["small"]["training"]["num_steps"] = 9


def set_encoding(params: dict[str, Any]) -> None:
    params["generators"]["small"]["encoding"]["penalty"] = 0.5


def set_solver(params: dict[str, Any]) -> None:
    params["experiments"]["latent"]["methods"]["egnot"]["num_steps"] = 3


@pytest.mark.parametrize(
    ("edit", "again"),
    [
        (set_training, {"training the generator small", "encoding", "drawing what"}),
        (set_encoding, {"encoding", "drawing what"}),
        (set_solver, set()),
    ],
    ids=["training", "encoding", "solver"],
)
def test_a_changed_setting_reruns_what_depends_on_it(
    edit: Callable[[dict[str, Any]], None], again: set[str], whole: Project
) -> None:
    words = {
        "encoding": f"encoding {DATA} by small",
        "drawing what": f"drawing what small makes of {DATA}",
    }
    whole.change_params(edit)
    assert whole.planned() == {words.get(name, name) for name in again} | trained_and_after()


def test_an_edited_encoder_retrains_no_generator(whole: Project) -> None:
    path = whole / "src/entropic_ot/experiments/encode.py"
    path.write_text(path.read_text() + "\n# edited\n")
    jobs = whole.planned()
    assert f"encoding {DATA} by small" in jobs
    assert not {f"preparing {DATA}", "training the generator small"} & jobs


def test_a_generator_that_no_experiment_uses_is_made_when_asked_for(whole: Project) -> None:
    def another(params: dict[str, Any]) -> None:
        params["generators"]["second"] = params["generators"]["small"]
        params["scales"]["smoke"]["generators"]["second"] = params["scales"]["smoke"]["generators"][
            "small"
        ]

    whole.change_params(another)
    assert whole.planned() == set()
    target = "results/smoke/generators/second/generator.safetensors"
    output = whole.run("snakemake", "--dry-run", "--cores", "8", "--", target)
    assert jobs_in(output) == {"training the generator second"}


def test_a_converted_generator_is_converted_and_encodes(tmp_path: Path) -> None:
    project = make(tmp_path, "converted")
    path = project / PICKLE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not read by a dry run")
    jobs = project.planned()
    # No figure of its encoding in `all`: the generator learned other images than these.
    assert jobs == {
        f"preparing {DATA}",
        "converting the generator small",
        f"encoding {DATA} by small",
        *trained_and_after(),
    }


def test_a_missing_pickle_stops_the_plan_and_says_what_to_do(tmp_path: Path) -> None:
    project = make(tmp_path, "converted")
    output = project.run("snakemake", "--dry-run", ok=False)
    assert "1 file is missing for experiments with `enabled: true`" in output
    (line,) = (line for line in output.splitlines() if PICKLE in line and "for latent" in line)
    assert "MB" in line  # how large it is
    after = output[output.index(line) + len(line) :].splitlines()[1]
    assert "get it: " in after and "stylegan2-ada-pytorch" in after
    assert "Traceback" not in output

    def automatic(params: dict[str, Any]) -> None:
        params["experiments"]["latent"]["enabled"] = "auto"

    project.change_params(automatic)
    output = project.run("snakemake", "--dry-run")
    assert f"latent: left out: {PICKLE} is neither there nor in a mirror folder" in output
    assert not any("small" in job for job in jobs_in(output))


def test_a_generator_of_the_other_kind_has_no_training(tmp_path: Path) -> None:
    """A converted generator has no log; the message says what is asked for that does not exist."""
    project = make(tmp_path, "converted")
    path = project / PICKLE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not read by a dry run")
    target = "results/smoke/generators/small/log.jsonl"
    output = project.run("snakemake", "--dry-run", "--cores", "8", "--", target, ok=False)
    assert "No rule to produce" in output or "MissingRuleException" in output


def test_what_is_on_this_machine_does_not_change_the_check_of_dvc_yaml(tmp_path: Path) -> None:
    project = make(tmp_path, "converted")
    published = project / str(AFHQ_DOGS)

    def take_the_published(params: dict[str, Any]) -> None:
        params["generators"]["small"]["pickle"] = str(AFHQ_DOGS)
        params["experiments"]["latent"]["enabled"] = "auto"

    project.change_params(take_the_published)
    published.parent.mkdir(parents=True)
    published.write_bytes(b"not read by a check")
    project.run(sys.executable, "workflow/scripts/snake2dvc.py")
    assert "convert-small:" in (project / "dvc.yaml").read_text()
    published.unlink()
    project.run("snakemake", "--dry-run")  # writes the parameters of what is left
    config = project / "results/smoke/config"
    before = {path: path.read_bytes() for path in config.rglob("*.json")}
    project.run(sys.executable, "workflow/scripts/snake2dvc.py", "--check")
    assert before == {path: path.read_bytes() for path in config.rglob("*.json")}

    def measure_fid(params: dict[str, Any]) -> None:
        params["experiments"]["latent"]["evaluation"]["metrics"] = ["fid"]

    project.change_params(measure_fid)  # neither the weights nor torch-fidelity are asked for
    output = project.run(sys.executable, "workflow/scripts/snake2dvc.py", "--check", ok=False)
    assert "make dvc" in output and "Inception" not in output
