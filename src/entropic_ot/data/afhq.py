"""AFHQ (version 1): 16130 photographs of animal faces, 512 x 512 pixels (Choi et al. 2020).

CC BY-NC 4.0, from the project stargan-v2. Its folders train/ and val/ are training and test sides.
"""

from __future__ import annotations

import re

from entropic_ot.data.archives import ArchiveLimits, SafeZip
from entropic_ot.data.sources import HttpsSource, RemoteFile
from entropic_ot.errors import DataError

CLASSES = ("cat", "dog", "wild")
FOLDERS = {"train": "train", "test": "val"}

ARCHIVE = RemoteFile(
    name="afhq.zip",
    sha256="",
    md5="6909887208505a6e70d732fa20629995",
    size_bytes=None,
    about_size="about 0.7 GB",
    sources=(HttpsSource("https://www.dropbox.com/s/t9l9o3vsx2jai3z/afhq.zip?dl=1"),),
    doubt=(
        "Its publisher gives no checksum, and this one is known from a single third-party source, "
        "so that the file may be right and the checksum wrong."
    ),
)
LIMITS = ArchiveLimits(
    num_members=20_000, member_bytes=5_000_000, total_bytes=4_000_000_000, ratio=100.0
)
WHERE = "https://github.com/clovaai/stargan-v2 (download.sh, afhq-dataset; not version 2)"


def photographs(bundle: SafeZip, part: str, name: str) -> list[str]:
    """The members of one class, sorted.

    Args:
        bundle: the archive.
        part: "train" or "test".
        name: one of ``CLASSES``.

    Raises:
        DataError: there are none.
    """
    pattern = re.compile(rf"(?:[^/]+/)?{FOLDERS[part]}/{re.escape(name)}/[^/]+\.(?:jpe?g|png)")
    names = [member for member in bundle.names if pattern.fullmatch(member)]
    if not names:
        raise DataError.about(
            bundle.path,
            found=f"no photographs in a folder {FOLDERS[part]}/{name}",
            expected=f"members afhq/{FOLDERS[part]}/{name}/*.jpg",
            action="Get afhq.zip as it was published.",
        )
    return sorted(names)
