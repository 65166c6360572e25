"""Which raw files an experiment needs that can be had from nowhere, judged before anything runs.

By name and size alone and without the network, since the workflow asks it whenever it is planned.
Files that a package registry has (MNIST, CIFAR-10, ORL) are never missing: their rules fetch them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from entropic_ot.data import afhq, celeba, msci, stylegan2
from entropic_ot.data.sources import (
    MIRROR_VARIABLE,
    RemoteFile,
    looks_available,
    mirror_folders,
)
from entropic_ot.data.weights import INCEPTION
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.config import ArraysProblem, MixtureProblem, MSCIProblem, ProblemConfig
from entropic_ot.experiments.paths import (
    AFHQ,
    AFHQ_DOGS,
    CELEBA,
    WEIGHTS,
    prepared_files,
    raw_files,
)
from entropic_ot.metrics.registry import TORCH_FIDELITY

INCEPTION_NAMED = (
    f"{WEIGHTS / INCEPTION.name} ({INCEPTION.size_bytes} bytes, sha256 {INCEPTION.sha256}) "
    f"there or in a mirror folder ({MIRROR_VARIABLE})"
)
GET_INCEPTION = (
    f"`pip install '{TORCH_FIDELITY}'` and `entropic-ot fetch inception` get both where their "
    "publishers can be reached; the weights may also be placed by hand."
)


@dataclass(frozen=True)
class MissingFile:
    """A file that must be obtained before its experiment can run."""

    path: Path
    """Where it belongs."""
    size: str
    """In words, as far as it is known."""
    how: str
    """How to get it."""


def missing_files(problem: ProblemConfig) -> list[MissingFile]:
    """What an experiment lacks; none where its prepared data is there already.

    Where that data is stale the rule `prepare` needs the raw files all the same, and the rules
    that fetch them try their public sources then (docs/data.md).
    """
    prepared = prepared_files(problem)
    if prepared and all(path.exists() for path in prepared):
        return []
    if isinstance(problem, MSCIProblem):
        how = f"`entropic-ot fetch msci --dim {problem.dim} --out data/raw/msci`, or {msci.WHERE}"
        folder = raw_files(problem)[0].parent
        return missing_remote_files(msci.msci_files(problem.dim), folder, how)
    if raw_files(problem) == [CELEBA]:
        how = f"`entropic-ot fetch celeba --out {CELEBA.parent}`, or {celeba.WHERE}"
        return missing_remote_files([celeba.ARCHIVE], CELEBA.parent, how)
    if raw_files(problem) == [AFHQ]:
        how = f"`entropic-ot fetch afhq --out {AFHQ.parent}`, or {afhq.WHERE}"
        return missing_remote_files([afhq.ARCHIVE], AFHQ.parent, how)
    if isinstance(problem, (ArraysProblem, MixtureProblem)):
        how = "your own file: correct its path in params.yaml"
        if isinstance(problem, MixtureProblem):
            how = "the benchmark's archive, from its authors (docs/conventions.md, section 7)"
        absent = [path for path in raw_files(problem) if not path.exists()]
        return [MissingFile(path, "size unknown", how) for path in absent]
    return []


def missing_pickle(path: Path) -> list[MissingFile]:
    """The pickle of a generator, if it is not there; a published one may be in a mirror folder."""
    how = f"download it by hand from the project that published it, such as {stylegan2.WHERE}"
    if path == AFHQ_DOGS:
        how = f"`entropic-ot fetch afhqdog --out {path.parent}`, or {stylegan2.WHERE}"
        missing = missing_remote_files([stylegan2.AFHQ_DOGS], path.parent, how)
        return [replace(file, size=stylegan2.SIZE) for file in missing]
    return [] if path.exists() else [MissingFile(path, stylegan2.SIZE, how)]


def missing_remote_files(files: Sequence[RemoteFile], folder: Path, how: str) -> list[MissingFile]:
    """Those of `files` that are neither in `folder` nor in a mirror folder."""
    mirrors = mirror_folders()
    return [
        MissingFile(folder / file.name, file.size_words, how)
        for file in files
        if not looks_available(file, folder, mirrors)
    ]


def inception_lacks() -> str | None:
    """What metrics with Inception's features lack on this machine: a package, a file, or nothing.

    No package registry has the weights, so the workflow does not count on the network for them.
    """
    if importlib.util.find_spec("torch_fidelity") is None:
        return "the package torch_fidelity is not installed"
    if not looks_available(INCEPTION, WEIGHTS, mirror_folders()):
        return f"{WEIGHTS / INCEPTION.name} is neither there nor in a mirror folder"
    return None


def check_inception(at_metrics: str) -> None:
    """ConfigError unless the metrics with Inception's features can be computed on this machine."""
    lack = inception_lacks()
    if lack is not None:
        raise ConfigError.about(
            at_metrics,
            found=f"fid or another metric in Inception's features, but {lack}",
            expected=f"{TORCH_FIDELITY}, and {INCEPTION_NAMED}",
            action=f"{GET_INCEPTION} Or ask for it as evaluation.auto_metrics, which leaves it "
            "out while something is missing; or measure fd_effnet, which needs neither.",
        )


def not_computed_line(not_computed: Mapping[str, Sequence[str]], lack: str) -> str:
    """One line on metrics of evaluation.auto_metrics that are not computed.

    Args:
        not_computed: metric -> the cases without it.
        lack: of `inception_lacks`.
    """
    cases = dict.fromkeys(case for some in not_computed.values() for case in some)
    return (
        f"{', '.join(sorted(not_computed))}: not computed for {', '.join(cases)}: {lack}. "
        f"{GET_INCEPTION}"
    )


def left_out_line(case: str, missing: Sequence[MissingFile]) -> str:
    """One line for an experiment with `enabled: auto` that does not take part."""
    more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
    return (
        f"{case}: left out: {missing[0].path}{more} neither there nor in a mirror folder "
        f"({MIRROR_VARIABLE}); get it: {missing[0].how}"
    )


def check_all_there(missing: Mapping[str, Sequence[MissingFile]], path: str) -> None:
    """One DataError that lists every file missing for experiments with `enabled: true`.

    Args:
        missing: case -> its missing files.
        path: params.yaml, as messages call it.
    """
    cases: dict[MissingFile, list[str]] = {}
    for case, files in missing.items():
        for file in files:
            cases.setdefault(file, []).append(case)
    if not cases:
        return
    count = "1 file is" if len(cases) == 1 else f"{len(cases)} files are"
    lines = [f"{path}: {count} missing for experiments with `enabled: true`:"]
    for file, users in cases.items():
        lines.append(f"- {file.path} ({file.size}), for {', '.join(users)}")
        lines.append(f"    get it: {file.how}")
    mirrors = ":".join(map(str, mirror_folders())) or "not set"
    lines.append(
        "Place each file as shown, or, but for your own, put it into any folder and set "
        f"{MIRROR_VARIABLE} to that folder (now: {mirrors}). Or set `enabled: auto`: the "
        "experiment then takes part once its files are there. docs/data.md says more."
    )
    raise DataError("\n".join(lines))
