"""The commands that README.md and the other pages name exist, with their options."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entropic_ot import EOTProblem, cli, fit

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "config" / "README.md"])
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
HAS_SLURM = importlib.util.find_spec("snakemake_executor_plugin_slurm") is not None
VARIABLES = {"PYTHON", "TORCH_INDEX", "PIP_ARGS", "BENCH_ARGS", "PYTEST_ARGS"}


def commands_of(text: str, program: str) -> list[list[str]]:
    """The words after `program` in code, blocks and inline, up to a comment or another command."""
    code = re.findall(r"```(?:bash|sh|python)?\n(.*?)```", text, flags=re.DOTALL)
    code += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = []
    for line in "\n".join(code).splitlines():
        for part in re.split(r"&&|\|\||[;|#]", line):
            words = part.split()
            if words[:1] == [program]:
                found.append(words[1:])
    return found


def subcommands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def test_the_reader_of_pages_sees_commands() -> None:
    text = (
        "Run `make all` or\n```bash\nmake test   # all\n. x && entropic-ot fetch orl --out a\n```\n"
    )
    assert commands_of(text, "make") == [["test"], ["all"]]
    assert commands_of(text, "entropic-ot") == [["fetch", "orl", "--out", "a"]]
    readme = (ROOT / "README.md").read_text()
    assert len(commands_of(readme, "make")) >= 4 and len(commands_of(readme, "snakemake")) >= 2


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_make_targets_exist(page: Path) -> None:
    for words in commands_of(page.read_text(), "make"):
        if words[:1] == ["-C"]:
            words = words[2:]
        for word in words:
            name, equals, _ = word.partition("=")
            known = name in VARIABLES if equals else name in TARGETS or name.startswith("--")
            assert known or name != name.lower(), f"make {' '.join(words)}: {word}"
            if equals or name.startswith("-"):
                break


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_and_their_options_exist(page: Path) -> None:
    known = subcommands()
    for words in commands_of(page.read_text(), "entropic-ot"):
        if not words or words[0].startswith("-"):
            continue
        for name in words[0].split("|"):
            assert name in known, f"entropic-ot {' '.join(words)}"
        options = known[words[0].split("|")[0]]._option_string_actions
        for word in words[1:]:
            if word.startswith("--"):
                assert word.split("=")[0] in options, f"entropic-ot {' '.join(words)}: {word}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_snakemake_commands_can_be_parsed(page: Path) -> None:
    from snakemake.cli import parse_args
    from snakemake_logger_plugin_resourcefix import with_separator

    for words in commands_of(page.read_text(), "snakemake"):
        if any(re.search(r"[…<]|\.\.\.", word) for word in words):
            continue  # a pattern, not a command
        if not HAS_SLURM and any("slurm" in word for word in words):
            continue  # its options come with the plugin of the extra `slurm`
        try:
            parse_args(with_separator(words))
        except (SystemExit, ValueError) as error:
            pytest.fail(f"snakemake {' '.join(words)}: {error!r}")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_dvc_commands_and_their_options_exist(page: Path) -> None:
    from dvc.cli.parser import get_main_parser

    for words in commands_of(page.read_text(), "dvc"):
        parser = get_main_parser()
        for depth, word in enumerate(words):
            names: dict[str, argparse.ArgumentParser] = {}
            for action in parser._actions:
                if isinstance(action, argparse._SubParsersAction):
                    names = dict(action.choices)
            if word.strip(",") in names:
                parser = names[word.strip(",")]
            else:
                assert depth > 0 or word.startswith("-"), f"dvc {' '.join(words)}: {word}"
                break
        for word in words:
            option = word.split("=")[0]
            if option.startswith("-"):
                assert option in parser._option_string_actions, f"dvc {' '.join(words)}: {word}"


@pytest.mark.slow
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    """As far as nothing is installed or computed: make prints its recipes, Snakemake plans."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    readme = (ROOT / "README.md").read_text()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "EOT_"))}

    def run(*words: str) -> str:
        done = subprocess.run(
            words, cwd=clone, env=ours | {"PATH": path}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    first_block = re.findall(r"```bash\n(.*?)```", readme, flags=re.DOTALL)[0]
    named = [line.partition("#")[0].split() for line in first_block.splitlines()]
    assert named == [["make", "all"], ["make", "test"]]
    recipes = [run("make", "--dry-run", *words[1:]) for words in named]
    assert all("scripts/setup.sh" in recipe for recipe in recipes)
    assert "snakemake --cores 8 --resources gpu=1 all" in recipes[0] and "pytest" in recipes[1]
    without_make = ["--cores", "8", "--resources", "gpu=1", "all"]
    assert without_make in commands_of(readme, "snakemake")
    assert "toy_8gaussians" in run("snakemake", "--dry-run", *without_make)
    assert "toy_8gaussians" in run("snakemake", "--dry-run", "--config", "scale=smoke", "--", "all")
    for command in ("configure", "summary"):
        assert "usage: entropic-ot" in run(sys.executable, "-m", "entropic_ot", command, "--help")


def test_the_python_of_the_readme_runs() -> None:
    """Block after block, with few steps, on random vectors and images of the named shapes."""
    readme = (ROOT / "README.md").read_text()
    vectors, images, light = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    rng = np.random.default_rng(0)
    names: dict[str, Any] = {k: rng.standard_normal((600, 3)) for k in ("x", "y", "x_new")}

    def run(block: str) -> None:
        text, replaced = re.subn(r"\bsteps=\d+", "steps=2", block)
        assert replaced == block.count("fit(")
        exec(text, names)

    run(vectors)
    assert names["y_new"].shape == (600, 3) and names["y_new"].isfinite().all()
    pictures = (np.tanh(rng.standard_normal((80, 3, 16, 16))) for _ in range(2))
    names["problem"] = EOTProblem.from_arrays(*pictures, epsilon=1.0)
    run(images)
    fit(names["solver"], names["problem"], steps=1)
    run(light)
    assert names["y_new"].shape == (600, 3) and names["y_new"].isfinite().all()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_linked_files_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
