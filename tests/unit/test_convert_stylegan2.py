"""Published generators into safetensors: the round trip, and what is refused and named.

The pickles are made by published_pickles.py.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_pickles import (
    EasyDict,
    Persistent,
    arguments,
    modules_of_the_publisher,
    published,
    small,
    written,
)
from safetensors import safe_open
from safetensors.torch import save_file

from entropic_ot.cli import main
from entropic_ot.device import make_rng
from entropic_ot.errors import DataError
from entropic_ot.files import file_sha256
from entropic_ot.networks import convert_stylegan2
from entropic_ot.networks.convert_stylegan2 import convert_generator
from entropic_ot.networks.stylegan2 import Architecture
from entropic_ot.networks.stylegan2_file import FORMAT, load_generator
from entropic_ot.networks.stylegan2_pickle import STAND_INS, read_module
from entropic_ot.restricted_pickle import read_pickle

PROTOCOLS = [2, 3, 4, 5]


@pytest.fixture(autouse=True)
def publisher() -> Iterator[None]:
    with modules_of_the_publisher():
        yield


@pytest.mark.parametrize("protocol", PROTOCOLS[1:])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_a_published_generator_comes_back(
    tmp_path: Path, architecture: Architecture, protocol: int
) -> None:
    net = small(architecture)
    source = written(tmp_path / "net.pkl", published(net), protocol)
    out = tmp_path / "new" / "net.safetensors"
    assert convert_generator(source, out) == net.config
    loaded = load_generator(out)
    assert loaded.config == net.config
    z = torch.randn(3, 7, generator=make_rng(0))
    with torch.no_grad():
        assert torch.equal(loaded(z, truncation_psi=0.7), net(z, truncation_psi=0.7))
    assert not any(p.requires_grad for p in loaded.parameters()) and not loaded.training
    with safe_open(out, framework="pt") as file:
        header = json.loads(file.metadata()["header"])
    assert header["source_sha256"] == file_sha256(source) and header["source"] == "net.pkl"
    expected = {
        "resolution": 32, "z_dim": 7, "w_dim": 5, "num_ws": 8, "mapping_layers": 2,
        "img_channels": 3, "channels": [8, 6, 4, 4], "architecture": architecture,
    }  # fmt: skip
    assert {name: header[name] for name in expected} == expected


def test_protocol_2_holds_no_bytes_and_is_refused_by_name(tmp_path: Path) -> None:
    """There torch's bytes are a call of _codecs.encode; no file was published so."""
    source = written(tmp_path / "net.pkl", published(small()), 2)
    with pytest.raises(DataError, match=r"the global '_codecs\.encode'"):
        convert_generator(source, tmp_path / "out")


def test_numbers_of_numpy_are_read_as_numbers(tmp_path: Path) -> None:
    """They occur in published files; the architecture's arguments may be such numbers too."""
    net = small(clamp=2)
    synthesis = arguments(net)["synthesis_kwargs"] | {"conv_clamp": np.float32(2)}
    source = written(tmp_path / "p", published(net, synthesis_kwargs=synthesis), 3)
    data = source.read_bytes()
    assert data.count(b"cnumpy._core.multiarray\nscalar\n") == 1
    out = tmp_path / "out.safetensors"
    assert convert_generator(source, out) == net.config
    source.write_bytes(data.replace(b"numpy._core.", b"numpy.core."))  # before NumPy 2
    assert convert_generator(source, out) == net.config


def test_every_type_of_number_has_its_value(tmp_path: Path) -> None:
    numbers = [
        np.float64(0.1), np.float32(0.1), np.float16(0.1), np.int64(-(2**40)), np.int32(-5),
    ]  # fmt: skip
    found = read_pickle(written(tmp_path / "p", numbers), STAND_INS)
    assert found == [float(n) for n in numbers[:3]] + [-(2**40), -5]
    assert [type(n) for n in found] == [float] * 3 + [int] * 2


def test_arguments_that_are_not_given_are_the_published_defaults(tmp_path: Path) -> None:
    net = small(clamp=None)
    contents = published(net, mapping_kwargs=EasyDict(), synthesis_kwargs=EasyDict())
    out = tmp_path / "out.safetensors"
    assert convert_generator(written(tmp_path / "p", contents), out) == net.config


def test_float16_becomes_float32(tmp_path: Path) -> None:
    net = small().half()
    out = tmp_path / "out.safetensors"
    convert_generator(written(tmp_path / "p", published(net)), out)
    state = load_generator(out).state_dict()
    for name, value in net.state_dict().items():
        assert state[name].dtype == torch.float32
        assert torch.equal(state[name], value.float())


# --- refusals -------------------------------------------------------------------------------------


class Calls:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def refused(tmp_path: Path, contents: Any, named: str) -> None:
    source, out = written(tmp_path / "net.pkl", contents), tmp_path / "out.safetensors"
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(DataError) as caught:
        convert_generator(source, out)
    message = str(caught.value)
    assert str(source) in message and named in message, message
    assert {path.name for path in tmp_path.iterdir()} == before  # nothing left behind


@pytest.mark.parametrize("place", ["D", "state", "kwargs", "tensor", "hooks"])
def test_a_hidden_call_is_refused_wherever_it_is(tmp_path: Path, place: str) -> None:
    mark = tmp_path / "executed"
    call = Calls(os.system, f"touch '{mark}'")
    net = small()
    contents = published(net)
    state = contents["G_ema"].meta["state"]
    if place == "D":
        contents["D"] = call
    elif place == "state":
        state["_forward_hooks"]["hook"] = call
    elif place == "kwargs":
        state["_init_kwargs"]["z_dim"] = call
    elif place == "tensor":
        state["_buffers"]["w"] = Calls(torch._utils._rebuild_parameter, call, True, {})
    else:
        state["_init_args"] = (call,)
    refused(tmp_path, contents, f"the global '{os.name}.system'")
    assert not mark.exists()


def storage(*values: float, dtype: torch.dtype | None = None) -> bytes:
    buffer = io.BytesIO()
    stored = torch.tensor(values, dtype=dtype)._typed_storage()
    torch.save(stored, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def rebuilt(data: Any, offset: Any, size: Any, stride: Any) -> Calls:
    loaded = Calls(torch.storage._load_from_bytes, data)
    return Calls(torch._utils._rebuild_tensor_v2, loaded, offset, size, stride, False, {})


LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
ZIP = io.BytesIO()
torch.save(torch.zeros(5)._typed_storage(), ZIP)
WHOLE = storage(1.0, 2.0, 3.0, 4.0, 5.0)
HUGE = WHOLE.replace(b"K\x05N", b"\x8a\x06" + b"\xff" * 5 + b"\x00N")  # 2^40 - 1 values
EVIL = LEGACY + pickle.dumps(Calls(os.system, "true"), 2)
TENSORS = {
    "zip format": (rebuilt(ZIP.getvalue(), 0, (5,), (1,)), "legacy format"),
    "text": (rebuilt("text", 0, (5,), (1,)), "legacy format"),
    "empty": (rebuilt(b"", 0, (5,), (1,)), "legacy format"),
    "cut": (rebuilt(WHOLE[:-1], 0, (5,), (1,)), "mapping.w_avg: found"),
    "a call in the bytes": (
        rebuilt(EVIL, 0, (5,), (1,)),
        f"the global '{os.name}.system'",
    ),
    "a huge storage": (rebuilt(HUGE, 0, (5,), (1,)), "mapping.w_avg: found"),
    "expanded": (rebuilt(storage(1.0), 0, (5,), (0,)), "1 values for the size (5,)"),
    "past the end": (rebuilt(WHOLE, 1, (5,), (1,)), "out of bounds"),
    "a long stride": (rebuilt(WHOLE, 0, (5,), (2,)), "out of bounds"),
    "a negative offset": (rebuilt(WHOLE, -1, (5,), (1,)), "no view of a storage"),
    "a size that is no number": (rebuilt(WHOLE, 0, ("5",), (1,)), "no view of a storage"),
    "a huge size": (rebuilt(WHOLE, 0, (2**62,), (1,)), "no view of a storage"),
    "strides missing": (rebuilt(WHOLE, 0, (5,), ()), "no view of a storage"),
    "another size": (rebuilt(WHOLE, 0, (4,), (1,)), "found (4,); expected (5,)"),
    "integers": (rebuilt(storage(1, 2, 3, 4, 5), 0, (5,), (1,)), "the global 'torch.LongStorage'"),
    "not finite": (
        rebuilt(storage(1, 2, 3, 4, float("nan")), 0, (5,), (1,)),
        "infinite or no numbers",
    ),
    "not finite in float32": (
        rebuilt(storage(1, 2, 3, 4, 1e39, dtype=torch.float64), 0, (5,), (1,)),
        "infinite or no numbers",
    ),
    "a storage of other bytes": (
        rebuilt(WHOLE.replace(b"K\x05N", b"K\x04N"), 0, (5,), (1,)),
        "are no storage",
    ),
    "a storage that is called": (
        rebuilt(LEGACY + b"\x80\x02M\xe9\x03." + b"ctorch\nFloatStorage\n)R.", 0, (5,), (1,)),
        "a call of a kind of storage",
    ),
    "another persistent id": (
        rebuilt(LEGACY + b"\x80\x02K\x01Q.", 0, (5,), (1,)),
        "the persistent id 1",
    ),
    "a key that hashes for ever": (
        rebuilt(LEGACY + b"\x80\x02}K\x01" + b"2\x86" * 64 + b"K\x01s.", 0, (5,), (1,)),
        "a key or member of a set that is a tuple",
    ),
    "instructions without end": (
        rebuilt(LEGACY + b"\x8f" * 2000, 0, (5,), (1,)),
        "more than 1000 instr",
    ),
    "bytes behind it": (rebuilt(WHOLE + b"0", 0, (5,), (1,)), "are no storage"),
    "no tensor": ("text", "mapping.w_avg: found 'str'; expected a tensor"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_that_is_not_what_it_should_be_is_named(tmp_path: Path, name: str) -> None:
    assert HUGE != WHOLE
    contents = published(small())
    mapping = contents["G_ema"].meta["state"]["_modules"]["mapping"]
    mapping.meta["state"]["_buffers"]["w_avg"] = TENSORS[name][0]
    refused(tmp_path, contents, TENSORS[name][1])


def test_the_tensors_of_that_test_are_read_when_they_are_right(tmp_path: Path) -> None:
    contents = published(small())
    mapping = contents["G_ema"].meta["state"]["_modules"]["mapping"]
    mapping.meta["state"]["_buffers"]["w_avg"] = rebuilt(WHOLE, 0, (5,), (1,))
    out = tmp_path / "out"
    convert_generator(written(tmp_path / "p", contents), out)
    assert load_generator(out).mapping.w_avg.tolist() == [1, 2, 3, 4, 5]


NUMBERS = {
    "an object": (np.dtype(object), "the NumPy type 'O8'"),
    "text": (np.str_("text"), "the NumPy type 'U4'"),
    "a structure": (np.dtype([("a", "f8")]), "the NumPy type 'V8'"),
    "a long one": (np.longdouble(1), "the NumPy type 'f16'"),
    "big endian": (np.dtype(">f8"), "a NumPy type of the state (3, '>'"),
    "metadata": (np.dtype("f8", metadata={"a": 1}), "a NumPy type of the state (4, '<'"),
    "an array": (np.zeros(3), "the global 'numpy._core.multiarray._reconstruct'"),
    "too few bytes": (
        Calls(np._core.multiarray.scalar, np.dtype("f8"), b"1234"),
        "a NumPy scalar that is no plain number",
    ),
    "an unpickling array": (
        Calls(np._core.multiarray.scalar, "f8", b"12345678"),
        "a NumPy scalar that is no plain number",
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_other_things_of_numpy_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """numpy.core.multiarray.scalar of an object type would load a pickle in its bytes."""
    contents = published(small())
    contents["G_ema"].meta["state"]["gain"] = NUMBERS[name][0]
    refused(tmp_path, contents, NUMBERS[name][1])


def laughing(depth: int = 64) -> Any:
    """2^64 words when it is written out."""
    words: Any = ["ha"]
    for _ in range(depth):
        words = [words, words]
    return words


def mapping_state(contents: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = contents["G_ema"].meta["state"]["_modules"]["mapping"].meta["state"]
    return state


def deep_modules(key: str, depth: int) -> Persistent:
    module = Persistent("MappingNetwork", {"_modules": {}})
    for _ in range(depth):
        module = Persistent("MappingNetwork", {"_modules": {key: module}})
    return module


class SameArguments:
    """A call whose tuple of arguments stands once in the file."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, self.arguments


def many_tensors(size: tuple[int, ...], *, number: int) -> list[Calls]:
    """Tensors of one size, which stands once in the file: 24 bytes of it are a tensor."""
    opened, hooks = Calls(torch.storage._load_from_bytes, WHOLE), dict[str, Any]()
    return [
        Calls(torch._utils._rebuild_tensor_v2, opened, 0, size, size, False, hooks)
        for _ in range(number)
    ]


def many_calls(more: tuple[int, ...], *, number: int) -> list[SameArguments]:
    opened = Calls(torch.storage._load_from_bytes, WHOLE)
    arguments = (opened, 0, (5,), (1,), False, {}, None, *more)
    return [SameArguments(arguments) for _ in range(number)]


BOMBS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a name that is none": (
        lambda c: mapping_state(c)["_buffers"].update({"a\x1b[2J": torch.zeros(1)}),
        "mapping._buffers: found 'a\\x1b[2J'; expected a short name",
    ),
    "a name of another alphabet": (
        lambda c: mapping_state(c)["_buffers"].update({"w_аvg": torch.zeros(1)}),
        "mapping.w_\\u0430vg: found (1,)",
    ),
    "long names, nested": (
        lambda c: mapping_state(c)["_modules"].update(a=deep_modules("b" * 150, 50)),
        "expected a short name",
    ),
    "many modules, nested": (
        lambda c: mapping_state(c)["_modules"].update(a=deep_modules("bbb", 60)),
        "expected a short name",
    ),
    "a list that is written out for ever": (
        lambda c: c["G_ema"].meta["state"]["_init_kwargs"].update(z_dim=laughing()),
        "argument z_dim: found [[[",
    ),
    "the same in a module": (
        lambda c: (
            c["G_ema"]
            .meta["state"]["_init_kwargs"]
            .update(z_dim=Persistent("Generator", {"a": laughing()}))
        ),
        "argument z_dim: found <PickledModule>",
    ),
    "bytes without end": (
        lambda c: c["G_ema"].meta["state"]["_init_kwargs"].update(z_dim=b"\0" * 10**6),
        "and 999900 bytes more; expected 7",
    ),
    "long text, many times": (
        lambda c: c["G_ema"].meta["state"]["_init_kwargs"].update(z_dim=[[["ha" * 200] * 6] * 6]),
        "...; expected 7",
    ),
    "an integer without end": (
        lambda c: c["G_ema"].meta["state"]["_init_kwargs"].update(z_dim=10**5000),
        "argument z_dim: found an integer of 16610 bits; expected 7",
    ),
    "channels without end": (
        lambda c: (
            c["G_ema"]
            .meta["state"]["_modules"]["synthesis"]
            .meta["state"]["_modules"]["b32"]
            .meta["state"]["_modules"]["conv1"]
            .meta["state"]["_parameters"]
            .update(weight=rebuilt(WHOLE, 0, (2**39, 4, 3, 3), (1, 1, 1, 1)))
        ),
        "conv1.weight: found (549755813888, 4, 3, 3)",
    ),
    "a filter of many pixels": (
        lambda c: mapping_state(c)["_buffers"].update(resample_filter=torch.zeros(100, 100)),
        "mapping.resample_filter: found (100, 100); expected 4 x 4",
    ),
    "one storage for many": (
        lambda c: mapping_state(c)["_buffers"].update(
            dict.fromkeys(("w_avg", "a"), rebuilt(WHOLE, 0, (5,), (1,)))
        ),
        "expected a tensor of its own",
    ),
    "a size of many numbers, for many tensors": (
        lambda c: c.update(D=many_tensors((1,) * 100_000, number=20_000)),
        "a tensor that is no view of a storage",
    ),
    "more arguments than a tensor has, for many": (
        lambda c: c.update(D=many_calls((1,) * 100_000, number=20_000)),
        "other arguments than those of torch._utils._rebuild_tensor_v2",
    ),
    "a set that is no list": (
        lambda c: c["G_ema"].meta["state"].update(hooks=Calls(set, "text")),
        "a set of what is no list",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_cost_memory_or_time_is_refused_at_once(tmp_path: Path, name: str) -> None:
    change, named = BOMBS[name]
    contents = published(small())
    change(contents)
    start = time.process_time()
    refused(tmp_path, contents, named)
    assert time.process_time() - start < 10  # the alternatives take minutes to for ever


def test_a_set_copies_nothing() -> None:
    """The same list may be the argument of a million calls."""
    members = [1] * 1000
    assert STAND_INS["builtins.set"](members) is members


DEEP: list[Any] = []
for _ in range(200):
    DEEP = [DEEP]
CHANGES = {
    "labels": ({"c_dim": 10}, "argument c_dim: found 10; expected 0"),
    "resolution": ({"img_resolution": 64}, "argument img_resolution: found 64; expected 32"),
    "z": ({"z_dim": 512}, "argument z_dim: found 512; expected 7"),
    "unknown": ({"num_blocks": 3}, "argument num_blocks"),
    "unknown in a group": ({"synthesis_kwargs": {"magnitude_ema_beta": 1}}, "synthesis_kwargs"),
    "activation": ({"mapping_kwargs": {"activation": "relu"}}, "mapping_kwargs.activation"),
    "filter": ({"synthesis_kwargs": {"resample_filter": [1, 1]}}, "expected [1, 3, 3, 1]"),
    "noise": ({"synthesis_kwargs": {"use_noise": False}}, "synthesis_kwargs.use_noise"),
    "rate": ({"mapping_kwargs": {"lr_multiplier": 10**400}}, "lr_multiplier"),
    "clamp": ({"synthesis_kwargs": {"conv_clamp": float("nan")}}, "conv_clamp"),
    "architecture": ({"synthesis_kwargs": {"architecture": "ring"}}, "found 'ring'"),
    "other architecture": (
        {"synthesis_kwargs": {"architecture": "resnet"}},
        "synthesis.b16.skip.weight: found 'nothing'",
    ),
    "deep": ({"z_dim": DEEP}, "argument z_dim: found [[["),
}


@pytest.mark.parametrize("name", CHANGES)
def test_arguments_that_would_change_the_function_are_named(tmp_path: Path, name: str) -> None:
    changed, named = CHANGES[name]
    refused(tmp_path, published(small(), **changed), named)


def test_a_module_in_itself_is_refused(tmp_path: Path) -> None:
    contents = published(small())
    mapping = contents["G_ema"].meta["state"]["_modules"]["mapping"]
    contents["G_ema"].meta["state"]["_modules"]["again"] = mapping
    refused(tmp_path, contents, "expected a module of its own")


def test_another_filter_or_a_missing_layer_is_named(tmp_path: Path) -> None:
    contents = published(small())
    synthesis = contents["G_ema"].meta["state"]["_modules"]["synthesis"]
    block = synthesis.meta["state"]["_modules"]["b8"].meta["state"]
    block["_buffers"]["resample_filter"] = torch.full((4, 4), 1 / 16)
    refused(tmp_path, contents, "synthesis.b8.resample_filter: found [[0.0625")
    del block["_modules"]["torgb"]
    refused(tmp_path, contents, "synthesis.b8.torgb.affine.bias: found 'nothing'")


@pytest.mark.parametrize("contents", [[], {}, {"G_ema": 3}, {"G": None, "D": None}, "text"])
def test_another_pickle_is_named(tmp_path: Path, contents: Any) -> None:
    refused(tmp_path, contents, "expected a dict in which G_ema is a Generator")


def test_a_cut_file_is_refused_and_the_old_output_stays(tmp_path: Path) -> None:
    data = pickle.dumps(published(small()), 4)
    source, out = tmp_path / "net.pkl", tmp_path / "out"
    out.write_text("old")
    for length in range(0, len(data), len(data) // 20):
        source.write_bytes(data[:length])
        with pytest.raises(DataError, match="damaged pickle"):
            convert_generator(source, out)
    assert out.read_text() == "old" and len(list(tmp_path.iterdir())) == 2
    with pytest.raises(DataError, match="found the pickle itself"):
        convert_generator(source, source)


def test_changed_bytes_give_a_generator_or_a_named_error(tmp_path: Path) -> None:
    """Bytes of weights may change; what else happens is one error that names the file."""
    rng = random.Random(0)
    whole = pickle.dumps(published(small()), 4)
    source, out = tmp_path / "net.pkl", tmp_path / "out"
    num_refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 3, 30])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        source.write_bytes(data)
        try:
            convert_generator(source, out)
        except DataError as error:
            assert str(source) in str(error)
            num_refused += 1
        else:
            load_generator(out)
            out.unlink()
        assert [path.name for path in tmp_path.iterdir()] == ["net.pkl"]
    assert 15 < num_refused < 150  # both happen


# --- the written file, and the command ------------------------------------------------------------


def test_a_file_that_is_no_generator_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: found FileNotFoundError"):
        load_generator(tmp_path / "absent")
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="found format None"):
        load_generator(path)
    save_file({"a": torch.zeros(1)}, path, metadata={"format": FORMAT, "header": "{}"})
    with pytest.raises(DataError, match="KeyError"):
        load_generator(path)
    convert_generator(written(tmp_path / "net.pkl", published(small())), path)
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    with pytest.raises(DataError, match="Delete it and make it again"):
        load_generator(path)
    (length,) = struct.unpack("<Q", data[:8])
    head = data[8 : 8 + length].replace(b'\\"z_dim\\": 7', b'\\"z_dim\\": 8')
    assert head != data[8 : 8 + length]
    path.write_bytes(data[:8] + head + data[8 + length :])
    with pytest.raises(DataError, match="another sha256 than it says"):
        load_generator(path)
    older = head.replace(b'"sha256"', b'"sha257"')  # files of before have none, and are read
    assert older != head
    path.write_bytes(data[:8] + older + data[8 + length :])
    with pytest.raises(DataError, match=r"size mismatch for mapping\.fc0\.weight"):
        load_generator(path)


def test_the_command_converts_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = written(tmp_path / "net.pkl", published(small())), tmp_path / "net.safetensors"
    argv = ["convert", "--pickle", str(source), "--out", str(out)]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert "generator of 32x32 images with 3 channels, skip, from z of 7" in printed
    assert f"{source}: sha256 {file_sha256(source)}" in printed
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert record["data_sha256"] == {str(source): file_sha256(source)}
    assert record["config_sha256"] is None and record["train_seconds"] > 0
    source.write_bytes(b"\x80\x02cos\nsystem\n.")
    assert main(argv) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"entropic-ot convert: error: {source}: found the global 'os.system'")


def test_the_published_dogs_must_have_their_checksum_or_be_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EOT_ACCEPT_SHA256", raising=False)
    source, out = (
        written(tmp_path / "afhqdog.pkl", published(small())),
        tmp_path / "net.safetensors",
    )
    argv = ["convert", "--pickle", str(source), "--out", str(out)]
    assert main(argv) == 1
    message = capsys.readouterr().err
    found = hashlib.md5(source.read_bytes()).hexdigest()
    assert f"{source}: found a file with md5 {found}" in message
    assert "expected md5 8fa2162d23fe76012bec12b1910b4e65" in message
    assert f"EOT_ACCEPT_SHA256={file_sha256(source)}" in message
    assert not out.exists()
    monkeypatch.setenv("EOT_ACCEPT_SHA256", file_sha256(source))
    assert main(argv) == 0 and out.exists()


def test_a_pickle_that_is_replaced_while_it_is_read_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = written(tmp_path / "p", published(small())), tmp_path / "out"

    def replaced(*args: Any, **words: Any) -> Any:
        module = read_module(*args, **words)
        path.write_bytes(b"other contents")
        return module

    monkeypatch.setattr(convert_stylegan2, "read_module", replaced)
    with pytest.raises(DataError, match="it was changed while it was read"):
        convert_generator(path, out)
    assert not out.exists()
