"""Converted generators against NVIDIA's own source, where a user has it; none of it is kept here.

`git clone https://github.com/NVlabs/stylegan2-ada-pytorch` and EOT_STYLEGAN2_SOURCE=<that folder>
(docs/conventions.md, section 9). A process of its own imports that source, makes generators,
pickles them as a training there does and computes their images on the CPU.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from entropic_ot.networks.convert_stylegan2 import convert_generator
from entropic_ot.networks.stylegan2_file import load_generator

pytestmark = pytest.mark.extra  # software from outside PyPI

SOURCE_VARIABLE = "EOT_STYLEGAN2_SOURCE"
TOLERANCE = 1e-3
"""Of a pixel, in float32, with the largest one scaled to 1; what is found is some 1e-6."""

COMMON: dict[str, Any] = {
    "architecture": "skip",
    "layers": 2,
    "channels": 3,
    "clamp": 256,
    "protocol": 4,
}
CONFIGURATIONS = {
    f"{resolution}-{architecture}-map{layers}": COMMON
    | {"resolution": resolution, "architecture": architecture, "layers": layers}
    for resolution, architecture, layers in itertools.product(
        (32, 64), ("orig", "skip", "resnet"), (2, 8)
    )
} | {
    "32-grey": COMMON | {"resolution": 32, "channels": 1},
    "64-grey-resnet": COMMON | {"resolution": 64, "channels": 1, "architecture": "resnet"},
    "32-map1": COMMON | {"resolution": 32, "layers": 1},
    "32-no-clamp": COMMON | {"resolution": 32, "clamp": None},
    "32-tight-clamp": COMMON | {"resolution": 32, "clamp": 0.5},
    "8-protocol3": COMMON | {"resolution": 8, "protocol": 3},
    "8-protocol5": COMMON | {"resolution": 8, "protocol": 5},
}
TRUNCATIONS = ((1.0, None), (0.7, None), (0.5, 3), (0.0, None))
NOISES = ("const", "none")
Z_DIM, W_DIM, NUM_IMAGES = 24, 16, 4

# Run with the folder of the source, a JSON file of the cases, and the folder to write to.
PUBLISHED = """\
import copy, json, pickle, sys
import numpy as np
import torch

source, settings, out = sys.argv[1:]
sys.path.insert(0, source)
import dnnlib

given = json.load(open(settings))
for name, case in given["cases"].items():
    torch.manual_seed(7)
    net = dnnlib.util.construct_class_by_name(**case["generator"])
    other = dnnlib.util.construct_class_by_name(**case["discriminator"])
    averages = [b for key, b in net.named_buffers() if key.endswith("w_avg")]
    with torch.no_grad():  # much of it starts at zero
        for tensor in [*net.parameters(), *averages]:
            tensor.normal_()
    modules = {"G": net, "D": other, "G_ema": net}
    frozen = {k: copy.deepcopy(m).eval().requires_grad_(False) for k, m in modules.items()}
    with open(f"{out}/{name}.pkl", "wb") as file:
        pickle.dump({"training_set_kwargs": {}} | frozen, file, case["protocol"])
    z = torch.randn(given["num"], net.z_dim)
    images = {
        f"{noise} {psi} {cutoff}": frozen["G_ema"](
            z, None, truncation_psi=psi, truncation_cutoff=cutoff, noise_mode=noise
        ).numpy()
        for noise in given["noises"]
        for psi, cutoff in given["truncations"]
    }
    np.savez(f"{out}/{name}.npz", z=z.numpy(), **images)
"""


def case(given: dict[str, Any]) -> dict[str, Any]:
    """The published constructors' arguments for one of the configurations."""
    widths = {"channel_base": 512, "channel_max": 32, "num_fp16_res": 0}
    widths |= {"conv_clamp": given["clamp"]}
    sizes = {"c_dim": 0, "img_resolution": given["resolution"], "img_channels": given["channels"]}
    generator = sizes | {
        "class_name": "training.networks.Generator", "z_dim": Z_DIM, "w_dim": W_DIM,
        "mapping_kwargs": {"num_layers": given["layers"]},
        "synthesis_kwargs": widths | {"architecture": given["architecture"]},
    }  # fmt: skip
    discriminator = sizes | widths | {"class_name": "training.networks.Discriminator"}
    return {
        "generator": generator, "discriminator": discriminator, "protocol": given["protocol"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pickle and images of each configuration, made by the published source."""
    given = os.environ.get(SOURCE_VARIABLE)
    if not given:
        pytest.skip(
            f"needs the source of stylegan2-ada-pytorch: set {SOURCE_VARIABLE} to its folder"
        )
    source = Path(given).expanduser().resolve()
    if not (source / "training/networks.py").is_file():
        pytest.fail(
            f"{SOURCE_VARIABLE}: found {given!r}, which has no training/networks.py, expected a "
            "clone of https://github.com/NVlabs/stylegan2-ada-pytorch. Correct it."
        )
    out = tmp_path_factory.mktemp("published")
    settings = out / "settings.json"
    cases = {name: case(given) for name, given in CONFIGURATIONS.items()}
    record = {"cases": cases, "num": NUM_IMAGES, "noises": NOISES, "truncations": TRUNCATIONS}
    settings.write_text(json.dumps(record))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    # On the CPU it needs no compiled plugin; nothing is written beside the source.
    environment |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-c", PUBLISHED, str(source), str(settings), str(out)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_converted_generator_makes_the_published_images(
    name: str, published: Path, tmp_path: Path
) -> None:
    convert_generator(published / f"{name}.pkl", tmp_path / "net.safetensors")
    ours = load_generator(tmp_path / "net.safetensors")
    differences = {}
    with np.load(published / f"{name}.npz") as theirs, torch.no_grad():
        z = torch.from_numpy(theirs["z"])
        for noise, (psi, cutoff) in itertools.product(NOISES, TRUNCATIONS):
            images = ours(z, noise=noise, truncation_psi=psi, truncation_cutoff=cutoff).numpy()
            expected = theirs[f"{noise} {psi} {cutoff}"]
            assert images.shape == expected.shape and images.dtype == expected.dtype == np.float32
            scale = max(1.0, float(np.abs(expected).max()))
            differences[noise, psi, cutoff] = float(np.abs(images - expected).max()) / scale
        const, none = (theirs[f"{noise} 1.0 None"] for noise in NOISES)
        assert np.abs(const - none).max() > 0.1, "the noise is not seen"
    print(f"{name}: largest difference {max(differences.values()):.1e}")
    assert max(differences.values()) <= TOLERANCE, differences
