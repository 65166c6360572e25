"""The plugin that lets a target follow `--resources`."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake_logger_plugin_resourcefix import _is_snakemake, with_separator

SNAKEFILE = """\
rule all:
    default_target: True
    output: "made.txt"
    resources: gpu=1
    shell: "echo all > {output}"
rule other:
    output: "other.txt"
    shell: "echo other > {output}"
"""


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("--cores 8 --resources gpu=1 all", "--cores 8 --resources gpu=1 -- all"),
        ("--resources gpu=1 all", "--resources gpu=1 -- all"),
        ("--res gpu=1 all", "--res gpu=1 -- all"),
        ("--resources gpu=1 mem_mb=1000 all", "--resources gpu=1 mem_mb=1000 -- all"),
        ("--resources gpu=1 a/b.txt c.txt", "--resources gpu=1 -- a/b.txt c.txt"),
        ("-n --cores 8 --resources gpu=1 all", "-n --cores 8 --resources gpu=1 -- all"),
    ],
)
def test_targets_after_resources(given: str, wanted: str) -> None:
    assert with_separator(given.split()) == wanted.split()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "all",
        "--cores 8",
        "--cores 8 all",
        "--cores 8 --resources gpu=1",
        "--cores 8 --resources gpu=1 -- all",
        "all --cores 8 --resources gpu=1",
        "--resources gpu=1 --cores 8 all",
        "--resources gpu=1 --cores 8 -- all",
        # Not of the form that is mended: Snakemake itself is to complain.
        "--resources all",
        "--resources",
        "--resources gpu all",
        "--resources =1 all",
        "--resources gpu= all",
        "--resources gpu=1 all -n",
        "--resources gpu=1 all x=1",
        "--set-resources train:gpu=1 all",
        "--default-resources gpu=1 all",
        "--config scale=smoke all",
        "--resources=gpu=1 all",
    ],
)
def test_everything_else_stays(given: str) -> None:
    assert with_separator(given.split()) == given.split()


@pytest.mark.parametrize(
    ("program", "is_snakemake"),
    [
        ("/home/user/.venv/bin/snakemake", True),
        ("snakemake", True),
        ("/env/lib/python3.11/site-packages/snakemake/__main__.py", True),
        ("/home/user/.venv/bin/pytest", False),
        ("snakemake-wrapper", False),
        ("", False),
    ],
)
def test_other_programs_are_left_alone(program: str, is_snakemake: bool) -> None:
    assert _is_snakemake(program) is is_snakemake


def test_import_leaves_the_arguments_of_other_programs() -> None:
    code = (
        "import sys; sys.argv[1:] = ['--resources', 'gpu=1', 'all']; "
        "import snakemake_logger_plugin_resourcefix; print(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['--resources', 'gpu=1', 'all']"


def test_it_is_installed_normally() -> None:
    """Snakemake's search for plugins does not see editable installations."""
    files = importlib.metadata.files("snakemake-logger-plugin-resourcefix") or []
    assert any(file.name == "__init__.py" for file in files)


@pytest.mark.parametrize("start", [["snakemake"], ["python", "-m", "snakemake"]])
@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("--cores 8 --resources gpu=1 all", "made.txt"),
        ("--cores 8 --resources gpu=1 other", "other.txt"),
        ("--cores 8 --resources gpu=1 -- other", "other.txt"),
        ("other --cores 8 --resources gpu=1", "other.txt"),
        ("--cores 8 --resources gpu=1", "made.txt"),
    ],
)
def test_the_command_itself(tmp_path: Path, start: list[str], words: str, made: str) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    program = Path(sys.executable).parent / start[0]
    command = [str(program), *start[1:], *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.glob("*.txt")] == [made]
