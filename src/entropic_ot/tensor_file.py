"""Tensors in one safetensors file: whole or not at all, and with a sha256 of their contents."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from entropic_ot.files import atomic_path


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file with these texts in its header and, as `sha256`, the digest of all of it.

    safetensors itself does not notice a changed number.

    Raises:
        OSError: a full disk, a folder that cannot be written to; what was at `path` stays.
    """
    signed = metadata | {"sha256": digest(metadata, tensors)}
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=signed)
        except SafetensorError as error:  # its text alone says what the operating system said
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None


def digest(metadata: dict[str, str], tensors: dict[str, torch.Tensor]) -> str:
    """Hexadecimal sha256 of names, types, shapes and bytes of the tensors, and of the header."""
    sha256 = hashlib.sha256()
    for key in ("format", "tree", "header"):
        sha256.update(f"{key} {metadata.get(key)}\n".encode())
    for name, tensor in sorted(tensors.items()):
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha256.update(tensor.reshape(-1).view(torch.uint8).cpu().numpy().data)
    return sha256.hexdigest()
