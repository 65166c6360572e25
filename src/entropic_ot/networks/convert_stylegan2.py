"""The generator of a published StyleGAN2-ADA pickle (PyTorch) as safetensors."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, cast

import torch

from entropic_ot.errors import ConfigError, DataError
from entropic_ot.inputs import contents_of, expect_unchanged
from entropic_ot.networks.stylegan2 import Architecture, Generator, GeneratorConfig
from entropic_ot.networks.stylegan2_file import FORMAT
from entropic_ot.networks.stylegan2_layers import blur_kernel
from entropic_ot.networks.stylegan2_pickle import (
    PickledModule,
    PickledTensor,
    misfit,
    named_tensors,
    open_tensor,
    read_module,
)
from entropic_ot.tensor_file import write_tensors

_SIZES = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
_DEFAULTS: dict[str, dict[str, Any]] = {
    "mapping_kwargs": {
        **{"num_layers": 8, "embed_features": None, "layer_features": None, "w_avg_beta": None},
        **{"activation": "lrelu", "lr_multiplier": 0.01},
    },
    "synthesis_kwargs": {
        **{"channel_base": None, "channel_max": None, "num_fp16_res": 0, "conv_clamp": None},
        **{"architecture": "skip", "resample_filter": [1, 3, 3, 1], "use_noise": True},
        **{"activation": "lrelu", "fp16_channels_last": False, "kernel_size": 3},
    },
}
"""Arguments that these generators are made with, and what they are where they are not given."""

_MAX_SIZE = 2**16
"""No size of a published tensor is larger than 1024."""

_FIXED = {
    "c_dim": 0,
    "mapping_kwargs.activation": "lrelu",
    "synthesis_kwargs.activation": "lrelu",
    "synthesis_kwargs.use_noise": True,
    "synthesis_kwargs.kernel_size": 3,
    "synthesis_kwargs.resample_filter": [1, 3, 3, 1],
}
"""What they must be."""


def convert_generator(pickle_path: Path, out: Path) -> GeneratorConfig:
    """Write the averaged generator G_ema of a published pickle as safetensors, atomically.

    Raises:
        DataError: a pickle with other globals, or that holds no such generator; `out` stays as it
            was.
    """
    if out.resolve() == pickle_path.resolve():
        raise DataError.about(
            out, found="the pickle itself", expected="another file to write to",
            action="Choose another name, ending with .safetensors.",
        )  # fmt: skip
    contents = contents_of([pickle_path])
    module = read_module(pickle_path, "G_ema", class_name="Generator")
    records = dict(named_tensors(pickle_path, module))
    config = _config_of(pickle_path, module, records)
    tensors = _opened(pickle_path, config, records)
    expect_unchanged(contents)
    (source_sha256,) = contents[pickle_path].values()
    header = dataclasses.asdict(config) | {
        "resolution": config.resolution,
        "num_ws": config.num_ws,
        "source": pickle_path.name,
        "source_sha256": source_sha256,
    }
    write_tensors(out, tensors, {"format": FORMAT, "header": json.dumps(header)})
    return config


def _arguments(path: Path, module: PickledModule) -> dict[str, Any]:
    """The constructor's keyword arguments, complete; an error if one would change the function."""
    given = module.state.get("_init_kwargs", {})
    if module.state.get("_init_args", ()) != () or type(given) is not dict:
        raise misfit(
            path, "_init_args", found=module.state.get("_init_args"), expected="keyword arguments"
        )
    for key in given:
        if key not in (*_SIZES, *_DEFAULTS):
            raise misfit(path, f"argument {key}", found=given[key], expected="none of this name")
    arguments: dict[str, Any] = {key: given.get(key) for key in _SIZES}
    for group, defaults in _DEFAULTS.items():
        own = given.get(group, {})
        if type(own) is not dict or not own.keys() <= defaults.keys():
            raise misfit(path, group, found=own, expected=f"some of {', '.join(defaults)}")
        arguments |= {f"{group}.{key}": own.get(key, value) for key, value in defaults.items()}
    for key, expected in _FIXED.items():
        found = arguments[key]
        if (list(found) if type(found) is tuple else found) != expected:
            raise misfit(path, f"argument {key}", found=found, expected=expected)
    return arguments


def _config_of(
    path: Path, module: PickledModule, records: dict[str, PickledTensor]
) -> GeneratorConfig:
    """The configuration: sizes from the tensors, the rest from the arguments; both must agree."""
    arguments = _arguments(path, module)
    rate = arguments["mapping_kwargs.lr_multiplier"]
    clamp = arguments["synthesis_kwargs.conv_clamp"]
    architecture = arguments["synthesis_kwargs.architecture"]
    if not _plain(rate) or not (clamp is None or _plain(clamp)) or type(architecture) is not str:
        raise misfit(
            path, "arguments lr_multiplier, conv_clamp, architecture",
            found=(rate, clamp, architecture), expected="a number, a number or None, and a name",
        )  # fmt: skip
    channels = [_size(path, records, "synthesis.b4.conv1.weight", 4)[0]]
    while (name := f"synthesis.b{4 * 2 ** len(channels)}.conv1.weight") in records:
        channels.append(_size(path, records, name, 4)[0])
    last = f"synthesis.b{4 * 2 ** (len(channels) - 1)}"
    num_layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in records)
    first = _size(path, records, "mapping.fc0.weight", 2)
    try:
        config = GeneratorConfig(
            channels=tuple(channels),
            img_channels=_size(path, records, f"{last}.torgb.weight", 4)[0],
            z_dim=first[1],
            w_dim=_size(path, records, f"mapping.fc{num_layers - 1}.weight", 2)[0],
            mapping_layers=num_layers,
            mapping_width=first[0],
            mapping_rate=float(rate),
            architecture=cast("Architecture", architecture),
            clamp=None if clamp is None else float(clamp),
        )
    except ConfigError as error:
        raise DataError(f"{path}: a generator that cannot be: {error}") from None
    ours = (config.z_dim, 0, config.w_dim, config.resolution, config.img_channels)
    for key, size in zip(_SIZES, ours, strict=True):
        if arguments[key] not in (None, size):
            raise misfit(path, f"argument {key}", found=arguments[key], expected=size)
    return config


def _plain(number: Any) -> bool:
    return type(number) in (int, float) and 0 < number < 1e9


def _size(path: Path, records: dict[str, PickledTensor], name: str, ndim: int) -> tuple[int, ...]:
    size = records[name].size if name in records else None
    if size is None or len(size) != ndim or not all(0 < n < _MAX_SIZE for n in size):
        raise misfit(path, name, found=size, expected=f"a tensor of {ndim} dimensions")
    return size


def _opened(
    path: Path, config: GeneratorConfig, records: dict[str, PickledTensor]
) -> dict[str, torch.Tensor]:
    """The tensors in float32, which are those of a generator of `config`, no more and no less."""
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in Generator(config).state_dict().items()}
    filters = [name for name in records if name.endswith("resample_filter")]
    found = {name: r.size for name, r in records.items() if name not in filters}
    for name in sorted(expected.keys() ^ found.keys()):
        sizes = (found.get(name, "nothing"), expected.get(name, "nothing"))
        raise misfit(path, name, found=sizes[0], expected=sizes[1])
    for name, size in expected.items():
        if found[name] != size:
            raise misfit(path, name, found=found[name], expected=size)
    for name in filters:
        if records[name].size != (4, 4):
            raise misfit(path, name, found=records[name].size, expected="4 x 4")
        blur = open_tensor(path, name, records[name])
        if not torch.allclose(blur, blur_kernel(blur)):
            raise misfit(path, name, found=blur.tolist(), expected="the filter (1, 3, 3, 1)")
    return {name: open_tensor(path, name, records[name]) for name in expected}
