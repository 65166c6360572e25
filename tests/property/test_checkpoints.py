"""Checkpoints that are damaged, of another run or of an older version: never a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from refusals import check_message, few_examples
from safetensors.torch import load_file, save_file

from entropic_ot.device import make_rng
from entropic_ot.errors import DataError
from entropic_ot.experiments.store import (
    LOG,
    MODEL,
    PROVENANCE,
    STATE,
    WITHOUT_SHA256,
    RunStore,
    load_arrays,
    load_model,
    load_tree,
)
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.solvers.config import SinkhornConfig
from entropic_ot.solvers.enot import ENOT
from entropic_ot.solvers.sinkhorn import Sinkhorn

CPU = torch.device("cpu")
WEIGHTS = torch.linspace(-1, 1, 24).reshape(4, 6)
SOLVER_STATE: dict[str, Any] = {
    "model": {"net": {"weight": WEIGHTS, "half": WEIGHTS.bfloat16(), "done": torch.tensor(True)}},
    "training": {"step": torch.tensor(3.0), "empty": torch.zeros(0, 2), "betas": [0.5, 1]},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training with a checkpoint and a log."""
    folder = tmp_path_factory.mktemp("whole")
    store = RunStore(folder, fingerprint="f" * 64)
    store.save_checkpoint(SOLVER_STATE, step=5, rng=make_rng(0), seconds=1.5)
    store.append_log({"step": 5, "loss": 0.5})
    return folder


def loaded(path: Path) -> tuple[Any, dict[str, Any]] | None:
    """The tree in a file; None where it is refused, in words that are checked."""
    try:
        return load_tree(path)
    except DataError as error:
        check_message(str(error), names=str(path))
        return None


def test_a_whole_file_is_read(whole: Path) -> None:
    tree, header = load_tree(whole / STATE)
    assert torch.equal(tree["model"]["net"]["half"], WEIGHTS.bfloat16())
    assert header["step"] == 5


@pytest.mark.fault(
    "bit flipped anywhere in a checkpoint",
    "an error with the file's name, or what is read has not changed",
)
@few_examples(200)
@given(st.integers(0, 10**6), st.integers(0, 7))
def test_every_flipped_bit_is_noticed(whole: Path, tmp_path: Path, place: int, bit: int) -> None:
    """Also in the numbers, of which safetensors has no checksum. What is still read has not
    changed: a bit of the white space behind the header, say."""
    contents = bytearray((whole / STATE).read_bytes())
    contents[place % len(contents)] ^= 1 << bit
    path = tmp_path / STATE
    path.write_bytes(contents)
    found = loaded(path)
    if found is not None:
        tree, header = found
        assert header == {"step": 5, "seconds": 1.5, "fingerprint": "f" * 64}
        assert torch.equal(tree["model"]["net"]["weight"], WEIGHTS)
        assert torch.equal(tree["rng"], make_rng(0).get_state())


@pytest.mark.fault(
    "checkpoint cut off anywhere",
    "an error with the file's name and what to do",
)
@few_examples(60)
@given(st.integers(0, 10**6))
def test_a_truncated_file_is_refused(whole: Path, tmp_path: Path, place: int) -> None:
    contents = (whole / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(contents[: place % len(contents)])
    assert loaded(tmp_path / STATE) is None


def test_a_flipped_bit_of_a_weight_is_refused(whole: Path, tmp_path: Path) -> None:
    contents = bytearray((whole / MODEL).read_bytes())
    contents[-1] ^= 1  # tensors lie at the end
    (tmp_path / MODEL).write_bytes(contents)
    with pytest.raises(DataError, match="another sha256"):
        load_tree(tmp_path / MODEL)


def rewritten(path: Path, **changes: str) -> None:
    """The file with other texts in its header, as a program that writes safetensors leaves it."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata()) | changes
    save_file(load_file(path), path, metadata=metadata)


@pytest.mark.fault(
    "run directory of an older version: a checkpoint without sha256",
    "read as it is",
)
def test_an_older_version_is_still_read(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "old")
    rewritten(tmp_path / "old" / MODEL, format=WITHOUT_SHA256)
    assert torch.equal(load_tree(tmp_path / "old" / MODEL)[0]["net"]["weight"], WEIGHTS)


@pytest.mark.parametrize("tree", ["", "text", "{}", '{"__dict__": 1}', "[" * 5000, "null"])
@pytest.mark.parametrize("header", ["", "[]", '{"fingerprint": "x"}', '{"step": "a"}'])
def test_a_header_of_an_older_version_that_makes_no_sense(
    whole: Path, tmp_path: Path, tree: str, header: str
) -> None:
    shutil.copytree(whole, tmp_path / "old")
    rewritten(tmp_path / "old" / STATE, format=WITHOUT_SHA256, tree=tree, header=header)
    store = RunStore(tmp_path / "old", fingerprint="x")
    try:
        assert store.load_checkpoint(make_rng(0)) is None  # of other settings
    except DataError as error:
        check_message(str(error), names=STATE)


def test_a_version_to_come_is_refused(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "new")
    rewritten(tmp_path / "new" / MODEL, format="entropic-ot run, version 9")
    assert loaded(tmp_path / "new" / MODEL) is None


@pytest.mark.parametrize("line", [b"3\n", b"[]\n", b"null\n", b'{"a": 1}\n', b"\xff\n", b'{"st'])
def test_a_line_of_the_log_that_makes_no_sense_is_dropped(
    whole: Path, tmp_path: Path, line: bytes
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    with (tmp_path / "run" / LOG).open("ab") as file:
        file.write(line)
    RunStore(tmp_path / "run", fingerprint="f" * 64).trim_log(9)
    assert (tmp_path / "run" / LOG).read_text() == '{"step": 5, "loss": 0.5}\n'


# --- the weights of a run -------------------------------------------------------------------------


def solver(width: int, seed: int = 0) -> ENOT:
    from entropic_ot.solvers.config import ENOTConfig

    network = NetworkConfig(kind="mlp", width=width, depth=1)
    return ENOT((2,), ENOTConfig(drift=network, potential=network), epsilon=1.0, seed=seed)


def finished(folder: Path, trained: Any, *, config_sha256: str) -> Path:
    RunStore(folder, fingerprint="a").save_checkpoint(
        trained.state_dict(), step=1, rng=make_rng(0), seconds=0.0
    )
    (folder / PROVENANCE).write_text(json.dumps({"config_sha256": config_sha256}))
    return folder


@pytest.mark.fault(
    "checkpoint of another run in the place of this one's",
    "refused by the hash of the configuration in its record",
)
def test_the_weights_of_another_run_are_refused(tmp_path: Path) -> None:
    run = finished(tmp_path / "a", solver(8, seed=1), config_sha256="a" * 64)
    load_model(solver(8), run, config_sha256="a" * 64, device=CPU)
    with pytest.raises(DataError, match="another configuration") as refused:
        load_model(solver(8), run, config_sha256="b" * 64, device=CPU)
    check_message(str(refused.value), names=str(run / MODEL))


@pytest.mark.parametrize("record", [None, b"", b"\xff", b"[]", b"{}"])
def test_weights_that_do_not_fit_are_refused_without_a_record(
    tmp_path: Path, record: bytes | None
) -> None:
    run = finished(tmp_path / "a", solver(8), config_sha256="a")
    (run / PROVENANCE).unlink()
    if record is not None:
        (run / PROVENANCE).write_bytes(record)
    sinkhorn = Sinkhorn((2,), SinkhornConfig(), epsilon=1.0)
    for other in (solver(16), sinkhorn):
        with pytest.raises(DataError, match="do not fit") as refused:
            load_model(other, run, config_sha256="a", device=CPU)
        check_message(str(refused.value), names=str(run / MODEL))


# --- arrays that a command wrote ------------------------------------------------------------------


@pytest.mark.fault(
    "samples file changed or cut off anywhere",
    "read, or an error with its name",
)
@few_examples(150)
@given(st.integers(0, 10**6), st.integers(0, 7), st.booleans())
def test_damaged_samples_are_read_or_clearly_refused(
    tmp_path: Path, place: int, bit: int, cut: bool
) -> None:
    path = tmp_path / "samples.npz"
    np.savez(path, x=np.ones((5, 2), np.float32), y=np.zeros((5, 2), np.float32))
    contents = bytearray(path.read_bytes())
    contents[place % len(contents)] ^= 1 << bit
    path.write_bytes(contents[: place % len(contents)] if cut else contents)
    try:
        arrays = load_arrays(path, command="sample")
    except DataError as error:
        check_message(str(error), names=str(path))
    else:
        assert all(isinstance(array, np.ndarray) for array in arrays.values())
