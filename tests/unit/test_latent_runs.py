"""Runs in a generator's latent space, from files: problem, solver, samples."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generator_configs import encoding_config

from entropic_ot.device import make_rng
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.build import build_run
from entropic_ot.experiments.config import (
    ColouredMNISTProblem,
    ComputeConfig,
    EvaluationConfig,
    LatentProblem,
    RunConfig,
)
from entropic_ot.experiments.encode import ImageEncoder, save_arrays
from entropic_ot.experiments.paths import Layout, prepared_files
from entropic_ot.experiments.sample import draw_samples
from entropic_ot.generators.encoding import EncoderTraining, latent_moments
from entropic_ot.generators.export import as_bytes, save_generator
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.networks.stylegan2 import Generator, GeneratorConfig
from entropic_ot.problems.base import ArrayDistribution
from entropic_ot.solvers.config import EgNOTConfig, ENOTConfig, LightSBConfig, SinkhornConfig
from entropic_ot.solvers.egnot import EgNOT

CPU = torch.device("cpu")
DIGITS = ColouredMNISTProblem(
    kind="coloured_mnist", source_digit=2, target_digit=3, image_size=16, hue_seed=0
)
MLP = NetworkConfig(kind="mlp", width=8, depth=2)
EGNOT = EgNOTConfig(
    potential=MLP,
    base_potential="standard_normal",
    num_langevin_steps=2,
    num_warm_up_steps=1,
    num_test_langevin_steps=3,
    buffer_size=8,
    batch_size=4,
)
SOLVERS: dict[str, Any] = {
    "egnot": EGNOT,
    "enot": ENOTConfig(drift=MLP, potential=MLP, batch_size=4),
    "sinkhorn": SinkhornConfig(num_points=16, num_iterations=10),
    "lightsb": LightSBConfig(num_components=3, batch_size=4),
}
EVALUATION = EvaluationConfig(
    num_samples=9,
    num_conditional=2,
    num_per_source=3,
    num_conditional_moments=0,
    num_per_moment=2,
    num_path_times=0,
    num_paths=2,
    batch_size=4,
    seed=0,
    metrics=("cost_half_l2",),
)


def run_config(
    space: str, method: str, *, start: str = "base", generator: str = "in_w"
) -> RunConfig:
    """generator: in_w or in_z, the same network with images encoded as w or z."""
    compute = ComputeConfig(
        device="cpu", precision="float32", compile="never", checkpoint_seconds=1.0, log_points=1
    )
    return RunConfig(
        scale="smoke",
        experiment="cmnist_latent",
        variant=space,
        method=method,  # type: ignore[arg-type]
        epsilon=1.0,
        seed=0,
        num_steps=1,
        problem=LatentProblem(
            kind="latent",
            images=DIGITS,
            generator=generator,
            space=space,  # type: ignore[arg-type]
            start=start,  # type: ignore[arg-type]
        ),
        solver=SOLVERS[method],
        compute=compute,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with prepared images, a generator of them, and what it encodes."""
    folder = tmp_path_factory.mktemp("project")
    torch.manual_seed(0)
    config = GeneratorConfig(
        channels=(8, 8, 8), img_channels=3, z_dim=6, w_dim=5, mapping_layers=2, mapping_width=5
    )
    generator = Generator(config).requires_grad_(False)
    layout = Layout("smoke")
    *arrays, _meta = prepared_files(DIGITS)
    for file in arrays:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / file, as_bytes(generator(torch.randn(20, 6))))
    for latent in ("w", "z"):
        name = f"in_{latent}"
        path = folder / layout.generator(name)
        path.parent.mkdir(parents=True)
        save_generator(path, generator, source="here", source_sha256="0" * 64)
        latents = folder / layout.latents(name, arrays[0].parent.name)
        latents.parent.mkdir(parents=True)
        save_arrays(latents, encoded_sources(generator, folder / arrays[0].parent, latent))
    return folder


def encoded_sources(generator: Generator, data: Path, latent: str) -> dict[str, np.ndarray]:
    """The arrays of a latents file of the first 12 source images of each part."""
    moments = latent_moments(generator, rng=make_rng(0))
    training = EncoderTraining(encoding_config(latent=latent), generator, moments)
    training.encoder.requires_grad_(False)
    encoder = ImageEncoder(training, seconds=0.0)
    return encoder.summary() | {
        f"source_{part}_{key}": values
        for part in ("train", "test")
        for key, values in encoder(np.load(data / f"source_{part}.npy")[:12]).items()
    }


@pytest.mark.parametrize(
    ("space", "method"),
    [("z", "egnot"), ("w", "egnot"), *(("encoded", method) for method in SOLVERS)],
)
def test_a_run_is_trained_and_sampled(
    space: str, method: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    benchmark, solver = build_run(run_config(space, method), device=CPU)
    solver.step(benchmark.eot(1.0), rng=make_rng(0), progress=0.0)
    arrays = draw_samples(solver, benchmark, EVALUATION, epsilon=1.0, label="test")
    image, dim = (3, 16, 16), 6 if space == "z" else 5
    assert arrays["latent_y"].shape == arrays["latent_target"].shape == (9, dim)
    for name in ("x", "y", "target", "generated"):
        assert arrays[name].shape == (9, *image), name
    assert arrays["conditional_y"].shape == (2, 3, *image)
    assert ("path" in arrays) == (space == "encoded")
    # The inputs are the test photographs themselves, not what a generator makes of them.
    test = np.load(prepared_files(DIGITS)[1])[:9].astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(arrays["x"].astype(np.float32), test, atol=1e-3)  # 16 bits
    # And the outputs are what the latents beside them stand for.
    assert benchmark.latent is not None
    again = benchmark.latent.decode(torch.from_numpy(arrays["latent_y"].astype(np.float32)))
    np.testing.assert_allclose(arrays["y"].astype(np.float32), again.numpy(), atol=0.02, rtol=5e-3)


def test_the_generators_own_images_are_the_same_in_all_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    found = []
    for space, method in (("z", "egnot"), ("encoded", "sinkhorn"), ("encoded", "lightsb")):
        benchmark, solver = build_run(run_config(space, method), device=CPU)
        solver.step(benchmark.eot(1.0), rng=make_rng(0), progress=0.0)
        found.append(draw_samples(solver, benchmark, EVALUATION, epsilon=1.0, label="test"))
    for arrays in found[1:]:
        np.testing.assert_array_equal(arrays["generated"], found[0]["generated"])
    np.testing.assert_array_equal(found[1]["latent_target"], found[2]["latent_target"])
    assert not np.array_equal(found[1]["latent_y"], found[2]["latent_y"])


@pytest.mark.parametrize(("space", "generator"), [("w", "in_w"), ("w", "in_z"), ("z", "in_z")])
def test_chains_start_at_encoded_images(
    space: str, generator: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `encoded` at the points of the latents file, found again from the images alone."""
    monkeypatch.chdir(folder)
    arrays = np.load(Layout("smoke").latents(generator, prepared_files(DIGITS)[0].parent.name))
    config = run_config(space, "egnot", start="encoded", generator=generator)
    benchmark, solver = build_run(config, device=CPU)
    assert isinstance(solver, EgNOT) and isinstance(benchmark.source, ArrayDistribution)
    starts = solver.initial(benchmark.source.at(torch.arange(12)), rng=make_rng(1)).numpy()
    if space == "z":
        expected, found = arrays["source_train_z"], starts
    else:
        expected, found = arrays["source_train_w"], arrays["w_mean"] + starts @ arrays["w_root"].T
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)  # rounding, as in batches
    config = run_config(space, "egnot", start="encoder", generator=generator)
    benchmark, solver = build_run(config, device=CPU)
    guesses = solver.initial(benchmark.source.at(torch.arange(12)), rng=make_rng(1)).numpy()  # type: ignore[attr-defined]
    assert guesses.shape == starts.shape and np.abs(guesses - starts).max() > 0.1


@pytest.mark.parametrize("chains", ["persistent", "replay"])
def test_persistent_chains_are_those_of_the_encoded_images(
    chains: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With steps so small that nothing moves, the chains lie where they started."""
    monkeypatch.chdir(folder)
    arrays = np.load(Layout("smoke").latents("in_z", prepared_files(DIGITS)[0].parent.name))
    config = run_config("z", "egnot", start="encoded", generator="in_z")
    still = dataclasses.replace(EGNOT, chains=chains, step_size=1e-12)
    benchmark, solver = build_run(dataclasses.replace(config, solver=still), device=CPU)
    solver.step(benchmark.eot(1.0), rng=make_rng(0), progress=0.0)
    assert isinstance(solver, EgNOT) and solver.chains is not None
    if chains == "persistent":  # row i of the source has chain i
        found = solver.chains.y[:12].numpy()
        np.testing.assert_allclose(found, arrays["source_train_z"], atol=1e-3, rtol=1e-3)
    else:
        x, y = solver.chains.pairs  # type: ignore[union-attr]
        assert benchmark.latent is not None and benchmark.latent.start is not None
        torch.testing.assert_close(y, benchmark.latent.start(x), atol=1e-3, rtol=1e-3)


def test_chains_of_z_need_encoded_z(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match=r"start: .* encoded as w, expected z\. Set encoding"):
        build_run(run_config("z", "egnot", start="encoder"), device=CPU)


def test_the_base_is_where_chains_start_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    benchmark, solver = build_run(run_config("w", "egnot"), device=CPU)
    x = benchmark.source.sample(4, rng=make_rng(0))
    start = solver.initial(x, rng=make_rng(1))  # type: ignore[attr-defined]
    torch.testing.assert_close(start, torch.randn(4, 5, generator=make_rng(1)))


def test_only_chains_of_images_have_a_start() -> None:
    with pytest.raises(ConfigError, match=r"start: found encoder with space encoded, expected ba"):
        run_config("encoded", "enot", start="encoder")


def test_encoded_images_are_read_where_they_are_needed() -> None:
    layout = Layout("smoke")
    for space, start, needed in (
        ("z", "base", False), ("z", "encoded", True), ("w", "base", True), ("encoded", "base", True)
    ):  # fmt: skip
        problem = run_config(space, "egnot", start=start).problem
        latents = layout.latents("in_w", prepared_files(DIGITS)[0].parent.name)
        assert (latents in layout.data_files(problem)) == needed
        assert (latents.with_suffix(".json") in layout.shared_records(problem)) == needed


def test_encoded_points_are_the_files_in_whitened_coordinates(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    benchmark, _ = build_run(run_config("encoded", "enot"), device=CPU)
    arrays = np.load(Layout("smoke").latents("in_w", prepared_files(DIGITS)[0].parent.name))
    u = benchmark.test_source.at(torch.arange(12))  # type: ignore[attr-defined]
    w = arrays["w_mean"] + u.numpy() @ arrays["w_root"].T
    np.testing.assert_allclose(w, arrays["source_test_w"], atol=1e-4)


@pytest.mark.parametrize("method", ["enot", "sinkhorn", "lightsb"])
def test_only_egnot_compares_images_with_latents(method: str) -> None:
    with pytest.raises(ConfigError, match=rf"method: found {method} .* space z, expected egnot"):
        run_config("z", method)


def test_chains_of_latents_need_a_base() -> None:
    config = run_config("z", "egnot")
    with pytest.raises(ConfigError, match=r"base_potential: found none .* standard_normal"):
        dataclasses.replace(config, solver=dataclasses.replace(EGNOT, base_potential="none"))


def test_sinkhorn_stays_on_the_processor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its solver does, so the distributions that it draws from have to; no CUDA is needed here."""
    monkeypatch.chdir(folder)
    benchmark, solver = build_run(run_config("encoded", "sinkhorn"), device=torch.device("cuda"))
    solver.step(benchmark.eot(1.0), rng=make_rng(0, solver.device), progress=0.0)


def test_a_generator_of_other_images_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    other = prepared_files(dataclasses.replace(DIGITS, image_size=8))
    for file in other[:-1]:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.zeros((12, 3, 8, 8), dtype=np.uint8))
    config = run_config("z", "egnot")
    images = dataclasses.replace(DIGITS, image_size=8)
    config = dataclasses.replace(config, problem=dataclasses.replace(config.problem, images=images))  # type: ignore[type-var,call-arg]
    with pytest.raises(ConfigError, match=r"problem.generator: found in_w, .*16, 16.* \(3, 8, 8\)"):
        build_run(config, device=CPU)
