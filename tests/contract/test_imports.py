"""Imports go one way, and each part needs only what it should."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
PACKAGE = SRC / "entropic_ot"

# Each part may import itself and parts of a smaller rank; equal ranks do not see each other.
RANKS = {
    "types": 0,
    "errors": 0,
    "files": 0,
    "stopping": 0,
    "progress": 1,
    "distributed": 1,
    "inputs": 1,
    "launch": 1,
    "pixels": 1,
    "restricted_pickle": 1,
    "strict": 1,
    "tensor_file": 1,
    "costs": 2,
    "problems": 3,
    "dynamics": 3,
    "networks": 3,
    "data": 3,
    "solvers": 4,
    "device": 5,
    "metrics": 5,
    "generators": 5,
    "experiments": 6,
    "pages": 7,
    "plotting": 7,
    "figure_data": 8,
    "commands": 8,
    "cli": 9,
    "__main__": 10,
    "__init__": 10,
}
CORE = {"jaxtyping", "numpy", "yaml", "safetensors", "torch", "tqdm"}
"""What is installed without extras (pyproject.toml)."""
EXTRAS = [
    *("snakemake", "dvc", "papermill", "jupytext", "nbconvert", "ipykernel"),
    *("ot", "scipy", "torchvision", "PIL", "matplotlib", "pandas"),
    *("jsonschema", "pydantic", "hypothesis", "pytest"),
]

FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(file: Path) -> str:
    """The first name below entropic_ot: solvers for solvers/enot.py."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(file: Path) -> set[str]:
    """Parts of this package that a file imports anywhere, under TYPE_CHECKING too."""
    parts = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            if node.module == "entropic_ot":
                names = [f"entropic_ot.{alias.name}" for alias in node.names]
            else:
                names = [node.module or ""]
        parts |= {name.split(".")[1] for name in names if name.startswith("entropic_ot.")}
    return parts


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(file: Path) -> None:
    part = part_of(file)
    assert part in RANKS, f"{part} is new: give it a rank in this test"
    for other in imported_parts(file) - {part}:
        assert RANKS[other] < RANKS[part], f"{part} imports {other}"


def test_the_test_sees_the_imports_there_are() -> None:
    assert {"solvers", "problems", "data"} <= imported_parts(PACKAGE / "experiments" / "build.py")
    assert "commands" in imported_parts(PACKAGE / "cli.py")  # inside functions


def loaded_after(code: str, *, absent: Sequence[str] = ()) -> set[str]:
    """Modules and packages loaded after this code in a fresh Python without some packages."""
    lines = ["import sys", *(f"sys.modules[{name!r}] = None" for name in absent), code]
    lines.append("print(*(n for n, m in sys.modules.items() if m is not None))")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    names = done.stdout.splitlines()[-1].split()
    return {*names, *(name.partition(".")[0] for name in names)}


def test_a_package_that_is_made_absent_cannot_be_imported() -> None:
    code = "try:\n import yaml\nexcept ImportError:\n print('absent')"
    assert "yaml" not in loaded_after(code, absent=["yaml"])


def test_commands_that_compute_nothing_load_no_torch() -> None:
    modules = [
        "networks.config",
        "solvers.config",
        "experiments.comparison",
        "experiments.config",
        "experiments.generator_config",
        "generators.config",
        "experiments.params",
        "experiments.paths",
        "experiments.sources",
        "metrics.registry",
        "commands.configure",
        "commands.fetch",
        "commands.prepare",
        "commands.schema",
        "commands.summary",
        "commands.table",
        "cli",
    ]
    loaded = loaded_after("\n".join(f"import entropic_ot.{m}" for m in modules))
    assert "entropic_ot" in loaded
    assert not loaded & {"torch", "safetensors", "jaxtyping", "scipy", "ot", "PIL", "matplotlib"}


def test_help_loads_neither_torch_nor_numpy() -> None:
    code = """
from entropic_ot.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
"""
    loaded = loaded_after(code)
    assert "entropic_ot" in loaded and not loaded & {"torch", "numpy", "yaml", "jaxtyping"}
    assert "numpy" in loaded_after("import entropic_ot; entropic_ot.EOTProblem")  # it can fail


def test_commands_and_solvers_work_with_the_core_dependencies_alone() -> None:
    """One fresh Python for all of them: each import of torch takes seconds."""
    loaded = loaded_after(
        """
import entropic_ot.commands.train, entropic_ot.commands.sample
import entropic_ot.commands.classifier, entropic_ot.commands.evaluate, entropic_ot.commands.table
import entropic_ot.commands.train_generator, entropic_ot.commands.encode
import numpy as np, torch
from entropic_ot import ENOT, EgNOT, EOTProblem, LightSB, fit, make_rng
x = np.zeros((600, 2), dtype=np.float32)
problem = EOTProblem.from_arrays(x, x, epsilon=0.1)
for method in (ENOT, EgNOT, LightSB):
    solver = method((2,), epsilon=0.1)
    fit(solver, problem, steps=1, show=lambda line: None)
    solver.sample(torch.zeros(2, 2), rng=make_rng(0))
""",
        absent=EXTRAS,
    )
    assert "torch" in loaded and not loaded & set(EXTRAS)


def test_sampling_and_evaluating_load_neither_an_optimiser_nor_the_compiler() -> None:
    """The compiler, torch._dynamo, which each optimiser imports, takes as long as torch itself."""
    loaded = loaded_after(
        """
import entropic_ot.commands.sample, entropic_ot.commands.evaluate, entropic_ot.commands.reference
import torch
from entropic_ot import ENOT, EgNOT, LightSB, make_rng
from entropic_ot.solvers.base import AveragedModule
for method in (ENOT, EgNOT, LightSB):
    solver = method((2,), epsilon=0.1)
    parts = {k: v.model_state() for k, v in vars(solver).items() if isinstance(v, AveragedModule)}
    solver.load_state_dict({"model": {**parts, "initialised": True}})
    solver.sample(torch.zeros(2, 2), rng=make_rng(0))
assert not {"torch._dynamo", "scipy", "ot", "torchvision", "PIL", "matplotlib"} & set(sys.modules)
solver.state_dict()  # all that a training goes on from, its optimiser too
"""
    )
    assert "torch._dynamo" in loaded  # so the assertion above can fail


def third_party(file: Path) -> set[str]:
    """Packages that are imported when the file itself is, not inside its functions."""
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names - set(sys.stdlib_module_names) - {"entropic_ot"}


def draws(file: Path) -> bool:
    """Whether a file belongs to what figure notebooks are made of."""
    return part_of(file) == "figure_data" or part_of(file).startswith("plotting")


@pytest.mark.parametrize(
    "file",
    [f for f in FILES if not draws(f)],
    ids=lambda f: f.relative_to(PACKAGE).as_posix(),
)
def test_modules_import_the_core_dependencies_and_no_others(file: Path) -> None:
    assert third_party(file) <= CORE


def test_plotting_knows_no_model() -> None:
    for file in FILES:
        if draws(file):
            assert "torch" not in third_party(file)
            assert not imported_parts(file) & {"solvers", "networks", "dynamics", "problems"}
