"""An input that is edited while a command reads it is an error, and nothing is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_notebook

from entropic_ot.data import arrays
from entropic_ot.errors import DataError
from entropic_ot.inputs import contents_of, expect_unchanged

CHANGED = "changed while it was read"


def test_what_is_as_before_passes_and_each_kind_of_change_does_not(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.npy", tmp_path / "images"
    folder.mkdir()
    (folder / "one.png").write_text("1")
    file.write_text("a")
    missing = tmp_path / "missing"
    before = contents_of([file, folder, missing, tmp_path / ("n" * 300)])
    expect_unchanged(before)
    file.touch()
    expect_unchanged(before)
    (folder / "two.png").write_text("2")
    with pytest.raises(DataError, match=f"{folder}: .*{CHANGED}.*again"):
        expect_unchanged(before)
    (folder / "two.png").unlink()
    for path in (file, missing):
        path.write_text("b")
        with pytest.raises(DataError, match=f"{path}: .*{CHANGED}"):
            expect_unchanged(before)
        path.write_text("a")
    missing.unlink()
    expect_unchanged(before)


def test_arrays_that_are_edited_while_they_are_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{side}.npy" for side in ("source", "target")]
    rng = np.random.default_rng(0)
    for path in paths:
        np.save(path, rng.normal(size=(20, 2)).astype(np.float32))
    out = tmp_path / "out"
    settings: dict[str, Any] = {"image_size": None, "test_share": 0.5, "seed": 0}
    arrays.prepare_arrays(*paths, out, **settings)
    kept = {file.name: file.read_bytes() for file in out.iterdir()}
    write_rows = arrays.write_rows

    def write_and_edit(path: Path, array: Any, rows: Any) -> None:
        write_rows(path, array, rows)
        np.save(paths[0], np.ones((20, 2), dtype=np.float32))

    monkeypatch.setattr(arrays, "write_rows", write_and_edit)
    with pytest.raises(DataError, match=f"source.npy: .*{CHANGED}"):
        arrays.prepare_arrays(*paths, out, **settings)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == kept
    arrays.prepare_arrays(*paths, out, **settings)  # the same file again is no change


NOTEBOOK = """\
# %% tags=["parameters"]
scale = ""
edited = ""
# %%
if edited:
    with open(edited, "a") as file:
        file.write("\\n# %%\\nprint('one more cell')\\n")
"""


@pytest.mark.slow
@pytest.mark.parametrize("edited", ["source", "values"])
def test_a_notebook_that_is_edited_while_it_runs(edited: str, tmp_path: Path) -> None:
    """And so for a file that it is given by its name."""
    source, values = tmp_path / "source.py", tmp_path / "values.yaml"
    source.write_text(NOTEBOOK)
    values.write_text("a: 1\n")
    out = tmp_path / "out.ipynb", tmp_path / "out.html"
    for path in out:
        path.write_text("of before")
    path = tmp_path / ("source.py" if edited == "source" else "values.yaml")
    parameters: dict[str, object] = {"scale": "smoke", "edited": str(path), "values": str(values)}
    with pytest.raises(DataError, match=f"{path.name}: .*{CHANGED}"):
        run_notebook.run(source, *out, parameters)
    assert [path.read_text() for path in out] == ["of before"] * 2
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("out.html", "out.ipynb", "source.py", "values.yaml")
    ]
