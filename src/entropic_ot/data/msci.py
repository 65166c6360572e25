"""Single-cell data (MSCI): CITE-seq cells of four days as principal components.

The arrays are those of the LightSB repository, made from the data of the NeurIPS 2022 challenge
"Open Problems - Multimodal Single-Cell Integration"; the task, cells of a day held out between
two others, is that of Tong et al. 2023, used by LightSB and by the ENOT and EgNOT comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from entropic_ot.data.checksums import verify_file
from entropic_ot.data.sources import HttpsSource, RemoteFile
from entropic_ot.errors import ConfigError, DataError

MsciDim = Literal[50, 100]

DAYS = (2, 3, 4, 7)
WHERE = "https://github.com/ngushchin/LightSB (folder data)"
# setting -> (source day, target day, evaluation day)
_SETTING_DAYS: dict[str, tuple[int, int, int]] = {"2to4": (2, 4, 3), "3to7": (3, 7, 4)}
_NPY_HEADER_BYTES = 128
_NUM_CELLS = {2: 6071, 3: 7643, 4: 8485, 7: 7195}
_SHA256 = {
    (50, 2): "ba7cc587e6df22382099e8592939e188b1fe32681a71640473058719f56f1bf4",
    (50, 3): "3b427bff70dfae37e3c4793d3ae9b3493c96a88cb507518e41387b7eeca62f94",
    (50, 4): "db70a163f9ae8ec7ae26ea41a330f0de814facc97d1928f14e00cc3fa48a741b",
    (50, 7): "b8409dad032f03afba90ffd7762e49a6413b0b2ef8bfc3304a46ea143536bc07",
    (100, 2): "85000b25eb6b7ae5c7daf7ad17e995741e8a76f25771d5716ccb539d3d22ad55",
    (100, 3): "5a4fdcbb076b2f25b2e823b87d92deccacf29d702f3ac32835490e7db10b59c8",
    (100, 4): "04cd3ba804006ee72413aab33c90b6d977eb3a4e4a38127445a46625436fe524",
    (100, 7): "4a422acef3226958035c72e87ca7d1644d86f4efbb29be2c0bea67fc1e93b24e",
}


def _file(dim: int, day: int) -> RemoteFile:
    name = f"full_cite_pcas_{dim}_day_{day}.npy"
    return RemoteFile(
        name=name,
        sha256=_SHA256[dim, day],
        size_bytes=_NPY_HEADER_BYTES + 4 * dim * _NUM_CELLS[day],
        sources=(
            HttpsSource(f"https://raw.githubusercontent.com/ngushchin/LightSB/main/data/{name}"),
        ),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class MsciData:
    """The cells of one setting, divided by ``scale``.

    Attributes:
        source: float32 [n, dim], cells of the first day.
        target: float32 [m, dim], cells of the last day.
        evaluation: float32 [k, dim], cells of the held-out day between them.
        scale: mean over features of the standard deviation (divisor N) of all three days
            together; raw units are these arrays times ``scale``.
        time: (evaluation day - first day) / (last day - first day), in (0, 1).
    """

    source: NDArray[np.float32]
    target: NDArray[np.float32]
    evaluation: NDArray[np.float32]
    scale: float
    time: float


def msci_files(dim: int) -> tuple[RemoteFile, ...]:
    """The four files, days 2, 3, 4 and 7, with ``dim`` principal components (50 or 100).

    Raises:
        ConfigError: any other ``dim``.
    """
    if dim not in get_args(MsciDim):
        raise ConfigError.about(
            "msci dim",
            found=repr(dim),
            expected=" or ".join(str(known) for known in get_args(MsciDim)),
            action="These are the numbers of principal components that exist as files.",
        )
    return tuple(_file(dim, day) for day in DAYS)


def load_msci(folder: Path, dim: int, setting: str) -> MsciData:
    """Load one setting out of the files of :func:`msci_files` in ``folder``.

    Args:
        folder: where the files lie.
        dim: 50 or 100 principal components.
        setting: "2to4" (days 2 to 4, evaluated at 3) or "3to7" (days 3 to 7, evaluated at 4).

    Raises:
        ConfigError: no such ``dim`` or ``setting``.
        ChecksumError: a file has other contents; they are 3 MB at most, so that all are checked.
        DataError: a file is missing or is not a finite float32 array [n, dim].
    """
    if setting not in _SETTING_DAYS:
        raise ConfigError.about(
            "msci setting",
            found=repr(setting),
            expected=" or ".join(_SETTING_DAYS),
            action="Choose one of these.",
        )
    start, end, held_out = _SETTING_DAYS[setting]
    files = dict(zip(DAYS, msci_files(dim), strict=True))
    source, target, evaluation = (
        _load_cells(files[day], folder, dim) for day in (start, end, held_out)
    )
    together = np.concatenate([source, target, evaluation]).astype(np.float64)
    scale = float(together.std(axis=0).mean())
    return MsciData(
        source=(source / scale).astype(np.float32),
        target=(target / scale).astype(np.float32),
        evaluation=(evaluation / scale).astype(np.float32),
        scale=scale,
        time=(held_out - start) / (end - start),
    )


def _load_cells(file: RemoteFile, folder: Path, dim: int) -> NDArray[np.float32]:
    verify_file(file, folder)
    path = folder / file.name
    try:
        cells = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _bad_file(path, dim, str(error)) from error
    if not isinstance(cells, np.ndarray) or cells.dtype != np.float32:
        raise _bad_file(path, dim, f"{getattr(cells, 'dtype', type(cells).__name__)} values")
    if cells.ndim != 2 or cells.shape[1] != dim or len(cells) == 0:
        raise _bad_file(path, dim, f"shape {cells.shape}")
    if not np.isfinite(cells).all():
        raise _bad_file(path, dim, "values that are not finite")
    return cells


def _bad_file(path: Path, dim: int, found: str) -> DataError:
    return DataError.about(
        path,
        found=found,
        expected=f"a .npy file of finite float32 values, shape (cells, {dim})",
        action="Delete it if it is there, and fetch it again.",
    )
