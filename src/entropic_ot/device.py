"""Where torch computes, and with how many bits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from entropic_ot.errors import ConfigError
from entropic_ot.solvers.config import Precision


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """CUDA when it is there ("auto"); ConfigError when it is asked for and is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "compute.device: found 'cuda' on a machine where torch sees no CUDA device; "
            "use 'auto' or 'cpu', or install a CUDA build of torch and its driver"
        )
    return torch.device(name)


def choose_precision(
    name: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> Precision:
    """bfloat16 where the hardware multiplies it natively ("auto"), else float32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device)[0] >= 8
    else:
        native = _cpu_has("amx_bf16") or _cpu_has("avx512_bf16")
    return "bfloat16" if native else "float32"


def choose_compile(name: Literal["auto", "always", "never"], device: torch.device) -> bool:
    """Whether networks are compiled by torch.compile: "auto" does so on CUDA only.

    On a CPU it does not pay (measured in docs/performance.md).
    """
    return name == "always" or (name == "auto" and device.type == "cuda")


def _cpu_has(flag: str) -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and flag in cpuinfo.read_text().split()


def describe_device(device: torch.device) -> str:
    """The device in words: the GPU's name, or the CPU's model and number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpu_name()}, {torch.get_num_threads()} threads"


def _cpu_name() -> str:
    """As "AMD EPYC (family 25, model 17)": a virtual machine's name alone tells no generation."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    pairs = [line.partition(":")[::2] for line in reversed(lines)]
    known = {key.strip(): value.strip() for key, value in pairs}
    name = known.get("model name", "CPU")
    if "cpu family" not in known or "model" not in known:
        return name
    return f"{name} (family {known['cpu family']}, model {known['model']})"


def make_rng(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own on this device, seeded."""
    return torch.Generator(device).manual_seed(seed)
