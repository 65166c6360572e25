"""What is read out of Snakemake's records without starting it."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
import records


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def entry(folder: Path, path: str) -> Path:
    """Where Snakemake 9 keeps what it knows of `path`: its own function, for long names too."""
    from snakemake.persistence.file import FilePersistence

    return Path(FilePersistence()._record_path(str(folder), path))


def record(path: str, **more: object) -> None:
    """As if a job had just made the file."""
    file = entry(records.METADATA, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"endtime": os.stat(path).st_mtime} | more))


def change(path: str, text: str) -> None:
    write(path, text)
    os.utime(path, (2e9, 2e9))


LONG = f"results/{'long-' * 30}/{'name-' * 30}.json"


@pytest.mark.parametrize("path", ["results/a.json", LONG])
def test_a_changed_output_is_marked_once_and_where_snakemake_looks(path: str) -> None:
    for made in (path, "another"):
        write(made, "made")
        record(made)
    assert records.mark_changed() == []
    change(path, "edited")
    assert records.mark_changed() == [path]
    assert entry(records.INCOMPLETE, path).exists()


def test_the_names_are_those_of_the_pinned_snakemake() -> None:
    assert entry(records.METADATA, "a").name == urlsafe_b64encode(b"a").decode()
    assert entry(records.METADATA, LONG).parent != records.METADATA


def test_what_a_job_has_read_is_known_again_after_a_touch() -> None:
    text = "made"
    digest = hashlib.sha256(text.encode()).hexdigest()
    for path in ("read", "not_read", "table"):
        write(path, text)
        record(path)
    record("table", input_checksums={"read": f"sha256:{digest}"})
    change("read", text)
    change("not_read", text)
    assert records.mark_changed() == ["not_read"]
    entry(records.INCOMPLETE, "not_read").unlink()
    record("not_read")
    assert records.mark_changed() == []  # the touched file's record has its new time
    change("read", "edited")
    os.utime("read", (2.1e9, 2.1e9))
    assert records.mark_changed() == ["read"]


def test_a_folder_copied_without_times_is_believed_where_nothing_is_known() -> None:
    digest = hashlib.sha256(b"made").hexdigest()
    for path in ("read", "not_read", "table"):
        write(path, "made")
        record(path)
    record("table", input_checksums={"read": f"sha256:{digest}"})
    for path in ("read", "not_read", "table"):
        change(path, "other" if path == "read" else "made")
    assert records.mark_changed() == ["read"]
    assert records.mark_changed() == ["read"]  # the others are known by their new times
    change("not_read", "made")
    os.utime("not_read", (2.1e9, 2.1e9))
    assert records.mark_changed() == ["read", "not_read"]


def test_what_is_gone_or_was_never_recorded_is_not_marked() -> None:
    write("gone", "made")
    record("gone")
    Path("gone").unlink()
    write("unknown", "by hand")
    (records.METADATA / "not base 64!").write_text("{}")
    entry(records.METADATA, "cut").write_text('{"endtime"')
    assert records.mark_changed() == []


def test_lost_is_what_was_begun_and_is_not_there() -> None:
    assert records.lost() == []
    for path in ("begun", "half"):
        marker = entry(records.INCOMPLETE, path)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text("{}")
    write("half", "made")
    assert records.lost() == ["begun"]
