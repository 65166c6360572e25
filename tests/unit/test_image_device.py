"""Networks behind metrics compute where they are told to; a CPU without a GPU tells it too.

The device "meta" has shapes and no values, so that what is computed there cannot be mistaken.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from entropic_ot.commands import evaluate as command
from entropic_ot.experiments.evaluation import Evaluation, Value
from entropic_ot.metrics import features
from entropic_ot.metrics.features import FeatureExtractor, full_float32, lenet_features
from entropic_ot.metrics.perceptual import lpips, lpips_diversity
from entropic_ot.metrics.real_side import real_features
from entropic_ot.networks.classifier import DigitClassifier
from entropic_ot.networks.efficientnet_lite import EfficientNetLite0
from entropic_ot.networks.lpips_alexnet import LPIPSAlexNet

META, CPU = torch.device("meta"), torch.device("cpu")


def images(n: int = 20, size: int = 8) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (n, 3, size, size)).astype(np.float32)


def digit_classifier() -> DigitClassifier:
    torch.manual_seed(0)
    return DigitClassifier(image_size=8, width=2)


def test_features_get_their_images_on_the_device() -> None:
    seen = []

    def embed(part: torch.Tensor) -> torch.Tensor:
        seen.append(part.device)
        return torch.zeros(len(part), 2)

    assert FeatureExtractor("test", "0" * 64, embed, 8, META)(images()).shape == (20, 2)
    assert seen == [META] * 3
    FeatureExtractor("test", "0" * 64, embed)(images(2))
    assert seen[3] == CPU, "the default"


def test_lpips_computes_where_its_network_is() -> None:
    class Network:
        mean = torch.empty(1, device=META)

        def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            assert x.device == y.device == META
            return torch.ones(len(x))

        def embed(self, x: torch.Tensor) -> list[torch.Tensor]:
            assert x.device == META
            return [torch.zeros(len(x), 1, 1, 1)]

        compare = LPIPSAlexNet.compare
        heads = (torch.ones(1),)

    network: Any = Network()
    assert lpips(network, images(), images()).sum() == 20
    assert lpips_diversity(network, images()[None]) == 0


def test_features_of_another_device_are_kept_apart(tmp_path: Path) -> None:
    def embed(part: torch.Tensor) -> torch.Tensor:
        return torch.full((len(part), 1), float(part.device == META))

    for device in (CPU, META):
        extractor = FeatureExtractor("test", "0" * 64, embed, device=device)
        for _ in range(2):  # computed, and read
            found = real_features(images(), extractor, cache=tmp_path)
            assert (found == (device == META)).all()
    assert len(list(tmp_path.iterdir())) == 2


def test_an_evaluation_moves_its_networks_and_records_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {name: "" for name in ("case", "name", "scale", "experiment", "variant", "method")}
    config = SimpleNamespace(
        **key, seed=0, epsilon=1.0, problem=None, compute=SimpleNamespace(device="auto")
    )
    asked, found = [], {}

    def choose(name: str) -> torch.device:
        asked.append(name)
        return META

    def measure(e: Evaluation) -> Value:
        found.update(e.extractors, classifier=e.classifier)
        return Value(0.0, None, 1)

    metrics = ["fd_lenet"]
    for name, fake in {
        "load_run": lambda path: config,
        "load_evaluation": lambda path: SimpleNamespace(metrics=metrics),
        "_provenance": lambda path: {"compile": "no"},
        "_Samples": lambda path: {"x": np.zeros((1, 3))},
        "image_problem": lambda problem: problem,
        "build_benchmark": lambda problem, epsilon: None,
        "load_trained_classifier": lambda folder: digit_classifier(),
        "choose_device": choose,
        "describe_device": lambda device: f"the device {device}",
        "METRIC_FUNCTIONS": {"fd_lenet": measure, "cost_half_l2": measure},
    }.items():
        monkeypatch.setattr(command, name, fake)
    out = tmp_path / "metrics.json"
    command.evaluate(tmp_path, tmp_path, tmp_path, tmp_path, out)
    assert asked == ["auto"] and found["lenet"].device == META
    assert next(found["classifier"].parameters()).device == META
    assert json.loads(out.read_text())["networks_device"] == "the device meta"

    metrics[:] = ["cost_half_l2"]  # no network: nothing is chosen, and nothing is said
    command.evaluate(tmp_path, tmp_path, tmp_path, tmp_path, out)
    assert asked == ["auto"] and json.loads(out.read_text()).keys() == {"rows", "over_time"}


def test_float32_is_full_within_and_as_before_after() -> None:
    before = torch.backends.cudnn.allow_tf32
    with pytest.raises(KeyError), full_float32():
        assert not torch.backends.cudnn.allow_tf32
        raise KeyError
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_features_and_distances_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    effnet, alexnet = EfficientNetLite0(), LPIPSAlexNet().eval().requires_grad_(False)
    for head in alexnet.heads:
        head.data.uniform_()
    monkeypatch.setattr(features, "EfficientNetLite0", lambda: effnet)
    monkeypatch.setattr(effnet, "load_published", lambda state: None)
    monkeypatch.setattr(features, "obtain_files", lambda files, folder: [tmp_path])
    monkeypatch.setattr(torch, "load", lambda *_, **__: None)
    x, y = images(12, 32), images(12, 32)[::-1].copy()
    found = {}
    for device in (CPU, torch.device("cuda")):
        lenet = lenet_features(digit_classifier(), device=device)
        large = features.effnet_features(tmp_path, device=device)
        found[device.type] = (lenet(x), large(x), lpips(alexnet.to(device), x, y))
    for ours, theirs in zip(found["cuda"], found["cpu"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
