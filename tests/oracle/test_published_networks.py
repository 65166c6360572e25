"""Published weights give the published numbers. They are fetched once, and skipped without them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch

from entropic_ot.data.fetch import MissingFilesError, fetch_files
from entropic_ot.data.sources import HttpsSource, PypiSource, RemoteFile
from entropic_ot.data.weights import EFFICIENTNET_LITE0, LPIPS_ALEXNET
from entropic_ot.errors import DataError
from entropic_ot.metrics.features import effnet_features, import_torchvision
from entropic_ot.metrics.perceptual import lpips, lpips_cost, lpips_diversity, lpips_network
from entropic_ot.networks.efficientnet_lite import EfficientNetLite0
from entropic_ot.networks.lpips_alexnet import SMALLEST_SIDE, LPIPSAlexNet

_EXAMPLES = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/imgs"


def _example(name: str, sha256: str, size_bytes: int) -> RemoteFile:
    return RemoteFile(name, sha256, size_bytes, (HttpsSource(f"{_EXAMPLES}/{name}"),))


EXAMPLES = (
    _example(
        "ex_ref.png", "57aff3a0aeb6ebea151411f35b4487ea130aedcac6addd91c8c015969f9df097", 9464
    ),
    _example("ex_p0.png", "f44901a99c82755cfe78cdbde66579ae06cd0ebbba4a2539aa35ef96bbe703db", 7518),
    _example(
        "ex_p1.png", "6ada2a42a3378bfa408027ba2d54a827c6f2cec30a0506e4f140fddaca661022", 10078
    ),
)
FLOWER = RemoteFile(
    "flower.jpg",
    "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    142_987,
    (PypiSource("scikit-learn", "1.7.2", "sklearn/datasets/images/flower.jpg"),),
)


def fetched(request: pytest.FixtureRequest, *files: RemoteFile) -> Path:
    """A folder that keeps the files between runs of the tests; skips without them."""
    assert request.config.cache is not None
    folder = request.config.cache.mkdir("entropic-ot-weights")
    try:
        fetch_files(files, folder)
    except MissingFilesError as error:
        pytest.skip(f"cannot be downloaded here: {', '.join(f.name for f in files)} ({error})")
    return folder


def read_image(path: Path) -> np.ndarray:
    """[1, 3, h, w] in [-1, 1]."""
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(path.read_bytes())).convert("RGB")
    return np.asarray(image, dtype=np.float32).transpose(2, 0, 1)[None] / 127.5 - 1


# --- LPIPS ----------------------------------------------------------------------------------------


def random_tree() -> dict[str, dict[str, dict[str, np.ndarray] | np.ndarray]]:
    """Weights by the names and shapes of the published file."""
    rng = np.random.default_rng(0)
    shapes = [(11, 3, 64), (5, 64, 192), (3, 192, 384), (3, 384, 256), (3, 256, 256)]
    tree: dict = {"AlexNet_0": {}}
    for i, (size, num_in, num_out) in enumerate(shapes):
        kernel = rng.standard_normal((size, size, num_in, num_out)) / (size * num_in**0.5)
        bias = rng.standard_normal(num_out) / 10
        arrays = {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
        tree["AlexNet_0"][f"Conv_{i}"] = arrays
        head = rng.uniform(0, 1, (1, 1, num_out, 1)).astype(np.float32)
        tree[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": head}}
    return tree


def random_network() -> LPIPSAlexNet:
    network = LPIPSAlexNet().eval()
    network.load_arrays(random_tree())
    return network


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("side", [31, 64])
def test_lpips_is_the_papers_formula_on_torchvisions_alexnet(side: int) -> None:
    pytest.importorskip("scipy", reason="the workflow's packages are not installed")
    import_torchvision()
    from torchvision.models import alexnet

    tree, layers = random_tree(), alexnet().features.eval()
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    for i, layer in enumerate(convolutions):
        arrays = tree["AlexNet_0"][f"Conv_{i}"]
        layer.weight.data = torch.from_numpy(arrays["kernel"]).permute(3, 2, 0, 1)
        layer.bias.data = torch.from_numpy(arrays["bias"])

    def activations(image: np.ndarray) -> list[np.ndarray]:
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        scaled = ((image + 1) / 2 - mean[:, None, None]) / std[:, None, None]
        hidden, found = torch.from_numpy(scaled).float()[None], []
        for layer in layers[:12]:
            hidden = layer(hidden)
            if isinstance(layer, torch.nn.ReLU):
                found.append(hidden[0].detach().double().numpy().copy())
        return found

    x, y = noise(2, 3, side, side), noise(2, 3, side, side, seed=1)
    truth = [0.0, 0.0]
    for k in range(2):
        for i, (a, b) in enumerate(zip(activations(x[k]), activations(y[k]), strict=True)):
            a, b = a / np.linalg.norm(a, axis=0), b / np.linalg.norm(b, axis=0)
            head = tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"][0, 0, :, 0]
            truth[k] += np.einsum("c,chw->hw", head, (a - b) ** 2).mean()
    # Float32 activations, of which a few hundred are added up.
    assert lpips(random_network(), x, y) == pytest.approx(truth, rel=1e-5)


def test_lpips_means() -> None:
    network, y = random_network(), noise(2, 3, 3, 32, 32)
    pairs = [(0, 1), (0, 2), (1, 2)]
    values = [[lpips(network, z[i][None], z[j][None])[0] for i, j in pairs] for z in y]
    assert lpips_diversity(network, y) == pytest.approx(np.mean(values), rel=1e-6)
    assert lpips_diversity(network, np.repeat(y[:, :1], 3, axis=1)) == 0
    x = noise(3, 3, 32, 32, seed=2)
    assert lpips_cost(network, x, y[0]) == pytest.approx(lpips(network, x, y[0]).mean(), rel=1e-6)
    assert lpips_cost(network, x, y[0]) == pytest.approx(lpips_cost(network, y[0], x), rel=1e-6)


def test_lpips_refuses_what_it_cannot_measure() -> None:
    network, small = random_network(), noise(1, 3, 30, 40)
    with pytest.raises(DataError, match=f"sides of {SMALLEST_SIDE} pixels"):
        lpips(network, small, small)
    with pytest.raises(ValueError, match="one shape"):
        lpips(network, small, small[..., 1:])
    with pytest.raises(ValueError, match="two samples"):
        lpips_diversity(network, noise(2, 1, 3, 32, 32))
    tree = random_tree()
    tree["AlexNet_0"]["Conv_2"]["bias"] = np.zeros(1, np.float32)  # would broadcast
    with pytest.raises(ValueError, match=r"\(1,\) for \(384,\)"):
        network.load_arrays(tree)


@pytest.mark.slow
def test_lpips_weights_and_their_heads(request: pytest.FixtureRequest) -> None:
    network = lpips_network(fetched(request, LPIPS_ALEXNET))
    heads = b"".join(head.detach().numpy().tobytes() for head in network.heads)
    # The five tensors of weights/v0.1/alex.pth in the wheel of lpips 0.1.4, one after another.
    assert (
        hashlib.sha256(heads).hexdigest()
        == "718a8b40b0d22f96192d34ab93c0db5c7943558ff6c2407f44812dce2f29b5f4"
    )


@pytest.mark.slow
def test_lpips_of_the_published_examples(request: pytest.FixtureRequest) -> None:
    folder = fetched(request, LPIPS_ALEXNET, *EXAMPLES)
    reference, first, second = (read_image(folder / file.name) for file in EXAMPLES)
    network = lpips_network(folder)
    # What the package lpips 0.1.4 itself computes (0.721881 and 0.137566); float32, where other
    # kernels add up in another order.
    assert lpips(network, reference, first)[0] == pytest.approx(0.72188, abs=1e-4)
    assert lpips(network, reference, second)[0] == pytest.approx(0.13757, abs=1e-4)


# --- EfficientNet-Lite0 ---------------------------------------------------------------------------


@pytest.mark.slow
def test_efficientnet_knows_a_flower(request: pytest.FixtureRequest) -> None:
    """Of 1000 classes, number 985 is daisy: wrong padding, scale or names would not find it."""
    folder = fetched(request, EFFICIENTNET_LITE0, FLOWER)
    photo = read_image(folder / FLOWER.name)
    side = min(photo.shape[2:])
    top, left = (photo.shape[2] - side) // 2, (photo.shape[3] - side) // 2
    square = photo[:, :, top : top + side, left : left + side]
    features = effnet_features(folder)(square)
    network = EfficientNetLite0().eval()
    path = folder / EFFICIENTNET_LITE0.name
    network.load_published(torch.load(path, map_location="cpu", weights_only=True))
    assert features.shape == (1, 1280)
    assert int(network.last(torch.from_numpy(features)).argmax()) == 985
