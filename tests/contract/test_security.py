"""What docs/security.md promises about the source, held by reading it; and what files may be read
by whom."""

from __future__ import annotations

import ast
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from entropic_ot.data.arrays import staged_folder, write_meta, write_rows
from entropic_ot.files import atomic_path, write_json

ROOT = Path(__file__).parents[2]
FILES = sorted(
    file
    for folder in ("src", "workflow", "benchmarks", "scripts")
    for file in (ROOT / folder).rglob("*.py")
    if ".snakemake" not in file.parts
)
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))

NEVER = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "joblib.load"),
    *("marshal.load", "marshal.loads", "shelve.open", "pandas.read_pickle", "pd.read_pickle"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "torch.hub.load", "torch.jit.load"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all"),
    *("os.chmod", "os.umask", "os.execv", "os.execvp", "ssl._create_unverified_context"),
}
NEVER_METHODS = {"extractall", "extract", "unpack_archive", "chmod"}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader", "_UniqueKeyLoader"}


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a call's function; the last names alone where it is called on an expression."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> object:
    """The constant given for a keyword; None where it is not given."""
    for word in call.keywords:
        if word.arg == name:
            return word.value.value if isinstance(word.value, ast.Constant) else "not a constant"
    return None


def complaint(call: ast.Call) -> str | None:
    """Why a call must not stand in the source; None where it may."""
    name = dotted(call.func)
    if name in NEVER:
        return f"{name} is never called"
    if isinstance(call.func, ast.Attribute) and call.func.attr in NEVER_METHODS:
        return f".{call.func.attr}() is never called: archives are read by data/archives.py"
    if name == "torch.load" and keyword(call, "weights_only") is not True:
        return "torch.load without weights_only=True"
    if keyword(call, "allow_pickle") not in (None, False):  # False is numpy's default
        return "allow_pickle=True"
    if name == "yaml.load":
        loaders = [dotted(v) for v in (*call.args[1:], *(w.value for w in call.keywords))]
        if not set(loaders) & SAFE_LOADERS:
            return f"yaml.load with {loaders}"
    if name.startswith("subprocess.") or name.endswith("Popen"):
        if keyword(call, "shell") not in (None, False):
            return "a shell"
        if call.args and isinstance(call.args[0], (ast.Constant, ast.JoinedStr)):
            return "a command that is one string, not a list of words"
    return None


def calls(text: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_nothing_executes_or_unpacks_what_it_reads(file: Path) -> None:
    found = [f"line {c.lineno}: {why}" for c in calls(file.read_text()) if (why := complaint(c))]
    assert found == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_no_module_that_unpickles_is_imported(file: Path) -> None:
    """pickletools takes a pickle apart without running it; `Unpickler` by another name would not be
    seen above."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve"} & set(names)


@pytest.mark.parametrize(
    "text",
    [
        *("torch.load(f)", "torch.load(f, weights_only=False)", "torch.load(f, weights_only=x)"),
        *("np.load(f, allow_pickle=True)", "yaml.load(f)", "eval('1')"),
        *("yaml.load(f, Loader=yaml.Loader)", "tape.extractall()", "bundle.extract('a')"),
        *("subprocess.run(x, shell=True)", "subprocess.run(f'ls {x}')", "os.system('ls')"),
    ],
)
def test_the_reader_of_the_source_sees_what_it_looks_for(text: str) -> None:
    assert all(complaint(call) for call in calls(text)) and list(calls(text))


# --- downloads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_no_address_is_plain_http(file: Path) -> None:
    assert "http://" not in file.read_text()


def test_certificates_are_checked() -> None:
    words = re.compile(r"CERT_NONE|check_hostname|_create_unverified|verify=False|--trusted-host")
    assert [f for f in FILES if words.search(f.read_text())] == []


# --- the shell commands of rules ------------------------------------------------------------------

PLACEHOLDER = re.compile(r"(?<!\{)\{([a-z_.\[\]]+)(:q)?\}(?!\})")
FREE_TEXT = {"input.pickle", "input.script", "input.notebook", "input.paper_values"}
"""Values that are neither checked names nor made of such: a path that a user chose, and files of
this repository, which may lie in a folder of any name where it is used as a module."""


def shell_commands(rules: str) -> list[str]:
    """The texts below `shell:`, each joined."""
    blocks = re.findall(r"^    shell:\n((?:        .*\n)+)", rules, flags=re.MULTILINE)
    return ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', block)) for block in blocks]


@pytest.mark.parametrize("file", RULES, ids=lambda f: f.name)
def test_free_text_is_quoted_in_shell_commands(file: Path) -> None:
    for command in shell_commands(file.read_text()):
        for name, quoted in PLACEHOLDER.findall(command):
            assert name.split(".")[0] in {"input", "output", "params", "log", "wildcards"}, command
            assert quoted or name not in FREE_TEXT, f"{name} stands unquoted in: {command}"


def test_every_rule_with_a_command_is_seen() -> None:
    for file in RULES:
        assert len(shell_commands(file.read_text())) == file.read_text().count("    shell:\n")


NAMES = re.search(r'^NAMES = "(.*)"$', (ROOT / "workflow/rules/common.smk").read_text(), re.M)


def test_wildcards_hold_nothing_that_a_shell_reads() -> None:
    assert NAMES is not None
    for good in ("gaussian-d16", "enot-eps1e+06-seed0", "eps0.1", "afhq-cat2dog-64px-skip"):
        assert re.fullmatch(NAMES[1], good)
    for bad in (
        "a b",
        "a;b",
        "$(a)",
        "`a`",
        "a'b",
        'a"b',
        "a\nb",
        "a&b",
        "a|b",
        "a>b",
        "*",
        "a/b",
        "",
    ):
        assert not re.fullmatch(NAMES[1], bad), bad


def test_every_wildcard_has_such_a_constraint() -> None:
    text = "".join(file.read_text() for file in RULES)
    used = set(re.findall(r"\{wildcards\.(\w+)|\bw\.(\w+)", text))
    used = {name for pair in used for name in pair if name}
    common = (ROOT / "workflow" / "rules" / "common.smk").read_text()
    block = common.split("\nwildcard_constraints:\n")[1].split("\n\n")[0]
    constrained = set(re.findall(r"^    (\w+)=NAMES,$", block, flags=re.MULTILINE))
    assert {"case", "run", "dataset", "generator", "dim"} <= used
    assert used <= constrained | {"file"}, used - constrained  # file: the names of known weights
    assert not re.search(r'\w+="\[\^/\]\+"', text), "a constraint that lets a shell's signs through"


# --- who may read and write what is written -------------------------------------------------------


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o022])
def test_what_is_written_respects_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_json(tmp_path / "new" / "a.json", {})
        with atomic_path(tmp_path / "new" / "b") as temporary:
            temporary.write_text("")
            modes = [temporary.stat().st_mode]
        with staged_folder(tmp_path / "data") as staging:
            modes.append(staging.stat().st_mode)
            write_rows(staging / "rows.npy", np.zeros((2, 2), np.float32), np.arange(2))
            write_meta(staging, {})
    finally:
        os.umask(before)
    modes += [path.stat().st_mode for path in tmp_path.rglob("*")]
    assert len(modes) == 8
    assert all(stat.S_IMODE(mode) & mask == 0 for mode in modes)
    assert (tmp_path / "new" / "a.json").stat().st_mode & 0o777 == 0o666 & ~mask
