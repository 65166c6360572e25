"""The chain of AFHQ from a mirror folder to the metrics, with a small pickle and photographs.

The experiment is afhq_cat2dog of params.yaml with its variants of AFHQ; only sizes and numbers of
steps are smaller. Both files are in the published formats, and have other contents.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from published_pickles import modules_of_the_publisher, published, small, written
from tiny_project import REPOSITORY, Project, jobs_in, make_project, tiny_params

from entropic_ot.data.sources import ACCEPT_VARIABLE, MIRROR_VARIABLE
from entropic_ot.files import file_sha256
from entropic_ot.networks.stylegan2 import Generator
from entropic_ot.networks.stylegan2_file import load_generator

pytestmark = pytest.mark.extra  # twenty jobs: a minute, and more beside others

SIZE = 32
NUM_TRAIN, NUM_TEST = 12, 8
DATA = f"afhq-cat2dog-{SIZE}px"
EGNOT = "afhq_cat2dog-afhq/egnot-eps1-seed0"
ENOT = "afhq_cat2dog-afhq-encoded/enot-eps1-seed0"
METRICS = ["cost_half_l2", "conditional_variance", "latent_energy_distance"]


@dataclass(frozen=True)
class ProjectWithMirror(Project):
    """A project whose user has both files in a folder, and accepts them as they are."""

    mirror: Path

    @property
    def environment(self) -> dict[str, str]:
        accepted = ":".join(file_sha256(path) for path in sorted(self.mirror.iterdir()))
        return super().environment | {
            MIRROR_VARIABLE: str(self.mirror),
            ACCEPT_VARIABLE: accepted,
        }


def write_photographs(path: Path) -> None:
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as bundle:
        for folder, num in {"train": NUM_TRAIN, "val": NUM_TEST}.items():
            for name in ("cat", "dog", "wild"):
                for k in range(num):
                    buffer = io.BytesIO()
                    pixels = rng.integers(0, 256, size=(40, 36, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(buffer, "JPEG")
                    member = f"afhq/{folder}/{name}/flickr_{name}_{k:06d}.jpg"
                    bundle.writestr(member, buffer.getvalue())


def afhq_params() -> dict[str, Any]:
    """The repository's experiment on AFHQ at the scale smoke, on images of 32 pixels."""
    params = tiny_params()
    params["compute"]["precision"] = "float32"  # so that images compare
    repository = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["generators"] = {"afhq_dogs": repository["generators"]["afhq_dogs"]}
    smoke = params["scales"]["smoke"]
    encoding = smoke["generators"]["cifar10_dogs"]["encoding"]
    smoke["generators"] = {"afhq_dogs": {"encoding": encoding}}
    cats = repository["experiments"]["afhq_cat2dog"]
    variants = {name: cats["variants"][name] for name in ("afhq", "afhq-encoded")}
    for variant in variants.values():
        variant["enabled"] = True
        variant["problem"]["images"]["image_size"] = SIZE
        variant["evaluation"] = {"num_samples": NUM_TEST, "num_paths": 2, "metrics": METRICS}
        variant["evaluation"] |= {"num_conditional": 2, "num_per_source": 2, "batch_size": 4}
    few = {"epsilons": [1], "num_steps": 2}
    variants["afhq"]["problem"]["start"] = "encoded"  # so that it depends on the encoding
    egnot = variants["afhq"]["methods"]["egnot"]
    egnot |= few
    egnot["settings"] |= {"num_langevin_steps": 3, "num_test_langevin_steps": 5}
    variants["afhq-encoded"]["methods"] = {
        "egnot": None,
        "enot": variants["afhq-encoded"]["methods"]["enot"] | few,
    }
    params["experiments"] = {"afhq_cat2dog": cats | {"enabled": True, "variants": variants}}
    figure = {"experiments": ["afhq_cat2dog"], "notebook": "latent", "caption": "One"}
    params["figures"] = {"latent": figure}
    smoke["experiments"] = {}
    return params


def test_photographs_and_a_published_pickle_become_translations_and_metrics(
    tmp_path: Path,
) -> None:
    net = small()
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with modules_of_the_publisher():
        written(mirror / "afhqdog.pkl", published(net))
    write_photographs(mirror / "afhq.zip")
    made = make_project(
        tmp_path / "project", afhq_params(), figures=("latent",), real_notebooks=("tables",)
    )
    project = ProjectWithMirror(made.folder, mirror)
    output = project.run("snakemake", "--cores", str(os.cpu_count()), "--", "all")
    runs = {
        f"{verb} {run.replace('/', ' ')}"
        for verb in ("training", "sampling", "evaluating")
        for run in (EGNOT, ENOT)
    }
    assert jobs_in(output) == runs | {
        "fetching AFHQ", "fetching the published generator of AFHQ's dogs", f"preparing {DATA}",
        "converting the generator afhq_dogs", f"encoding {DATA} by afhq_dogs",
        "making the tables", "comparing with the papers", "drawing latent",
        "writing the pages of results",
    }  # fmt: skip
    assert project.planned() == set()

    results = project / "results/smoke"
    generator = load_generator(results / "generators/afhq_dogs/generator.safetensors")
    assert generator.config == net.config
    header = json.loads((results / "generators/afhq_dogs/provenance.json").read_text())
    assert list(header["data_sha256"].values()) == [file_sha256(mirror / "afhqdog.pkl")]
    check_encoding(results / f"latents/afhq_dogs/{DATA}.npz", net)
    with np.load(results / f"samples/{EGNOT}.npz") as samples:
        z = torch.from_numpy(samples["latent_y"])
        assert z.shape == (NUM_TEST, net.config.z_dim)
        # The pickled network itself makes the translations of the latents that were found.
        with torch.no_grad():
            np.testing.assert_allclose(samples["y"], net(z).numpy(), atol=1e-3, rtol=1e-3)
    for run in (EGNOT, ENOT):
        rows = json.loads((results / f"metrics/{run}.json").read_text())["rows"]
        values = {row["metric"]: row["value"] for row in rows}
        assert values.keys() == set(METRICS) and all(map(math.isfinite, values.values()))


def check_encoding(path: Path, net: Generator) -> None:
    """All images are encoded; the pickled network makes what is said of them."""
    with np.load(path) as latents:
        for name, num in (("source_train", NUM_TRAIN), ("target_test", NUM_TEST)):
            w, error = torch.from_numpy(latents[f"{name}_w"]), latents[f"{name}_error"]
            assert w.shape == (num, net.config.w_dim) and error.shape == (num,)
            assert (error <= latents[f"{name}_encoder_error"] + 1e-6).all()
            kept = latents[f"{name}_reconstruction"]
            with torch.no_grad():
                made = net.synthesis(w[: len(kept), None].expand(-1, net.config.num_ws, -1))
            difference = made.clamp(-1, 1).numpy() - (kept / 127.5 - 1)
            assert np.abs(difference).max() < 1 / 127.5  # bytes: half of that, and rounding
