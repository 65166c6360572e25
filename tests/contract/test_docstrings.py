"""Every public name says what it is; every field of a configuration says what it means."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from entropic_ot.experiments import config as experiment_config
from entropic_ot.experiments import generator_config
from entropic_ot.experiments.comparison import paper_values
from entropic_ot.experiments.params import schema as params_schema
from entropic_ot.generators import config as generators_config
from entropic_ot.networks import config as network_config
from entropic_ot.solvers import config as solver_config

PACKAGE = Path(__file__).parents[2] / "src" / "entropic_ot"
FILES = sorted(f for f in PACKAGE.rglob("*.py") if f.name != "__main__.py")
CONFIG_MODULES = (
    *(experiment_config, params_schema, paper_values, network_config, solver_config),
    *(generator_config, generators_config),
)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(tree: ast.Module) -> Iterator[Definition]:
    """Functions and classes of a module without a leading underscore."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(PACKAGE).as_posix())
def test_modules_and_their_public_functions_and_classes_have_docstrings(file: Path) -> None:
    tree = ast.parse(file.read_text())
    missing = [node.name for node in public(tree) if not ast.get_docstring(node)]
    if not ast.get_docstring(tree):
        missing.append("the module itself")
    assert missing == []


def undocumented_fields(cls: ast.ClassDef) -> list[str]:
    """Annotated names of a class body that no string follows."""
    missing = []
    for node, after in zip(cls.body, [*cls.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
                missing.append(node.target.id)
    return missing


def config_classes() -> list[tuple[str, ast.ClassDef]]:
    """Public dataclasses that stand for a part of params.yaml or of a run's file."""
    found = []
    for module in CONFIG_MODULES:
        tree = ast.parse(Path(module.__file__ or "").read_text())
        for node in public(tree):
            cls = getattr(module, node.name)
            keyword_only = dataclasses.is_dataclass(cls) and dataclasses.fields(cls)[0].kw_only
            if isinstance(node, ast.ClassDef) and keyword_only:
                found.append((node.name, node))
    return found


def test_the_configurations_are_found() -> None:
    names = {name for name, _ in config_classes()}
    assert {"ENOTConfig", "NetworkConfig", "RunConfig", "ParamsFile", "MSCIProblem"} <= names


@pytest.mark.parametrize("name", [name for name, _ in config_classes()])
def test_every_field_of_a_configuration_has_a_docstring(name: str) -> None:
    assert undocumented_fields(dict(config_classes())[name]) == []


def test_the_check_notices_a_field_without_a_docstring() -> None:
    cls = ast.parse('class A:\n    a: int\n    """What."""\n    b: int\n    c: int = 3').body[0]
    assert isinstance(cls, ast.ClassDef)
    assert undocumented_fields(cls) == ["b", "c"]
