"""Where the first weights come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global generator of the CPU with this seed inside, and as it was afterwards.

    Those of GPUs stay as they are, which torch.manual_seed would seed for good.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
