"""Files that appear whole or not at all, and their hashes."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from entropic_ot.files import atomic_path, file_digests, file_sha256, write_json, write_text


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half of the sec")
        raise RuntimeError("killed")
    assert path.read_text() == "first"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]  # nothing left behind


def test_write_json_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1,\n  "a": [\n    2\n  ]\n}\n'


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f").startswith("ba7816bf8f01cfea")  # FIPS 180-2, B.1


def test_digests_of_a_file_are_made_in_one_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened, plain_open = tmp_path / "f", [], Path.open
    path.write_bytes(b"abc" * 10**6)

    def counted(self: Path, *args: Any, **kwargs: Any) -> Any:
        opened.append(self)
        return plain_open(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", counted)
    found = file_digests(path, ["sha256", "md5"])
    assert opened == [path]
    contents = b"abc" * 10**6
    expected = {name: hashlib.new(name, contents).hexdigest() for name in ("sha256", "md5")}
    assert found == expected


def test_write_text_is_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "0 ± ε")
    assert (tmp_path / "a.txt").read_bytes() == "0 ± ε".encode()


def test_threads_that_write_the_same_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path, halfway = tmp_path / "file.txt", threading.Barrier(3)

    def write(number: int) -> None:
        with atomic_path(path) as temporary:
            temporary.write_text(str(number) * 5)
            halfway.wait(timeout=20)  # all of them hold a file of their own at this moment

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    assert path.read_text() in {"00000", "11111", "22222"}
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
