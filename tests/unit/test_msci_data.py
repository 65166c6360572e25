"""The single-cell arrays: availability, scaling, and the real files where a mirror has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from problem_configs import PAIRS_ALONE

from entropic_ot.data import msci
from entropic_ot.data.checksums import ChecksumError
from entropic_ot.data.fetch import MissingFilesError, fetch_files
from entropic_ot.data.sources import looks_available, mirror_folders
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.build import Benchmark
from entropic_ot.experiments.evaluate import METRIC_FUNCTIONS
from entropic_ot.experiments.evaluation import Evaluation
from entropic_ot.files import file_sha256
from entropic_ot.problems.base import ArrayDistribution


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Takes the files of a folder for the published ones."""

    def know(folder: Path, dim: int = 50) -> None:
        for day in msci.DAYS:
            path = folder / f"full_cite_pcas_{dim}_day_{day}.npy"
            monkeypatch.setitem(msci._SHA256, (dim, day), file_sha256(path))

    return know


def _write_days(folder: Path, dim: int = 50) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(0)
    spread = np.linspace(0.5, 4.0, dim)
    days = {
        day: (day + spread * rng.standard_normal((20 + day, dim))).astype(np.float32)
        for day in msci.DAYS
    }
    for day, cells in days.items():
        np.save(folder / f"full_cite_pcas_{dim}_day_{day}.npy", cells)
    return days


def _sparse(path: Path, size_bytes: int) -> None:
    with path.open("wb") as stream:
        stream.truncate(size_bytes)


def available(folder: Path, dim: int, mirrors: Sequence[Path]) -> bool:
    return all(looks_available(file, folder, mirrors) for file in msci.msci_files(dim))


def test_the_files_are_the_four_days_of_one_dimension() -> None:
    for dim in (50, 100):
        names = [file.name for file in msci.msci_files(dim)]
        assert names == [f"full_cite_pcas_{dim}_day_{day}.npy" for day in (2, 3, 4, 7)]
    digests = {file.sha256 for dim in (50, 100) for file in msci.msci_files(dim)}
    assert len(digests) == 8


def test_available_needs_all_four_files_of_the_right_size(tmp_path: Path) -> None:
    out, mirror = tmp_path / "out", tmp_path / "mirror"
    out.mkdir()
    mirror.mkdir()
    files = msci.msci_files(50)
    for file in files[:2]:
        assert file.size_bytes is not None
        _sparse(out / file.name, file.size_bytes)
    for file in files[2:]:
        assert not available(out, 50, [mirror])
        assert file.size_bytes is not None
        _sparse(mirror / file.name, file.size_bytes)
    assert available(out, 50, [mirror])
    assert not available(out, 50, [])
    assert not available(out, 100, [mirror])
    _sparse(mirror / files[-1].name, 10)
    assert not available(out, 50, [mirror])


def test_a_mirror_file_of_the_right_size_but_wrong_contents_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in msci.msci_files(50):
        assert file.size_bytes is not None
        _sparse(tmp_path / file.name, file.size_bytes)
    monkeypatch.setenv("EOT_MIRROR", str(tmp_path))
    monkeypatch.setattr(
        "entropic_ot.data.fetch.open_https", _unreachable
    )  # never the network in a test
    with pytest.raises(MissingFilesError, match="4 of 4"):
        fetch_files(msci.msci_files(50), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def _unreachable(url: str) -> None:
    raise OSError(f"{url} is not asked in a test")


@pytest.mark.parametrize(
    ("setting", "days", "time"), [("2to4", (2, 4, 3), 0.5), ("3to7", (3, 7, 4), 0.25)]
)
def test_a_setting_is_scaled_by_the_mean_feature_spread_of_its_three_days(
    tmp_path: Path,
    known: Callable[[Path], None],
    setting: str,
    days: tuple[int, int, int],
    time: float,
) -> None:
    cells = _write_days(tmp_path)
    known(tmp_path)
    data = msci.load_msci(tmp_path, 50, setting)
    together = np.concatenate([cells[day] for day in days]).astype(np.float64)
    variance = ((together - together.mean(axis=0)) ** 2).mean(axis=0)
    assert data.scale == pytest.approx(np.sqrt(variance).mean(), rel=1e-6)
    assert data.time == time
    for day, scaled in zip(days, (data.source, data.target, data.evaluation), strict=True):
        assert scaled.dtype == np.float32
        np.testing.assert_allclose(scaled * data.scale, cells[day], rtol=1e-5)


def test_unknown_settings_and_dimensions_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found '2to7'; expected 2to4 or 3to7"):
        msci.load_msci(tmp_path, 50, "2to7")
    with pytest.raises(ConfigError, match="found 5; expected 50 or 100"):
        msci.load_msci(tmp_path, 5, "2to4")
    with pytest.raises(ConfigError, match="found 5; expected 50 or 100"):
        available(tmp_path, 5, [])


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (np.zeros((5, 50)), "float64 values"),
        (np.zeros((5, 49), dtype=np.float32), r"shape \(5, 49\)"),
        (np.zeros((0, 50), dtype=np.float32), r"shape \(0, 50\)"),
        (np.full((5, 50), np.nan, dtype=np.float32), "not finite"),
    ],
)
def test_a_wrong_array_is_named(
    tmp_path: Path, known: Callable[[Path], None], cells: np.ndarray, found: str
) -> None:
    _write_days(tmp_path)
    np.save(tmp_path / "full_cite_pcas_50_day_4.npy", cells)
    known(tmp_path)
    with pytest.raises(DataError, match=rf"full_cite_pcas_50_day_4\.npy: found .*{found}"):
        msci.load_msci(tmp_path, 50, "2to4")


def test_a_missing_or_other_file_is_named(tmp_path: Path, known: Callable[[Path], None]) -> None:
    cells = _write_days(tmp_path)
    known(tmp_path)
    path = tmp_path / "full_cite_pcas_50_day_7.npy"
    np.save(path, cells[7] + 1)
    with pytest.raises(ChecksumError, match=r"day_7\.npy: found a file with sha256"):
        msci.load_msci(tmp_path, 50, "3to7")
    path.unlink()
    with pytest.raises(DataError, match=r"day_7\.npy: found no such file.*entropic-ot fetch"):
        msci.load_msci(tmp_path, 50, "3to7")


# --- the real files -------------------------------------------------------------------------------


def _real_mirrors(dim: int) -> list[Path]:
    folders = [folder for folder in mirror_folders() if folder.is_dir()]
    if not available(Path("absent"), dim, folders):
        pytest.skip(f"no mirror folder (EOT_MIRROR) has the MSCI files of {dim} components")
    return folders


@pytest.mark.parametrize(
    ("dim", "setting", "scale", "shapes"),
    [
        (50, "2to4", 6.4358, (6071, 8485, 7643)),
        (50, "3to7", 7.0446, (7643, 7195, 8485)),
        (100, "2to4", 4.5619, (6071, 8485, 7643)),
        (100, "3to7", 4.8651, (7643, 7195, 8485)),
    ],
)
def test_the_real_files_have_the_published_scales(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dim: int,
    setting: str,
    scale: float,
    shapes: tuple[int, int, int],
) -> None:
    mirrors = _real_mirrors(dim)
    monkeypatch.setenv("EOT_MIRROR", ":".join(map(str, mirrors)))
    fetch_files(msci.msci_files(dim), tmp_path)
    assert available(tmp_path, dim, [])
    data = msci.load_msci(tmp_path, dim, setting)
    assert data.scale == pytest.approx(scale, abs=5e-5)
    assert (len(data.source), len(data.target), len(data.evaluation)) == shapes


@pytest.mark.extra  # all pairs of about 8000 cells, 50 components: some ten seconds of a core
@pytest.mark.parametrize(
    ("setting", "source", "target", "independent"),
    [("2to4", 4.029, 3.105, 4.268), ("3to7", 3.105, 4.528, 2.275)],
)
def test_the_real_files_have_the_known_energy_distances(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    source: float,
    target: float,
    independent: float,
) -> None:
    """Of 50 components: source and target to the held-out day, and the independent coupling."""
    monkeypatch.setenv("EOT_MIRROR", ":".join(map(str, _real_mirrors(50))))
    fetch_files(msci.msci_files(50), tmp_path)
    data = msci.load_msci(tmp_path, 50, setting)

    def distance(metric: str, x: np.ndarray, y: np.ndarray, time: float) -> float:
        cells = dataclasses.replace(data, time=time)
        first, last = ArrayDistribution(data.source), ArrayDistribution(data.target)
        benchmark = Benchmark(first, last, first, last, msci=cells)
        evaluation = Evaluation({"x": x, "y": y}, benchmark, 0.1, PAIRS_ALONE)
        return METRIC_FUNCTIONS[metric](evaluation).value

    # The bridge at t = 0 is x and at t = 1 it is y, without noise: the numbers to their last digit.
    one, other = data.source, data.target
    assert distance("energy_distance", one, one, 0.0) == pytest.approx(source, abs=6e-4)
    assert distance("energy_distance", other, other, 1.0) == pytest.approx(target, abs=6e-4)
    drawn = distance("energy_distance_independent", one, one, data.time)
    # One draw of the pairs and the noise: over ten of them the standard deviation was 0.04.
    assert drawn == pytest.approx(independent, abs=0.15)
