"""Training of a generator: the average, resume, what is written, what is refused."""

from __future__ import annotations

import copy
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generator_configs import augmentation, training_config

from entropic_ot.device import make_rng
from entropic_ot.distributed import Rows
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.fit import train_steps
from entropic_ot.experiments.store import MODEL, STATE, RunStore, load_tree
from entropic_ot.generators import training as module
from entropic_ot.generators.export import as_bytes, contact_sheet, save_generator
from entropic_ot.generators.training import GeneratorTraining
from entropic_ot.networks.stylegan2 import Generator
from entropic_ot.networks.stylegan2_file import load_generator
from entropic_ot.problems.base import ArrayDistribution
from entropic_ot.solvers.base import apply_gradients

SHAPE = (3, 16, 16)


@pytest.fixture(scope="module")
def data() -> ArrayDistribution:
    rng = np.random.default_rng(0)
    return ArrayDistribution(rng.integers(0, 256, (20, *SHAPE), dtype=np.uint8))


def train(
    data: ArrayDistribution, steps: int, store: RunStore | None, **changed: Any
) -> GeneratorTraining:
    training = GeneratorTraining(training_config(**changed), SHAPE)
    train_steps(
        training,
        lambda rng, _progress: training.step(data, rng=rng),
        steps=steps,
        seed=3,
        store=store,
        label="test",
        show=lambda line: None,
    )
    return training


def assert_equal(a: Any, b: Any) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b


def test_ten_steps_are_five_saved_and_five_more(data: ArrayDistribution, tmp_path: Path) -> None:
    """With noise, mixing, both penalties, flips and ada: bit for bit."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(data, 10, RunStore(whole, fingerprint="a"))
    train(data, 5, RunStore(parts, fingerprint="a"))
    halfway, _ = load_tree(parts / STATE)
    train(data, 10, RunStore(parts, fingerprint="a"))
    expected, _ = load_tree(whole / STATE)
    found, _ = load_tree(parts / STATE)
    assert_equal(found, expected)
    assert_equal(load_tree(parts / MODEL)[0], load_tree(whole / MODEL)[0])
    assert halfway["training"]["num_steps"] == 5
    with pytest.raises(AssertionError):
        assert_equal(halfway["model"], found["model"])


def test_the_average_forgets_half_in_ema_images(data: ArrayDistribution) -> None:
    """4 images a step and 20 to forget half: the decay is 2^(-4/20), once it is past its start."""
    training = GeneratorTraining(training_config(), SHAPE)
    assert training.generator.decay == pytest.approx(2 ** (-1 / 5))
    training.generator.num_updates = 10**6
    name = "synthesis.b4.const"
    before = training.generator.average[name].clone()
    training.step(data, rng=make_rng(0))
    now = training.generator.module.state_dict()[name]
    expected = before.lerp(now, 1 - 2 ** (-1 / 5))
    torch.testing.assert_close(training.generator.average[name], expected)
    assert not torch.equal(now, before)


def test_samples_do_not_change_the_training(data: ArrayDistribution) -> None:
    training = GeneratorTraining(training_config(), SHAPE)
    training.step(data, rng=make_rng(0))
    before = copy.deepcopy(training.state_dict())
    images = training.samples(torch.zeros(3, 6))
    assert images.shape == (3, *SHAPE) and not images.requires_grad
    assert_equal(training.state_dict(), before)


def test_each_step_changes_both_networks(data: ArrayDistribution) -> None:
    training = GeneratorTraining(training_config(), SHAPE)
    before = copy.deepcopy(training.state_dict()["training"])
    logs = training.step(data, rng=make_rng(0))
    after = training.state_dict()["training"]
    for weights in (("generator", "weights"), ("discriminator",)):
        old, new = before, after
        for key in weights:
            old, new = old[key], new[key]
        changed = [not torch.equal(old[k], new[k]) for k in old if k.endswith("weight")]
        assert all(changed)
    assert {"r1", "path_penalty", "augmentation", "discriminator_loss"} <= logs.keys()
    assert "r1" not in training.step(data, rng=make_rng(1))  # every third step


def test_a_penalty_counts_once_for_each_step_of_its_interval(
    data: ArrayDistribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third step R1, every second the path length: times 3 and times 2."""
    losses: list[float] = []

    def recorded(optimizer: Any, loss: torch.Tensor, *, learning_rate: float) -> None:
        losses.append(float(loss.detach()))
        apply_gradients(optimizer, loss, learning_rate=learning_rate)

    monkeypatch.setattr(module, "apply_gradients", recorded)
    training = GeneratorTraining(training_config(), SHAPE)
    assert (training.config.r1_interval, training.config.path_length_interval) == (3, 2)
    logs = training.step(data, rng=make_rng(0))
    names = ("discriminator_loss", "r1", "generator_loss", "path_penalty")
    expected = [logs[name] * by for name, by in zip(names, (1, 3, 1, 2), strict=True)]
    assert losses == pytest.approx(expected) and all(losses)


def test_overfitting_is_seen_in_the_signs_on_real_images(
    data: ArrayDistribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = GeneratorTraining(training_config(r1_gamma=0.0), SHAPE)
    real, judge = training._real, training._judged

    def marked(*args: Any) -> torch.Tensor:
        return torch.full_like(real(*args), 7.0)

    def judged(images: torch.Tensor) -> torch.Tensor:
        return 0 * judge(images) + (1.0 if bool((images == 7).all()) else -1.0)

    monkeypatch.setattr(training, "_real", marked)
    monkeypatch.setattr(training, "_judged", judged)
    training._discriminator_step(Rows(4), data, make_rng(0))
    assert training._signs == [torch.tensor(1.0)]


def test_path_lengths_are_held_to_their_running_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    training = GeneratorTraining(training_config(), SHAPE)
    mean = 0.0
    for length in (2.0, 4.0):
        lengths = torch.full((2,), length)
        monkeypatch.setattr(module, "path_lengths", lambda *a, made=lengths, **k: made)
        penalty = training._path_penalty(make_rng(0))
        mean = 0.99 * mean + 0.01 * length
        weight = training.config.path_length_weight
        assert float(training.mean_length) == pytest.approx(mean)
        assert float(penalty) == pytest.approx(weight * (length - mean) ** 2)


def test_adas_probability_follows_the_sign_of_the_discriminator(data: ArrayDistribution) -> None:
    """4 images a step, moved every 2 steps, 100 images from 0 to 1: 0.08 a move."""
    training = GeneratorTraining(training_config(), SHAPE)
    for signs, expected in (((1.0, 1.0), 0.08), ((0.9, 0.9), 0.16), ((0.0, 0.2), 0.08)):
        training._signs = [torch.tensor(sign) for sign in signs]
        training._adapt()
        assert training.probability == pytest.approx(expected)
    for _ in range(3):
        training._signs = [torch.tensor(-1.0)] * 2
        training._adapt()
    assert training.probability == 0.0


def test_diffaugment_and_none_keep_their_probability(data: ArrayDistribution) -> None:
    for kind, transforms, probability in (("none", (), 0.0), ("diffaugment", ("cutout",), 1.0)):
        settings = augmentation(kind=kind, transforms=transforms)
        training = GeneratorTraining(training_config(augmentation=settings), SHAPE)
        for step in range(3):
            training.step(data, rng=make_rng(step))
        assert training.probability == probability


def test_a_penalty_slows_adam_as_the_paper_says() -> None:
    """One update more in 3 steps (R1) and in 2 (path length): rates times 3/4 and 2/3."""
    training = GeneratorTraining(training_config(adam_beta1=0.5), SHAPE)
    assert training.discriminator_rate == pytest.approx(2e-3 * 3 / 4)
    assert training.generator_rate == pytest.approx(2e-3 * 2 / 3)
    betas = training.generator_optimizer.param_groups[0]["betas"]
    assert betas == pytest.approx((0.5 ** (2 / 3), 0.99 ** (2 / 3)))
    plain = training_config(r1_gamma=0.0, path_length_weight=0.0)
    assert GeneratorTraining(plain, SHAPE).generator_rate == 2e-3


def test_mixed_styles_differ_between_layers_and_others_do_not(data: ArrayDistribution) -> None:
    for share, same in ((0.0, True), (1.0, False)):
        training = GeneratorTraining(training_config(style_mixing=share), SHAPE)
        ws = training._ws(Rows(50), make_rng(0))
        assert ws.shape == (50, 6, 6)
        assert torch.equal(ws[:, 0], ws[:, -1]) == same


def test_a_trained_generator_is_read_by_load_generator(tmp_path: Path) -> None:
    training = GeneratorTraining(training_config(), SHAPE)
    z = torch.randn(3, 6, generator=make_rng(1))
    path = tmp_path / "generator.safetensors"
    save_generator(path, training.averaged_generator(), source="x.npy", source_sha256="0")
    loaded = load_generator(path)
    assert torch.equal(loaded(z), training.samples(z))
    assert loaded.config == training.averaged_generator().config
    assert isinstance(loaded, Generator) and not any(p.requires_grad for p in loaded.parameters())


def test_a_contact_sheet_is_a_png_of_its_images(tmp_path: Path) -> None:
    images = as_bytes(torch.linspace(-1.5, 1.5, 3 * 3 * 4 * 4).reshape(3, 3, 4, 4))
    path = tmp_path / "sheet.png"
    contact_sheet(path, images)
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[16:26] == (8).to_bytes(4) + (8).to_bytes(4) + bytes([8, 2])
    length = int.from_bytes(content[33:37])
    lines = np.frombuffer(zlib.decompress(content[41 : 41 + length]), dtype=np.uint8)
    pixels = lines.reshape(8, 1 + 8 * 3)[:, 1:].reshape(8, 8, 3)
    np.testing.assert_array_equal(pixels[:4, 4:], images[1].transpose(1, 2, 0))
    assert (pixels[4:, 4:] == 0).all()
    pytest.importorskip("PIL")
    from PIL import Image

    np.testing.assert_array_equal(np.asarray(Image.open(path)), pixels)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"channels": (8,)}, "channels: found [8], expected 2 to 9"),
        ({"channels": (8, 8)}, "discriminator_channels: found 3 resolutions, expected 2"),
        ({"batch_size": 5, "group_size": 2}, "group_size: found 2 for batch_size 5"),
        ({"adam_beta1": 1.0}, "adam_beta1: found 1.0"),
        ({"r1_gamma": -1.0}, "r1_gamma: found -1.0"),
        ({"style_mixing": 1.5}, "style_mixing: found 1.5"),
        ({"ema_images": 0.0}, "ema_images: found 0.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        training_config(**changed)
    assert words in str(error.value)


def test_transforms_without_augmentation_and_the_reverse_are_refused() -> None:
    for kind, transforms in (("none", ("flip",)), ("ada", ())):
        with pytest.raises(ConfigError, match="transforms: found"):
            augmentation(kind=kind, transforms=transforms)
    with pytest.raises(ConfigError, match="'flip' stands 2 times"):
        augmentation(kind="ada", transforms=("flip", "flip"))


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"images of 16x16, for data of shape \[3, 32, 32\]"):
        GeneratorTraining(training_config(), (3, 32, 32))
