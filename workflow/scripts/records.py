"""Two things that Snakemake's records in .snakemake tell and Snakemake itself does not ask them.

* An output that is not the file that was recorded was changed since by someone else: edited, cut
  off, copied over. Snakemake would take it for good and run what follows with it. It is marked as
  incomplete here, which is what Snakemake calls a file that its job did not finish: the job runs.
* A job deletes its outputs when it begins. When it was killed, and the change that had made it run
  is then taken back, nothing that is stale asks for them any more; `all` does (common.smk).

Files and their format are those of the Snakemake that requirements.lock pins.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

METADATA = Path(".snakemake/metadata")
INCOMPLETE = Path(".snakemake/incomplete")
TIME_TOLERANCE_S = 1e-3  # file systems and JSON keep times to different digits


def lost() -> list[str]:
    """Outputs of jobs that began and did not end, and that are not there."""
    paths = (path for path, _ in _entries(INCOMPLETE))
    return sorted(path for path in paths if not os.path.exists(path))


def mark_changed() -> list[str]:
    """Mark as incomplete all outputs that are not what was recorded. Returns them.

    A file that was only touched is known again by its contents where a job that read it recorded
    their hash. Where not one file has its time, the folder was copied without times, and what
    nothing has read is believed.
    """
    records = {path: (file, record) for path, file, record in _records()}
    suspects = [path for path, (_, record) in records.items() if is_other_file(path, record)]
    if not suspects:
        return []
    copied = len(suspects) == sum(map(os.path.exists, records))
    known: dict[str, set[str]] = {path: set() for path in suspects}
    for _, record in records.values():
        checksums = record.get("input_checksums") or {}
        for path in known.keys() & checksums.keys():
            known[path].add(str(checksums[path]).removeprefix("sha256:"))
    changed = []
    for path in suspects:
        file, record = records[path]
        if _sha256(path) in known[path] or (copied and not known[path]):
            write(file, record | {"endtime": os.stat(path).st_mtime})
        else:
            marker = INCOMPLETE / file.relative_to(METADATA)
            write(marker, {"external_jobid": None})
            changed.append(path)
    return changed


def are_as_recorded(paths: Iterable[str]) -> bool:
    """Whether Snakemake recorded each of these files just as it is."""
    paths = set(paths)
    found = {path: record for path, _, record in _records() if path in paths} if paths else {}
    return all(path in found and not is_other_file(path, found[path]) for path in paths)


def is_other_file(path: str, record: dict[str, Any]) -> bool:
    """Whether the file is there and of another time than the one that was recorded."""
    try:
        mtime = os.stat(path).st_mtime
    except FileNotFoundError:
        return False
    return abs((record.get("endtime") or 0) - mtime) > TIME_TOLERANCE_S


def write(file: Path, record: dict[str, Any]) -> None:
    """A record of Snakemake's, whole or not at all.

    Its name may be as long as names can be, and every name in its folder means an output: so the
    new file comes from outside.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = METADATA.parent / f"record-{os.getpid()}.part"
    temporary.write_text(json.dumps(record))
    temporary.replace(file)


def _sha256(path: str) -> str:
    from entropic_ot.files import file_sha256  # inside: src is on the path only by then

    return file_sha256(Path(path))


def _records() -> Iterator[tuple[str, Path, dict[str, Any]]]:
    for path, file in _entries(METADATA):
        try:
            yield path, file, json.loads(file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            continue  # gone or being written at this moment


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """(path of an output, the file about it): a name in base 64, long ones cut into folders @…"""
    for parent, _, names in os.walk(folder):
        parts = Path(parent).relative_to(folder).parts
        front = "".join(part.removeprefix("@") for part in parts)
        for name in names:
            try:
                yield urlsafe_b64decode(front + name).decode(), Path(parent, name)
            except ValueError:
                continue  # no record: Snakemake's own mark of a migration
