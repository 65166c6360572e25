"""A trained generator as the file that `load_generator` reads, and images as one PNG."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from entropic_ot.files import atomic_path
from entropic_ot.networks.stylegan2 import Generator
from entropic_ot.networks.stylegan2_file import FORMAT
from entropic_ot.pixels import to_bytes
from entropic_ot.tensor_file import write_tensors
from entropic_ot.types import Points


def save_generator(path: Path, generator: Generator, *, source: str, source_sha256: str) -> None:
    """Write the generator in the format of `entropic-ot convert`, atomically.

    `source` and `source_sha256` say in the header what it was made from.
    """
    config = generator.config
    header = dataclasses.asdict(config) | {
        "resolution": config.resolution,
        "num_ws": config.num_ws,
        "source": source,
        "source_sha256": source_sha256,
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in generator.state_dict().items()}
    write_tensors(path, tensors, {"format": FORMAT, "header": json.dumps(header)})


def as_bytes(images: Points) -> NDArray[np.uint8]:
    """Images [n, channels, h, w] in [-1, 1], clipped, as 0 ... 255."""
    return to_bytes(images.detach().float().cpu()).numpy()


def contact_sheet(path: Path, images: NDArray[np.uint8]) -> None:
    """Images [n, 1 or 3, h, w], row by row in a square, as a PNG file, atomically.

    PNG (ISO/IEC 15948): 8 bits a channel, RGB, no filter, one compressed block.
    """
    num, _, height, width = images.shape
    columns = math.ceil(math.sqrt(num))
    rows = math.ceil(num / columns)
    sheet = np.zeros((rows, height, columns, width, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        sheet[i // columns, :, i % columns] = image.transpose(1, 2, 0)
    lines = sheet.reshape(rows * height, columns * width * 3)
    filtered = np.concatenate([np.zeros((len(lines), 1), dtype=np.uint8), lines], axis=1)
    header = struct.pack(">IIBBBBB", columns * width, rows * height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
