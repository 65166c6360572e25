"""Bad files through the command line: exit code 1 or 2, one message, no traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from refusals import check_message, few_examples

from entropic_ot.cli import main

ROOT = Path(__file__).parents[2]
BAD_FILES: dict[str, bytes] = {
    "empty": b"",
    "no utf-8": b"\xff\xfe\x00",
    "half": b'{"rows": [',
    "list": b"[]",
    "null": b"null",
    "number": b"3",
    "other keys": b'{"rows": [{"a": 1}], "method": "enot", "kind": "gaussian"}',
    "list for a name": b'{"method": [], "kind": [], "rows": 3}',
    "deep": b"[" * 100_000,
}
READS_JSON = ["prepare", "classifier", "train", "train-generator", "encode", "sample", "reference"]


def outcome(*words: object, capsys: pytest.CaptureFixture[str]) -> str:
    """The one message of a command that must fail."""
    try:
        status: Any = main([str(word) for word in words])
    except SystemExit as stopped:
        status = stopped.code
    text = capsys.readouterr().err
    assert status in (1, 2), text
    assert "Traceback" not in text
    return text


def words_of(command: str, config: Path, folder: Path) -> list[object]:
    """A command line in which the configuration is `config`, and nothing else is there."""
    flags = {
        "prepare": ["out"],
        "classifier": ["out"],
        "train": ["out", "work"],
        "train-generator": ["out", "work"],
        "encode": ["generator", "data", "out", "work"],
        "sample": ["sampling", "run", "out"],
        "evaluate": ["evaluation", "run", "samples", "out"],
        "reference": ["out"],
    }[command]
    options = [word for flag in flags for word in (f"--{flag}", folder / flag)]
    return [command, "--config", config, *options]


@pytest.mark.slow
@pytest.mark.parametrize("command", [*READS_JSON, "evaluate"])
def test_a_bad_configuration(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "config.json"
    for contents in (None, *BAD_FILES.values()):
        if contents is not None:
            config.write_bytes(contents)
        text = outcome(*words_of(command, config, tmp_path), capsys=capsys)
        assert text.startswith(f"entropic-ot {command}: error: ")
        check_message(text, names=str(config))
    config.unlink()
    config.mkdir()
    check_message(outcome(*words_of(command, config, tmp_path), capsys=capsys), names=str(config))


def test_bad_metrics_files(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "metrics.json"
    for contents in BAD_FILES.values():
        file.write_bytes(contents)
        text = outcome("table", "--out", tmp_path / "out", file, capsys=capsys)
        check_message(text, names=str(file))


def test_bad_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for contents in BAD_FILES.values():
        Path("params.yaml").write_bytes(contents)
        for command in ("configure", "summary"):
            check_message(outcome(command, capsys=capsys), names="params.yaml")


def test_bad_pickles(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "network.pkl"
    for contents in (*BAD_FILES.values(), b"\x80\x04cos\nsystem\n(S'echo'\ntR."):
        file.write_bytes(contents)
        text = outcome("convert", "--pickle", file, "--out", tmp_path / "g", capsys=capsys)
        check_message(text, names=str(file))
    assert not (tmp_path / "g").exists()


def test_an_output_below_a_file_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")
    text = outcome("table", "--out", tmp_path / "file" / "tables", capsys=capsys)
    check_message(text, names=str(tmp_path / "file"))


words = st.sampled_from(
    [
        *("configure", "fetch", "prepare", "train", "sample", "table", "summary", "schema"),
        *("--params", "--scale", "--config", "--out", "--work", "--dim", "--succeeded"),
        *("smoke", "mnits", "50", "nan", "", "-", "--", "no_such_file.yaml", "/dev/null/x", "-x"),
    ]
)


@few_examples(150)
@given(st.lists(words, max_size=5))
def test_random_command_lines(tmp_path: Path, line: list[str]) -> None:
    """Usage errors are argparse's, exit code 2; all else is an error of ours, exit code 1."""
    if line[:1] in (["fetch"], ["table"], ["schema"]):
        line = [line[0], "--no-such-option", *line[1:]]  # fetch may go to the network
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        try:
            status: Any = main(line)
        except SystemExit as stopped:
            status = stopped.code
    assert status in (1, 2)


def test_a_bad_value_in_a_run_names_its_key(tmp_path: Path, capsys: Any) -> None:
    """Jobs read JSON that anyone may have edited: the dotted key stands in the message."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    compute = params["compute"]
    solver = params["presets"]["sinkhorn"]["default"]
    problem = params["experiments"]["toy_8gaussians"]["problem"]
    run = dict(
        scale="smoke", experiment="a", variant=None, method="sinkhorn", epsilon=1.0, seed=0,
        num_steps=1, problem=problem, solver=solver, compute=compute,
    )  # fmt: skip
    file = tmp_path / "run.json"
    for key, value, words_there in [
        ("epsilon", float("nan"), "epsilon"),
        ("seed", 2**63, "seed"),
        ("num_steps", True, "num_steps"),
        ("solver", None, "solver"),
        ("solver", {**solver, "tolerance": -1}, "solver.tolerance"),
        ("problem", {"kind": "toy_8gausians"}, "toy_8gaussians"),
        ("method", "sinkhron", "method"),
        ("epsilonn", 1, "epsilon"),
    ]:
        file.write_text(json.dumps(run | {key: value}))
        text = outcome(*words_of("train", file, tmp_path), capsys=capsys)
        check_message(text, names=words_there)
