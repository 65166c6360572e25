"""Metrics of runs of images: each against its formula on tiny images, and what is refused."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from entropic_ot.data.sources import MIRROR_VARIABLE
from entropic_ot.data.weights import INCEPTION, PUBLISHED
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.build import Benchmark
from entropic_ot.experiments.evaluate import METRIC_FUNCTIONS
from entropic_ot.experiments.evaluation import Evaluation, Value
from entropic_ot.experiments.params import load_params
from entropic_ot.experiments.params.resolved import weights_path
from entropic_ot.metrics.energy_distance import energy_distance
from entropic_ot.metrics.features import FeatureExtractor, lenet_features
from entropic_ot.metrics.frechet import frechet_distance
from entropic_ot.metrics.kernel_distance import kernel_distance
from entropic_ot.metrics.precision_recall import precision_recall
from entropic_ot.metrics.real_side import split_real
from entropic_ot.metrics.registry import (
    FEATURE_METRICS,
    FEATURES,
    LPIPS_SMALLEST_SIDE,
    METRICS,
    PUBLISHED_WEIGHTS,
    check_metrics,
    needs_of,
)
from entropic_ot.networks.classifier import DigitClassifier
from entropic_ot.networks.lpips_alexnet import SMALLEST_SIDE, LPIPSAlexNet
from entropic_ot.problems.base import ArrayDistribution

NUM_TRAIN = 40
PARAMS = Path(__file__).parents[2] / "params.yaml"


def images(n: int, seed: int, *, size: int = 8, channels: int = 3) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(-1, 1, (n, channels, size, size))
    return (values * (0.4 + 0.1 * (seed % 5))).astype(np.float32)


def mean_colours(factor: float) -> FeatureExtractor:
    """Mean colours of the upper and lower half: six features, told apart by a factor."""

    def embed(part: torch.Tensor) -> torch.Tensor:
        return factor * part.float().unflatten(2, (2, -1)).mean((3, 4)).flatten(1)

    return FeatureExtractor(f"factor {factor}", f"{factor:064}", embed)


EXTRACTORS = {name: mean_colours(factor) for factor, name in enumerate(FEATURES, 1)}


def evaluation(tmp_path: Path | None = None, **changed: object) -> Evaluation:
    train = ArrayDistribution(images(NUM_TRAIN, 4))
    samples = {
        "x": images(30, 1),
        "y": images(30, 2),
        "target": images(24, 3),
        "generated": images(26, 5),
    }
    plain = {
        "samples": samples,
        "benchmark": Benchmark(ArrayDistribution(images(8, 6)), train, train, train),
        "epsilon": 1.0,
        "settings": None,
        "extractors": EXTRACTORS,
        "real_side": tmp_path,
    }
    return Evaluation(**(plain | changed))  # type: ignore[arg-type]


def value_of(name: str, e: Evaluation) -> Value:
    return METRIC_FUNCTIONS[name](e)


# --- sets of images ---------------------------------------------------------------------------


def test_every_metric_has_a_function_and_every_function_a_metric() -> None:
    assert set(METRIC_FUNCTIONS) == set(METRICS)
    assert set(PUBLISHED_WEIGHTS) == set(PUBLISHED)
    assert LPIPS_SMALLEST_SIDE == SMALLEST_SIDE


def truth(name: str, points: np.ndarray, real: np.ndarray) -> float:
    if name == "frechet":
        return frechet_distance(points, real)
    if name == "kernel":
        return kernel_distance(points, real, rng=np.random.default_rng(778))
    return 100 * getattr(precision_recall(points, real), name)


@pytest.mark.parametrize("name", FEATURE_METRICS)
def test_sets_of_images_against_their_formula(name: str, tmp_path: Path) -> None:
    metric, e = FEATURE_METRICS[name], evaluation(tmp_path)
    extract = EXTRACTORS[metric.features]
    real, found = extract(e["target"]), value_of(name, e)
    if metric.images == "target":
        a, b = split_real(real, seed=777)
        assert (found.value, found.floor, found.n) == (truth(metric.measure, a, b), None, 12)
        return
    points = extract(e[metric.images])
    assert found.n == len(points)
    order = torch.randperm(NUM_TRAIN, generator=torch.Generator().manual_seed(777))[: len(points)]
    train = extract(images(NUM_TRAIN, 4)[order.numpy()])
    assert found.floor is not None
    assert found.value == pytest.approx(truth(metric.measure, points, real), rel=1e-9)
    assert found.floor == pytest.approx(truth(metric.measure, train, real), rel=1e-9)


@pytest.mark.parametrize(
    "distance", ["fd_lenet", "kid_lenet", "fd_effnet", "kid_effnet", "fid", "kid"]
)
def test_every_distance_has_what_stands_beside_it(distance: str) -> None:
    sides = {"": "y", "_generator": "generated", "_input": "x", "_real": "target"}
    for suffix, array in sides.items():
        name = f"{distance}{suffix}"
        assert FEATURE_METRICS[name].images == array
        assert METRICS[name].depends_on_n  # so that tables print it
        assert METRICS[name].lower_is_better is (True if array == "y" else None)


def test_features_of_what_all_runs_share_are_kept_and_those_of_outputs_are_not(
    tmp_path: Path,
) -> None:
    first = evaluation(tmp_path)
    names = ["fd_lenet", "precision_lenet", "fd_lenet_input", "fd_lenet_generator"]
    before = [value_of(name, first) for name in names]
    # target, x, generated, and as many training images as there are outputs and generated ones
    assert len(list(tmp_path.iterdir())) == 5

    def fails(part: torch.Tensor) -> torch.Tensor:
        raise AssertionError("computed although it was kept")

    kept = {"lenet": FeatureExtractor(EXTRACTORS["lenet"].name, EXTRACTORS["lenet"].sha256, fails)}
    again = evaluation(tmp_path, extractors=kept)
    assert value_of("fd_lenet_input", again) == before[2]
    assert value_of("fd_lenet_generator", again) == before[3]
    with pytest.raises(AssertionError, match="computed although"):
        value_of("fd_lenet", again)


def test_a_single_channel_is_repeated() -> None:
    grey = {name: images(30, seed, channels=1) for seed, name in enumerate(("x", "y", "target"))}
    colour = {name: np.repeat(array, 3, axis=1) for name, array in grey.items()}
    values = [value_of("fd_effnet", evaluation(samples=s)).value for s in (grey, colour)]
    assert values[0] == values[1] > 0


def test_the_floor_is_of_as_many_real_images_or_unknown() -> None:
    few = ArrayDistribution(images(29, 4))
    source = ArrayDistribution(images(8, 6))
    e = evaluation(benchmark=Benchmark(source, few, source, few))
    assert value_of("fd_effnet", e).floor is None
    many = ArrayDistribution(images(50, 4))
    assert value_of("fd_effnet", evaluation(benchmark=Benchmark(source, many, source, few))).floor
    paired = Benchmark(source, many, source, few, paired_test=True)
    assert value_of("fd_effnet", evaluation(benchmark=paired)).floor is None


def test_a_generator_is_asked_for_where_there_is_none() -> None:
    samples = {name: a for name, a in evaluation().samples.items() if name != "generated"}
    with pytest.raises(ConfigError, match=r"fd_effnet_generator: .*metric of latent problems"):
        value_of("fd_effnet_generator", evaluation(samples=samples))


@pytest.mark.parametrize(("name", "n"), [("precision_effnet", 3), ("fd_effnet_real", 7)])
def test_too_few_images_are_an_error_that_names_the_setting(name: str, n: int) -> None:
    samples = {**evaluation().samples, "target": images(n, 3)}
    with pytest.raises(ConfigError, match=rf"num_samples: found {n} images on a side of {name}"):
        value_of(name, evaluation(samples=samples))


def test_vectors_are_no_images() -> None:
    vectors = {name: np.ones((9, 2), dtype=np.float32) for name in ("x", "y", "target")}
    with pytest.raises(DataError, match=r"found shape \(9, 2\)"):
        value_of("fd_effnet", evaluation(samples=vectors))


def test_latents_are_compared_with_draws_of_their_target() -> None:
    rng = np.random.default_rng(0)
    y, target = (rng.standard_normal((400, 6)).astype(np.float32) for _ in range(2))
    exact = value_of("latent_energy_distance", evaluation(samples=latents(y, target)))
    assert (exact.floor, exact.n) == (0.0, 400)
    assert exact.value == energy_distance(y, target)
    assert exact.floor_std is not None and abs(exact.value) < 4 * exact.floor_std
    wide = value_of("latent_energy_distance", evaluation(samples=latents(1.3 * y, target)))
    assert wide.value > 10 * exact.floor_std and wide.floor_std == exact.floor_std


def latents(y: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    return {"latent_y": y, "latent_target": target}


# --- the classifier and LPIPS -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["share_three", "share_correct"])
def test_the_share_of_correct_outputs_is_of_the_target_digit(name: str) -> None:
    torch.manual_seed(0)
    classifier = DigitClassifier(image_size=8, width=2)
    with torch.no_grad():  # even verdicts: without it, one class gets nearly all
        classifier.last[1].weight.mul_(30)
    e = evaluation(classifier=classifier, samples={"y": images(600, 2), "target": images(50, 3)})
    labels = classifier.labels(torch.from_numpy(e["y"])).tolist()
    digit = max(set(labels), key=labels.count)
    e = evaluation(classifier=classifier, target_digit=digit, samples=e.samples)
    found = value_of(name, e)
    assert found.value == pytest.approx(100 * labels.count(digit) / 600) and found.n == 600
    with pytest.raises(ConfigError, match="without target_digit"):
        value_of(name, evaluation(classifier=classifier, samples=e.samples))


def random_lpips() -> LPIPSAlexNet:
    torch.manual_seed(0)
    network = LPIPSAlexNet().eval()
    for head in network.heads:
        head.data.uniform_(0, 1)
    return network


def test_of_many_samples_of_one_x_lpips_counts_those_that_it_compares() -> None:
    y, network = images(33, 1, size=32, channels=1), random_lpips()
    e = evaluation(lpips=network, samples={"conditional_y": np.stack([y, y])})
    diversity = value_of("lpips_diversity", e)
    first = evaluation(lpips=network, samples={"conditional_y": np.stack([y[:32], y[:32]])})
    assert diversity.n == 2 * 32 and diversity.value == value_of("lpips_diversity", first).value


@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_of_pairs_and_of_samples_of_one_x(channels: int) -> None:
    network = random_lpips()
    x, y = (images(3, seed, size=32, channels=channels) for seed in (1, 2))
    many = np.stack([images(4, seed, size=32, channels=channels) for seed in (3, 4)])
    e = evaluation(lpips=network, samples={"x": x, "y": y, "conditional_y": many})

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        pair = (torch.from_numpy(np.broadcast_to(i[None], (1, 3, 32, 32)).copy()) for i in (a, b))
        return float(network(*pair).detach())

    cost, diversity = value_of("lpips_cost", e), value_of("lpips_diversity", e)
    # float32 convolutions of other batches: the seventh digit
    expected = np.mean([distance(a, b) for a, b in zip(x, y, strict=True)])
    assert cost.value == pytest.approx(expected, rel=1e-5) and cost.n == 3
    pairs = [distance(a, b) for ys in many for a, b in itertools.combinations(ys, 2)]
    assert diversity.value == pytest.approx(np.mean(pairs), rel=1e-5) and diversity.n == 8


def test_lenet_features_are_those_of_fd_lenet() -> None:
    torch.manual_seed(0)
    extractor = lenet_features(DigitClassifier(image_size=8, width=2))
    e = evaluation(extractors={"lenet": extractor})
    expected = frechet_distance(extractor(e["y"]), extractor(e["target"]))
    assert value_of("fd_lenet", e).value == pytest.approx(expected, rel=1e-9)


# --- names in params.yaml ---------------------------------------------------------------------


def test_names_are_checked_with_the_problem() -> None:
    check_metrics(["fd_effnet", "lpips_cost"], "arrays", "here", image_size=32)
    with pytest.raises(ConfigError, match="'fd_effnt' is not a metric of arrays; did you mean"):
        check_metrics(["fd_effnt"], "arrays", "here")
    with pytest.raises(ConfigError, match="'fid' is not a metric of msci but of arrays, "):
        check_metrics(["fid"], "msci", "here")
    with pytest.raises(ConfigError, match=r"'fid_generator' is not .* but of latent; take it out"):
        check_metrics(["fid_generator"], "coloured_mnist", "here")
    check_metrics(["latent_energy_distance"], "latent", "here", images_kind="image_classes")
    with pytest.raises(ConfigError, match=r"'latent_energy_distance' is not .* of latent; take"):
        check_metrics(["latent_energy_distance"], "image_classes", "here")
    with pytest.raises(ConfigError, match=r"found lpips_cost for images of 16 pixels, .* 31"):
        check_metrics(["lpips_cost"], "coloured_mnist", "here", image_size=16)


def test_what_metrics_need() -> None:
    assert needs_of(["cost_half_l2", "hue_error"]) == set()
    assert needs_of(["share_correct", "precision_lenet"]) == {"lenet"}
    assert needs_of(["lpips_cost", "kid", "recall_effnet"]) == {"lpips", "inception", "effnet"}


def test_runs_name_the_files_that_their_metrics_need() -> None:
    params = load_params(PARAMS, scale="smoke")
    for run in params.runs:
        photographs = run.config.experiment in ("faces_deblur", "afhq_cat2dog")
        of_them = [weights_path(w) for w in ("effnet", "lpips")]
        assert run.weights == (of_them if photographs else [])
    edits = {"experiments": {"cmnist_2to3": {"evaluation": {"metrics": ["fd_effnet"]}}}}
    params = load_params(PARAMS, scale="smoke", overrides=edits)
    digits = [run for run in params.runs if run.config.experiment == "cmnist_2to3"]
    assert digits and all(run.weights == [weights_path("effnet")] for run in digits)
    assert not any(run.needs_classifier for run in digits)


def test_fid_needs_its_package_and_its_weights_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    edits = {"experiments": {"cmnist_2to3": {"evaluation": {"metrics": ["fid"]}}}}
    found: list[object] = [None]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found[0])
    with pytest.raises(ConfigError, match="package torch_fidelity is not installed"):
        load_params(PARAMS, scale="smoke", overrides=edits)
    found[0] = object()
    with pytest.raises(ConfigError) as caught:
        load_params(PARAMS, scale="smoke", overrides=edits)
    for part in ("evaluation.metrics", str(weights_path("inception")), "95628359 bytes", "place"):
        assert part in str(caught.value)
    (tmp_path / "mirror").mkdir()
    with (tmp_path / "mirror" / INCEPTION.name).open("wb") as file:
        file.truncate(INCEPTION.size_bytes)  # its hash is checked by the job that fetches it
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "mirror"))
    params = load_params(PARAMS, scale="smoke", overrides=edits)
    assert any(run.weights == [weights_path("inception")] for run in params.runs)
