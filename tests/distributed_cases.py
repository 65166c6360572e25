"""Small trainings for test_distributed.py, in this process or, run by torchrun, in several."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from generator_configs import augmentation, training_config

from entropic_ot import distributed
from entropic_ot.device import make_rng
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.fit import fit, train_steps
from entropic_ot.experiments.sample import sample_all, shared
from entropic_ot.experiments.store import RunStore, save_tree
from entropic_ot.generators.config import GeneratorTrainingConfig
from entropic_ot.generators.training import GeneratorTraining
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.problems.base import ArrayDistribution, EOTProblem
from entropic_ot.solvers.config import (
    AdjointConfig,
    EgNOTConfig,
    ENOTConfig,
    GaussianBaseConfig,
    LightSBConfig,
)
from entropic_ot.solvers.egnot import EgNOT
from entropic_ot.solvers.enot import ENOT
from entropic_ot.solvers.lightsb import LightSB

EPSILON = 0.5
VECTOR, IMAGE, GENERATED = (3,), (3, 8, 8), (3, 16, 16)
STEPS = 6
BATCH = 12  # a multiple of 2 and 3
MLP = NetworkConfig(kind="mlp", width=8, depth=2)
UNET = NetworkConfig(kind="unet", width=4, depth=2)
RESNET = NetworkConfig(kind="resnet", width=4, depth=2)

PATH = ENOTConfig(
    drift=MLP,
    potential=MLP,
    num_euler_steps=3,
    batch_size=BATCH,
    learning_rate_schedule="constant",
)
SOFTENED = dataclasses.replace(
    PATH,
    drift_form="softened_endpoint",
    drift_loss="adjoint",
    adjoint=AdjointConfig(num_paths=3, num_exchange_rounds=3, batch_size=18, gradient_share=0.5),
)
IMAGES = dataclasses.replace(
    PATH,
    drift=UNET,
    potential=RESNET,
    drift_form="gaussian_endpoint",
    gaussian_base=GaussianBaseConfig(num_points=64),
    checkpoint_activations=True,
)
# 7 of 12 chains are new once the buffer is full, which 2 or 3 processes cannot share evenly.
REPLAY = EgNOTConfig(
    potential=MLP,
    num_langevin_steps=3,
    num_warm_up_steps=2,
    buffer_size=30,
    buffer_probability=0.4,
    learning_rate_schedule="constant",
    batch_size=BATCH,
)
PERSISTENT = dataclasses.replace(REPLAY, chains="persistent", potential=RESNET)
GAUSSIAN = dataclasses.replace(
    PERSISTENT, base_potential="gaussian", gaussian_base=GaussianBaseConfig(num_points=64)
)
LIGHTSB = LightSBConfig(num_components=4, batch_size=BATCH, learning_rate_schedule="constant")
GENERATOR = training_config(
    batch_size=BATCH,
    augmentation=augmentation(kind="ada", transforms=("rotation", "saturation", "cutout")),
)

Config = ENOTConfig | EgNOTConfig | LightSBConfig | GeneratorTrainingConfig
CASES: dict[str, tuple[Config, tuple[int, ...]]] = {
    "enot-path": (PATH, VECTOR),
    "enot-adjoint": (SOFTENED, VECTOR),
    "enot-images": (IMAGES, IMAGE),
    "egnot-replay": (REPLAY, VECTOR),
    "egnot-persistent": (PERSISTENT, IMAGE),
    "egnot-gaussian": (GAUSSIAN, IMAGE),
    "lightsb": (LIGHTSB, VECTOR),
    "generator": (GENERATOR, GENERATED),
}

SAMPLED = ("enot-path", "egnot-replay", "lightsb")


def arrays(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Source and target, float32."""
    rng = np.random.default_rng(0)
    source, target = rng.standard_normal((2, 40, *shape), dtype=np.float32)
    return source, 0.5 * target + 0.2


def train(
    name: str, steps: int = STEPS, store: RunStore | None = None, **changed: Any
) -> dict[str, Any]:
    """The state of a case after so many steps; `changed` settings."""
    config, shape = CASES[name]
    config = dataclasses.replace(config, **changed)
    options: dict[str, Any] = {"steps": steps, "seed": 3, "store": store, "log_points": steps}
    options |= {"label": name, "show": lambda line: None}
    if isinstance(config, GeneratorTrainingConfig):
        training = GeneratorTraining(config, shape)
        data = ArrayDistribution(arrays(shape)[1].clip(-1, 1))
        train_steps(training, lambda rng, _progress: training.step(data, rng=rng), **options)
        return training.state_dict()
    solver = make_solver(config, shape)
    fit(solver, EOTProblem.from_arrays(*arrays(shape), epsilon=EPSILON), **options)
    return solver.state_dict()


def make_solver(config: Config, shape: tuple[int, ...]) -> ENOT | EgNOT | LightSB:
    if isinstance(config, ENOTConfig):
        return ENOT(shape, config, epsilon=EPSILON)
    if isinstance(config, EgNOTConfig):
        return EgNOT(shape, config, epsilon=EPSILON)
    assert isinstance(config, LightSBConfig)
    return LightSB(shape, config, epsilon=EPSILON)


def samples(name: str) -> torch.Tensor:
    """From a solver that is not trained, in batches of 4, 4 and 3 points."""
    config, shape = CASES[name]
    x = torch.from_numpy(arrays(shape)[0][:11])
    solver = shared(make_solver(config, shape))
    return sample_all(solver, x, rng=make_rng(1), batch_size=4, label=name)


def tensors(tree: Any, name: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a nest by their path."""
    if isinstance(tree, torch.Tensor):
        return {name: tree}
    items: Any = ()
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, (list, tuple)):
        items = enumerate(tree)
    return {k: t for key, node in items for k, t in tensors(node, f"{name}/{key}").items()}


def work(folder: Path) -> None:
    """What each process does: every case, and going on with what one process began."""
    for name in CASES:
        state = train(name)
        for key, tensor in tensors(state).items():
            told = tensor.clone()
            dist.broadcast(told, 0)
            assert torch.equal(told, tensor), f"{name}{key} differs between processes"
        if distributed.is_main():
            save_tree(folder / f"{name}.safetensors", state, header={})
        train(name, 2 * STEPS // 3, RunStore(folder / name, fingerprint="a"))
    drawn = {name: samples(name) for name in SAMPLED}
    if distributed.is_main():
        save_tree(folder / "samples.safetensors", drawn, header={})
    refusals = {
        f"refusal-{dist.get_rank()}": ("enot-path", {"batch_size": 7}),
        "refusal-generator": ("generator", {"group_size": BATCH}),
    }
    for file, (name, changed) in refusals.items():
        try:
            train(name, **changed)
        except ConfigError as error:
            (folder / file).write_text(str(error))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.group(torch.device("cpu")):
        work(Path(sys.argv[1]))
