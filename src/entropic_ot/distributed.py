"""Several processes that train one model: which rows of a batch are whose, what they exchange.

Each process draws the random numbers of the whole batch from the same stream and works on its own
rows; gradients are averaged before each update. So weights, optimisers, chains and generators of
random numbers are the same in every process, and those of one process up to the order of sums in
floating point (docs/decisions/0013). Without a process group of torch.distributed nothing here does
anything.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from entropic_ot.errors import ConfigError


def world_size() -> int:
    """Processes that train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process is the one that writes and prints."""
    return world_size() == 1 or dist.get_rank() == 0


def launched() -> tuple[int, int]:
    """(rank, number of processes) that torchrun gave to this process; (0, 1) without it."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def shown(show: Callable[[str], None] | None = None) -> Callable[[str], None] | None:
    """How this process shows its progress: as given, or not at all where it is not the main one."""
    return show if is_main() else _silent


def _silent(line: str) -> None:
    pass


def described(device: str) -> str:
    """A device in words, and how many processes have one like it."""
    world = world_size()
    return device if world == 1 else f"{world} processes, each with {device}"


def _end_with(launcher: int) -> None:
    """End this process when torchrun is gone: it puts its processes into sessions of their own.

    They would otherwise outlive a workflow that is killed, and hold the folder of their run.
    """
    while os.getppid() == launcher:
        time.sleep(0.2)
    os._exit(1)


def _check_draws(device: torch.device) -> None:
    """GPUs of different kinds draw other numbers from the same seed, and processors may."""
    rng = torch.Generator(device).manual_seed(0)
    drawn = torch.randn(100_000, generator=rng, device=device)
    if not agrees(int(drawn.view(torch.int32).sum(dtype=torch.int64)), device=device):
        raise ConfigError.about(
            "--processes", found="devices that draw different random numbers from one seed",
            expected="devices of the same kind for all processes", action="Choose others.",
        )  # fmt: skip


@contextmanager
def group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes of torchrun, if it launched more than one; yields the device of this one.

    gloo connects processes on CPUs, nccl those on GPUs, one for each. Raises ConfigError where
    there are not enough GPUs, or they are of different kinds.
    """
    _, world = launched()
    if world == 1:
        yield device
        return
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if device.type == "cuda":
        rank, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if rank >= count:
            raise ConfigError.about(
                "--processes", found=f"process {rank + 1} of this machine, which has {count} GPUs",
                expected="a GPU for each process", action="Start fewer.",
            )  # fmt: skip
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    _check_draws(device)
    yield device
    # Not after an error: torchrun stops the others, while this would wait for them.
    dist.destroy_process_group()


@dataclass(frozen=True)
class Rows:
    """Which rows of a batch this process works on: rank, rank + world, rank + 2 world, ...

    Every world-th one, so that what the discriminator of a generator groups stays together.
    """

    total: int
    """Rows of all processes."""
    rank: int = 0
    world: int = 1

    @property
    def index(self) -> slice:
        return slice(self.rank, None, self.world)

    def own(self, x: torch.Tensor) -> torch.Tensor:
        """[total, ...], the same in all processes -> the rows of this one."""
        return x if self.world == 1 else x[self.index].clone()

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """The rows of this process -> [total, ...], the same in all processes; no gradient."""
        if self.world == 1:
            return x
        padded = x.new_zeros(-(-self.total // self.world), *x.shape[1:])
        padded[: len(x)] = x.detach()
        parts = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, 1).flatten(0, 1)[: self.total]

    def room(self, x: torch.Tensor) -> torch.Tensor:
        """Uninitialised memory [total, ...] for all rows, laid out as the rows `x` of this one."""
        if self.world == 1:
            return torch.empty_like(x)
        inner = sorted(range(1, x.dim()), key=x.stride, reverse=True)
        shape = (self.total, *x.shape[1:])
        return torch.empty_permuted(shape, (0, *inner), dtype=x.dtype, device=x.device)


def rows(total: int) -> Rows:
    """The share of this process; of fewer rows than there are processes each has them all."""
    world = world_size()
    if world == 1 or total < world:
        return Rows(total)
    return Rows(total, dist.get_rank(), world)


def batch(total: int, *, key: str) -> Rows:
    """The share of this process of a batch that a gradient is averaged over.

    Raises ConfigError where the shares would differ; `key` is the one in params.yaml.
    """
    world = world_size()
    if total % world:
        raise ConfigError.about(
            key, found=f"{total} for {world} processes", expected=f"a multiple of {world}",
            action="Change it, or train with another number of processes.",
        )  # fmt: skip
    return rows(total)


def randn(
    shape: Sequence[int],
    share: Rows | None,
    *,
    rng: torch.Generator,
    device: torch.device,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """N(0, 1) of this shape: the rows of this process of what is drawn for all; None: it has all.

    Where the first axis is not the one of the rows, draw all of it and take `share.own`.
    """
    if share is None or share.world == 1:
        return torch.randn(shape, generator=rng, device=device, dtype=dtype)
    everyone = torch.randn((share.total, *shape[1:]), generator=rng, device=device, dtype=dtype)
    return everyone[share.index]


@torch.no_grad()
def mean(x: torch.Tensor) -> torch.Tensor:
    """The average of x over the processes, without gradient; of means over equal shares."""
    world = world_size()
    if world == 1:
        return x
    x = x.detach().clone()
    dist.all_reduce(x)
    return x / world


def mean_logs(logs: Mapping[str, float], *, device: torch.device) -> dict[str, float]:
    """Each value averaged over the processes."""
    if world_size() == 1:
        return dict(logs)
    values = mean(torch.tensor(list(logs.values()), dtype=torch.float64, device=device))
    return dict(zip(logs, values.tolist(), strict=True))


@torch.no_grad()
def average_gradients(parameters: Iterable[torch.Tensor]) -> None:
    """Replace the gradients by their averages over the processes, in one message."""
    if world_size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    averaged = mean(torch.cat([g.flatten() for g in gradients]))
    parts = averaged.split([g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


@torch.no_grad()
def broadcast(tree: Any, *, device: torch.device) -> None:
    """Overwrite the tensors on `device` in a nest of dicts and lists with those of the main one."""
    if world_size() == 1:
        return
    if isinstance(tree, torch.Tensor):
        if tree.device.type == device.type:
            value = tree.detach().contiguous()
            dist.broadcast(value, 0)
            tree.copy_(value)
    elif isinstance(tree, Mapping):
        for node in tree.values():
            broadcast(node, device=device)
    elif isinstance(tree, (list, tuple)):
        for node in tree:
            broadcast(node, device=device)


def agrees(value: int, *, device: torch.device) -> bool:
    """Whether `value` is that of the main process."""
    told = torch.tensor([value], device=device)
    if world_size() > 1:
        dist.broadcast(told, 0)
    return int(told) == value


@contextmanager
def main_first() -> Iterator[None]:
    """What is inside is done by the main process, and then by the others."""
    if world_size() == 1:
        yield
        return
    if not is_main():
        dist.barrier()
    yield
    if is_main():
        dist.barrier()
