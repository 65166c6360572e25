"""The settings of params.yaml for images: what a scale asks for, and what cannot be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from entropic_ot.errors import ConfigError
from entropic_ot.experiments.generator_config import TrainedGenerator
from entropic_ot.experiments.params import Params, availability, load_params
from entropic_ot.solvers.config import ENOTConfig

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture(scope="module")
def paper() -> Params:
    """Scale paper on a machine that has every data set and published generator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(availability, "missing_files", lambda problem: [])
        patch.setattr(availability, "missing_pickle", lambda path: [])
        return load_params(PARAMS, scale="paper")


def enot_of(params: Params, case: str, epsilon: float) -> tuple[int, ENOTConfig]:
    (run,) = (
        r.config
        for r in params.runs
        if (r.case, r.config.method, r.config.epsilon) == (case, "enot", epsilon)
    )
    assert isinstance(run.solver, ENOTConfig)
    return run.num_steps, run.solver


def test_celeba_has_the_papers_settings_and_orl_its_own(paper: Params) -> None:
    celeba, orl = "faces_deblur-celeba", "faces_deblur-orl"
    for epsilon in (0.0, 1.0, 10.0):
        num_steps, enot = enot_of(paper, celeba, epsilon)
        assert (num_steps, enot.drift_form, enot.batch_size) == (20000, "bounded_endpoint", 64)
        assert (enot.potential.kind, enot.potential.width) == ("resnet", 64)
        assert (enot.num_euler_steps, enot.num_drift_steps) == (10, 10)
        assert enot.epsilon_ramp == (0.5 if epsilon else 0)
    laptop = load_params(PARAMS, scale="laptop")
    for epsilon in (0.0, 1.0):  # the same few photographs need no other settings
        assert enot_of(paper, orl, epsilon) == enot_of(laptop, orl, epsilon)


def test_distances_at_scale_paper_are_of_all_test_images(paper: Params) -> None:
    assert paper.evaluations["faces_deblur-celeba"].num_samples == 20000
    for case in ("afhq_cat2dog-afhq", "afhq_cat2dog-afhq-encoded", "afhq_wild2dog-afhq"):
        assert paper.evaluations[case].num_samples == 500


def test_generators_at_scale_paper_have_the_sizes_of_a_gpu(paper: Params) -> None:
    for name in ("coloured_threes", "cifar10_dogs"):
        source = paper.generators[name]
        assert isinstance(source, TrainedGenerator)
        training = source.training
        assert (training.z_dim, training.w_dim) == (512, 512) and training.channels[0] == 512
        assert training.num_steps * training.batch_size > 3_000_000  # images


@pytest.mark.parametrize("start", ["encoder", "encoded"])
def test_chains_of_z_that_start_from_encoded_images_need_encoded_z(
    start: str, tmp_path: Path
) -> None:
    data = yaml.safe_load(PARAMS.read_text())
    data["experiments"]["cmnist_latent"]["variants"]["z"] = {"problem": {"start": start}}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError) as error:
        load_params(path, scale="laptop")
    words = f"start: found {start} in space z with generators.coloured_threes.encoding.latent w"
    assert words in str(error.value)
    data["generators"]["coloured_threes"]["encoding"]["latent"] = "z"
    path.write_text(yaml.safe_dump(data))
    runs = [r for r in load_params(path, scale="laptop").runs if r.case == "cmnist_latent-z"]
    assert runs and all(run.data_files[-1].parts[2] == "latents" for run in runs)


@pytest.mark.parametrize("size", [64, 37])
def test_images_too_large_for_a_gaussian_fit_are_refused_at_once(size: int) -> None:
    """3 * 37^2 > 4096 >= 3 * 36^2; before, a training ended so, hours later."""
    celeba: dict[str, Any] = {
        "problem": {"image_size": size, "low_size": 16},
        "methods": {"enot": {"settings": {"drift_form": "gaussian_endpoint", "epsilon_ramp": 0.0}}},
    }
    edits = {"experiments": {"faces_deblur": {"variants": {"celeba": celeba}}}}
    message = rf"in variant celeba: .*gaussian_endpoint for images of {3 * size**2} values, .* 4096"
    with pytest.raises(ConfigError, match=message):
        load_params(PARAMS, scale="laptop", overrides=edits)
    celeba["problem"]["image_size"] = 36
    load_params(PARAMS, scale="laptop", overrides=edits)
    orl = {"orl": {"problem": {"image_size": 64}}, "celeba": {}}  # one channel: 4096
    edits = {"experiments": {"faces_deblur": {"variants": orl}}}
    load_params(PARAMS, scale="laptop", overrides=edits)
