"""Seconds, memory, operations, the machine's peak, and how far two outcomes are apart."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench_config import SolverCase
from cases import FLOPS_BATCH, Side, SolverWorkload, Workload, few_points


def synchronise(device: torch.device) -> None:
    """Wait for the GPU, if there is one."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(run: Callable[[], None], device: torch.device) -> float:
    """Wall-clock seconds of one call."""
    synchronise(device)
    began = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - began


def interleaved_medians(
    workloads: dict[Side, Workload], *, repeats: int, device: torch.device
) -> dict[Side, float]:
    """Median seconds of each side, in turns, A, B, A, B, ..., once their `first` has run.

    In turns, because a machine that others use as well is slower at one moment than at the next.
    """
    seconds: dict[Side, list[float]] = {side: [] for side in workloads}
    for _ in range(repeats):
        for side, workload in workloads.items():
            seconds[side].append(seconds_of(workload.run, device))
    return {side: median(values) for side, values in seconds.items()}


def agreement(reference: dict[str, Tensor], fast: dict[str, Tensor]) -> tuple[float, float]:
    """Largest |fast - plain| / |plain| and smallest cosine over the parts of the outcome."""
    assert reference.keys() == fast.keys(), f"{reference.keys()} and {fast.keys()}"
    worst, cosine = 0.0, 1.0
    for name, expected in reference.items():
        a, b = expected.detach().double().flatten(), fast[name].detach().double().flatten()
        worst = max(worst, float((b - a).norm() / a.norm()))
        cosine = min(cosine, float(a @ b / (a.norm() * b.norm())))
    return worst, cosine


def count_flops(case: SolverCase, device: torch.device) -> float:
    """Floating-point operations of one run, without those that the result does not depend on.

    Counted on the reference (matrix products and convolutions, a multiplication and an addition as
    two) with a few points, in proportion to the points of the case.
    """
    num_points = SolverWorkload(case, "reference", device).num_points
    workload = SolverWorkload(few_points(case, FLOPS_BATCH), "reference", device, waste=False)
    with FlopCounter() as counter:
        workload.run()
    return counter.flops * num_points / workload.num_points


class FlopCounter(TorchDispatchMode):
    """Adds up torch's own formulas for each operation that is run.

    torch's FlopCounterMode also follows which module an operation belongs to, by hooks that forbid
    torch.autograd.grad with respect to a module's input, which is what a score is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out


def matmul_peak(dtype: torch.dtype, device: torch.device, *, repeats: int = 5) -> float:
    """Best floating-point operations per second of a square matrix product, over a few sizes."""
    sizes = (4096, 8192, 16384) if device.type == "cuda" else (1024, 2048)
    best = 0.0
    for size in sizes:
        a = torch.randn(size, size, device=device).to(dtype)
        out = torch.empty_like(a)

        def multiply(a: Tensor = a, out: Tensor = out) -> None:
            torch.mm(a, a, out=out)

        multiply()
        fastest = min(seconds_of(multiply, device) for _ in range(repeats))
        best = max(best, 2 * size**3 / fastest)
    return best


class PeakMemory:
    """The most memory in use since `start`, beyond what was in use at `start`, in MB."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.baseline = torch.cuda.memory_allocated(self.device)
            return
        # A process inherits its parent's ru_maxrss; /proc has the peak of the process itself, and
        # writing 5 sets that to what is in use now.
        Path("/proc/self/clear_refs").write_text("5")
        self.baseline = _resident_peak()

    def stop(self) -> float:
        """MB since `start`."""
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device)
        else:
            peak = _resident_peak()
        return (peak - self.baseline) / 2**20


def _resident_peak() -> int:
    """Bytes; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status: found no VmHWM line")


def peak_memory_mb(name: str, side: Side, *, settings: Path, device: torch.device) -> float | None:
    """The peak of one run of one side in a process of its own; None when that fails."""
    script = Path(__file__).with_name("peak_memory.py")
    words = [sys.executable, str(script), name, side, str(settings), str(device)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{name}: no peak memory of {side}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return float(json.loads(done.stdout.splitlines()[-1])["peak_mb"])
