"""The import closure behind "editing a metric retrains nothing"."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import write_sources

from entropic_ot.errors import DataError
from entropic_ot.experiments.sources import (
    imported_libraries,
    pinned_versions,
    source_closure,
    write_source_lists,
)

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A package with every kind of import in it."""
    files = {
        "pack/__init__.py": "",
        "pack/a.py": "import pack.b\nimport os\n",
        "pack/b.py": "from pack.sub import c\n",
        "pack/sub/__init__.py": "",
        "pack/sub/c.py": "from . import d\nfrom ..e import thing\n",
        "pack/sub/d.py": "def f():\n    from pack.lazy import g\n    return g\n",
        "pack/sub/never.py": "",
        "pack/e.py": "thing = 1\n",
        "pack/lazy.py": "import typing\nif typing.TYPE_CHECKING:\n    import pack.types\n",
        "pack/types.py": "",
        "pack/cycle1.py": "import pack.cycle2\n",
        "pack/cycle2.py": "import pack.cycle1\n",
        "pack/other.py": "import packed\nimport elsewhere.pack.e\n",
        "pack/init/__init__.py": "from .inner import x\n",
        "pack/init/inner.py": "x = 1\n",
        "pack/uses_init.py": "from pack.init import x\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def names(root: Path, module: str) -> list[str]:
    return [str(Path(f).relative_to(root)) for f in source_closure(module, root)]


def test_follows_imports_of_all_kinds(root: Path) -> None:
    assert names(root, "pack.a") == [
        "pack/__init__.py",
        "pack/a.py",
        "pack/b.py",
        "pack/e.py",
        "pack/lazy.py",
        "pack/sub/__init__.py",
        "pack/sub/c.py",
        "pack/sub/d.py",
    ]


def test_imports_of_a_package_itself_count(root: Path) -> None:
    assert "pack/init/inner.py" in names(root, "pack.uses_init")


def test_cycles_end(root: Path) -> None:
    assert names(root, "pack.cycle1") == ["pack/__init__.py", "pack/cycle1.py", "pack/cycle2.py"]


def test_other_packages_are_not_followed(root: Path) -> None:
    assert names(root, "pack.other") == ["pack/__init__.py", "pack/other.py"]


def test_edited_imports_are_seen(root: Path) -> None:
    assert "pack/e.py" not in names(root, "pack.types")
    (root / "pack/types.py").write_text("import pack.e  # now longer\n")
    assert "pack/e.py" in names(root, "pack.types")


def test_unknown_module(root: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pack\.nothing"):
        source_closure("pack.nothing", root)


def test_paths_are_relative_to_the_working_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    assert source_closure("pack.types", root.name) == [
        f"{root.name}/pack/__init__.py",
        f"{root.name}/pack/types.py",
    ]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Pins of what pack.sub.c imports in the tests below, and of a tool that it does not."""
    path = tmp_path / "pins.lock"
    path.write_text("# A comment.\nnumpy==1.0\nPOT==2.0.post1\nruff==3.0\n")
    return path


def test_lists_change_only_with_their_sources(root: Path, lock: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    modules = {"first": "pack.a", "second": "pack.cycle1"}
    files = write_source_lists(folder, modules, root, lock=lock)
    assert [f.name for f in files] == ["first.txt", "second.txt"]
    checked = subprocess.run(["sha256sum", "--check", "--quiet", str(files[0])], cwd=root)
    assert checked.returncode == 0
    before = {f: (f.read_text(), f.stat().st_mtime_ns) for f in files}
    (root / "pack/e.py").write_text("thing = 2\n")
    write_source_lists(folder, modules, root, lock=lock)
    assert files[0].read_text() != before[files[0]][0]
    assert (files[1].read_text(), files[1].stat().st_mtime_ns) == before[files[1]]
    write_source_lists(folder, {"second": "pack.cycle1"}, root, lock=lock)
    assert sorted(folder.iterdir()) == [files[1]]


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("numpy==1.0", "numpy==1.1", True),
        ("POT==2.0.post1", "POT==2.0.post2", True),
        ("ruff==3.0", "ruff==3.1", False),
        ("# A comment.", "# Another.", False),
    ],
)
def test_versions_of_imported_libraries_are_in_the_list(
    root: Path, lock: Path, tmp_path: Path, old: str, new: str, changed: bool
) -> None:
    with open(root / "pack/sub/c.py", "a") as file:
        file.write("import numpy.linalg as la\ndef f():\n    import ot\n")
    modules = {"uses": "pack.a", "does_not": "pack.cycle1"}
    files = write_source_lists(tmp_path / "lists", modules, root, lock=lock)
    uses, does_not = (file.read_text() for file in files)
    assert [line for line in uses.splitlines() if line.startswith("#")] == [
        "# numpy==1.0",
        "# pot==2.0.post1",
    ]
    assert "#" not in does_not
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "--strict", files[0]], cwd=root)
    assert checked.returncode == 0  # lines of versions are comments to it
    lock.write_text(lock.read_text().replace(old, new))
    write_source_lists(tmp_path / "lists", modules, root, lock=lock)
    assert (files[0].read_text() != uses) == changed
    assert files[1].read_text() == does_not


def test_without_the_lock_file_is_an_error(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.lock: found no such file"):
        write_source_lists(tmp_path / "lists", {"a": "pack.a"}, root, lock=root / "absent.lock")


# Not in the lock file: what a metric asks for by name, and says how to get.
OPTIONAL = {"torch_fidelity"}


def test_every_library_of_a_command_is_found_in_the_lock_file() -> None:
    """None is missed because its distribution has another name than what is imported."""
    pins = pinned_versions(REPOSITORY / "requirements.lock")
    assert pins["torch"].startswith("torch==")
    for module in write_sources.MODULES.values():
        names = set(imported_libraries(module, REPOSITORY / "src"))
        libraries = names - sys.stdlib_module_names - OPTIONAL
        known = {DISTRIBUTIONS.get(name, name) for name in libraries}
        assert known <= pins.keys(), module


DISTRIBUTIONS = {"PIL": "pillow", "ot": "pot", "yaml": "pyyaml"}


def test_training_does_not_depend_on_what_only_metrics_and_tools_use() -> None:
    libraries = imported_libraries("entropic_ot.commands.train", REPOSITORY / "src")
    assert {"torch", "numpy"} <= set(libraries)
    assert not {"scipy", "matplotlib", "pytest", "snakemake", "dvc"} & set(libraries)


def test_training_does_not_depend_on_metrics_or_plots() -> None:
    train = source_closure("entropic_ot.commands.train", REPOSITORY / "src")
    parts = [Path(f).relative_to(REPOSITORY / "src/entropic_ot").as_posix() for f in train]
    assert "solvers/enot.py" in parts
    assert "cli.py" not in parts
    assert not [p for p in parts if p.startswith(("plotting", "figure_data"))]
    assert not [p for p in parts if p.startswith("metrics/") and p not in METRICS_OF_TRAINING]


FETCHING = {
    f"src/entropic_ot/data/{name}.py"
    for name in ("download", "fetch", "fetch_cifar10", "fetch_mnist", "package_index", "packages")
}


@pytest.mark.parametrize("command", write_sources.COMMANDS)
def test_an_edit_of_what_fetches_data_makes_nothing_stale(command: str) -> None:
    """Data is known by its hash. A stale `prepare` would train every run on images anew."""
    module = write_sources.MODULES[command]
    sources = {
        Path(file).relative_to(REPOSITORY).as_posix()
        for file in source_closure(module, REPOSITORY / "src")
    }
    assert not sources & FETCHING


def test_all_files_that_fetch_are_known_to_that_test() -> None:
    """`entropic-ot fetch` needs them, and no other command does."""

    def closure(module: str) -> set[str]:
        files = source_closure(module, REPOSITORY / "src")
        return {Path(file).relative_to(REPOSITORY).as_posix() for file in files}

    others = set().union(*(closure(module) for module in write_sources.MODULES.values()))
    fetching = closure("entropic_ot.commands.fetch") - others
    assert fetching == FETCHING | {"src/entropic_ot/commands/fetch.py"}


# Names and units only, which params.yaml is checked against; no metric is computed there.
METRICS_OF_TRAINING = ("metrics/__init__.py", "metrics/registry.py")


def test_it_needs_no_torch() -> None:
    """Snakemake reads these modules at every start."""
    code = (
        "import sys; import entropic_ot.experiments.sources, entropic_ot.experiments.params; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- what figures depend on -----------------------------------------------------------------------


def lists_of(notebook: Path) -> set[str]:
    """The sources that the rule of a notebook's figure depends on."""
    lists = write_sources.of_notebook(notebook.stem)
    if notebook.stem == "tables":  # the rule `comparison`
        lists.append(write_sources.list_path("comparison"))
    modules = [write_sources.MODULES[path.stem] for path in lists]
    return {file for module in modules for file in source_closure(module, REPOSITORY / "src")}


@pytest.mark.parametrize(
    "notebook", sorted((REPOSITORY / "workflow/notebooks").glob("*.py")), ids=lambda path: path.stem
)
def test_a_figure_depends_on_all_that_its_notebook_imports(notebook: Path) -> None:
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(notebook.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("entropic_ot")
        for alias in node.names
    }
    assert "entropic_ot.plotting" in imported
    for module in imported:
        assert set(source_closure(module, REPOSITORY / "src")) <= lists_of(notebook), module


def test_what_one_figure_needs_makes_no_other_stale() -> None:
    of_one = {"plotting/mixture.py": "mixture", "plotting/comparison.py": "tables"}
    for notebook in (REPOSITORY / "workflow/notebooks").glob("*.py"):
        files = lists_of(notebook)
        for end, owner in of_one.items():
            found = any(file.endswith(end) for file in files)
            assert found == (notebook.stem == owner), (notebook.stem, end)
