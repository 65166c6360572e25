"""Published generators of StyleGAN2-ADA (Karras et al. 2020): pickles of its PyTorch project.

NVIDIA Source Code License, for non-commercial use. Only those are here of which a checksum is known
from anywhere; `entropic-ot convert` reads others too.
"""

from __future__ import annotations

from entropic_ot.data.sources import HttpsSource, RemoteFile

WHERE = "https://github.com/NVlabs/stylegan2-ada-pytorch (pretrained/afhqdog.pkl)"

SIZE = "some 380 MB"
"""Of each published network, for messages: their exact sizes are not published."""

AFHQ_DOGS = RemoteFile(
    name="afhqdog.pkl",
    sha256="",
    md5="8fa2162d23fe76012bec12b1910b4e65",
    size_bytes=None,
    about_size=SIZE,
    sources=(
        HttpsSource(
            "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/afhqdog.pkl"
        ),
    ),
    doubt=(
        "Its publisher gives no checksum, and this one is known from a single third-party source, "
        "so that the file may be right and the checksum wrong."
    ),
)

PICKLES = {file.name: file for file in (AFHQ_DOGS,)}
"""By name."""
