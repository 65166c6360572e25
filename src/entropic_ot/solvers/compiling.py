"""torch.compile around what is called most often, with eager execution where that fails."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch


class Compiler:
    """Compiles functions of tensors; after the first failure all of its functions run eagerly.

    On CUDA the mode is reduce-overhead, which records CUDA graphs: a step of many small kernels is
    then launched at once. What a compiled function returns is a copy, because the next call
    overwrites the memory that a graph writes to.
    """

    def __init__(self, device: torch.device, *, enabled: bool) -> None:
        self.mode = "reduce-overhead" if device.type == "cuda" else "default"
        self.enabled, self.num_calls = enabled, 0

    @property
    def used(self) -> str:
        """For the records: the mode of torch.compile, or "no" where everything runs eagerly."""
        return self.mode if self.enabled else "no"

    def __call__(self, function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """`function`, compiled when it is called first; as it is where nothing is compiled."""
        if not self.enabled:
            return function
        compiled = torch.compile(function, mode=self.mode)

        def call(*args: Any) -> torch.Tensor:
            if not self.enabled:
                return function(*args)
            try:
                out: torch.Tensor = compiled(*args).clone()
            except Exception as error:  # what a compiler may raise has no common class
                self.enabled = False
                first = str(error).strip().splitlines() or [""]
                warnings.warn(
                    f"compute.compile: torch.compile failed ({type(error).__name__}: {first[0]}); "
                    "going on eagerly, which is slower. `compile: never` says so from the start.",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return function(*args)
            self.num_calls += 1
            return out

        return call
