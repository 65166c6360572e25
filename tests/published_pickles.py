"""Generators written in the published format of StyleGAN2-ADA, for tests; no published code.

Modules are pickled as calls of torch_utils.persistence with their source text and state, nested in
one another.
"""

from __future__ import annotations

import collections
import contextlib
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from entropic_ot.networks.stylegan2 import Architecture, Generator, GeneratorConfig


class EasyDict(dict):  # type: ignore[type-arg]
    """A dict that is a class of another package to pickle."""


class Persistent:
    """Reduces as the published modules do; `state` as in an nn.Module's __dict__."""

    def __init__(self, class_name: str, state: dict[str, Any], *, source: str = "") -> None:
        self.meta = {
            "type": "class", "version": 6, "module_src": source,
            "class_name": class_name, "state": state,
        }  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


@contextlib.contextmanager
def modules_of_the_publisher() -> Iterator[None]:
    """Modules of the publisher's names, to pickle with; using what is in them is an error."""

    def _reconstruct_persistent_obj(meta: Any) -> Any:
        raise AssertionError("the pickle was executed")

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    persistence = types.ModuleType("torch_utils.persistence")
    persistence.__dict__["_reconstruct_persistent_obj"] = _reconstruct_persistent_obj
    util = types.ModuleType("dnnlib.util")
    util.__dict__["EasyDict"] = EasyDict
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EasyDict, "__module__", "dnnlib.util")
        for name, module in {
            "torch_utils": types.ModuleType("torch_utils"),
            "torch_utils.persistence": persistence,
            "dnnlib": types.ModuleType("dnnlib"),
            "dnnlib.util": util,
        }.items():
            patch.setitem(sys.modules, name, module)
        yield


def persistent(module: nn.Module, **extra: Any) -> Persistent:
    """`module` with all in it in the published form; modules with a filter get its buffer."""
    buffers = dict(module._buffers)
    if type(module).__name__ in ("SynthesisBlock", "StyledConv", "EqualConv"):
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        buffers["resample_filter"] = torch.outer(taps, taps)
    state = {
        "training": False,
        "_parameters": collections.OrderedDict(module._parameters),
        "_buffers": collections.OrderedDict(buffers),
        "_non_persistent_buffers_set": set(),
        "_forward_hooks": collections.OrderedDict(),
        "_modules": collections.OrderedDict(
            (name, persistent(child)) for name, child in module._modules.items() if child
        ),
        # Published modules keep the gains that they compute by NumPy.
        "weight_gain": 1 / np.sqrt(3), "act_gain": np.float32(1.5), "num": np.int64(-7),
        "_init_args": (),
        "_init_kwargs": {},
    }  # fmt: skip
    return Persistent(type(module).__name__, state | extra, source="raise SystemExit('executed')")


def small(architecture: Architecture = "skip", *, clamp: float | None = 256) -> Generator:
    torch.manual_seed(0)
    config = GeneratorConfig(
        channels=(8, 6, 4, 4), img_channels=3, z_dim=7, w_dim=5, mapping_width=6,
        mapping_layers=2, architecture=architecture, clamp=clamp,
    )  # fmt: skip
    net = Generator(config)
    for name, tensor in net.state_dict().items():
        if name.endswith(("bias", "noise_strength", "w_avg")):  # they start at zero
            tensor.normal_()
    return net


def arguments(net: Generator) -> EasyDict:
    config = net.config
    mapping = EasyDict(num_layers=config.mapping_layers, lr_multiplier=config.mapping_rate)
    synthesis = EasyDict(
        channel_base=128, channel_max=8, num_fp16_res=4, conv_clamp=config.clamp,
        architecture=config.architecture, resample_filter=[1, 3, 3, 1],
    )  # fmt: skip
    return EasyDict(
        z_dim=config.z_dim, c_dim=0, w_dim=config.w_dim, img_resolution=config.resolution,
        img_channels=config.img_channels, mapping_kwargs=mapping, synthesis_kwargs=synthesis,
    )  # fmt: skip


def published(net: Generator, **changed: Any) -> dict[str, Any]:
    """The contents of a published file with `net` as G_ema, and another network as G and D."""
    ema = persistent(net, _init_kwargs=EasyDict(arguments(net) | changed))
    other = persistent(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    return {
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset"),
        "G": other, "D": other, "augment_pipe": None, "G_ema": ema,
    }  # fmt: skip


def written(path: Path, contents: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(contents, protocol))
    return path
