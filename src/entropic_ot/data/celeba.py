"""CelebA: 202599 aligned photographs of faces, 178 x 218 pixels (Liu et al. 2015).

For non-commercial research only. The archive's own address is a Google Drive, which often refuses
downloads; then it is placed by hand (docs/data.md).
"""

from __future__ import annotations

from entropic_ot.data.archives import ArchiveLimits, SafeZip
from entropic_ot.data.sources import HttpsSource, RemoteFile
from entropic_ot.errors import DataError

CROP_PIXELS = 140

ARCHIVE = RemoteFile(
    name="img_align_celeba.zip",
    sha256="",
    md5="00d2c5bc6d35e252742224ab0c1e8fcb",
    size_bytes=1_443_490_838,
    sources=(
        HttpsSource(
            "https://drive.usercontent.google.com/download?id=0B7EVK8r0v71pZjFTYXZWM3FlRnM"
            "&resourcekey=0-dYn9z10tMJOBAkviAcfdyQ&export=download&confirm=t"
        ),
    ),
)
LIMITS = ArchiveLimits(
    num_members=210_000, member_bytes=2_000_000, total_bytes=4_000_000_000, ratio=100.0
)
WHERE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (Align&Cropped Images)"


def photographs(bundle: SafeZip) -> list[str]:
    """The names of the photographs, sorted.

    Raises:
        DataError: there are none.
    """
    names = [n for n in bundle.names if n.startswith("img_align_celeba/") and n.endswith(".jpg")]
    if not names:
        raise DataError.about(
            bundle.path,
            found="no photographs",
            expected="members img_align_celeba/*.jpg",
            action="Get img_align_celeba.zip as it was published.",
        )
    return sorted(names)
