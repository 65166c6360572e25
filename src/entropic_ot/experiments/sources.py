"""Which source files a module's results depend on, found without importing anything.

A rule of the workflow depends on the sources of the command that does its work, so that editing a
metric recomputes metrics and retrains nothing. It does so through one small file, the list of
these sources with their hashes, as it depends on params.yaml through resolved JSON files
(docs/decisions/0001-resolved-configs.md). The list is made by reading import statements, because
importing a command to ask it would load PyTorch whenever Snakemake starts. It ends with the pinned
versions of the libraries that these sources import: another version of torch is another training,
another version of scipy other metrics, and one of a tool such as ruff changes nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from entropic_ot.errors import DataError
from entropic_ot.files import file_sha256, write_text

_DISTRIBUTIONS = {"PIL": "pillow", "ot": "pot", "yaml": "pyyaml"}
"""Import name -> name in the lock file, where they differ by more than case and underscores."""
_ANNOTATIONS = {"jaxtyping"}
"""What is imported for annotations alone; no result depends on its version."""


def source_closure(module: str, root: Path | str = "src") -> list[str]:
    """The files that `module` imports from its own top-level package, directly or not.

    Args:
        module: dotted name, as in ``entropic_ot.commands.train``.
        root: the folder that holds the top-level package.

    Imports inside functions count, those under ``if TYPE_CHECKING`` do not; the ``__init__`` of
    every package on the way counts, since Python executes it. Names that are put together at run
    time (``importlib.import_module(f"...")``) are not seen.

    Returns:
        Sorted paths that start with `root`, `module`'s own file included.

    Raises:
        ModuleNotFoundError: there is no file for `module` below `root`.
    """
    root = Path(root)
    if _module_file(module, root) is None:
        raise ModuleNotFoundError(f"no source file for module {module} below {root}", name=module)
    return sorted(file.as_posix() for file in _closure(module, root))


def imported_libraries(module: str, root: Path | str = "src") -> list[str]:
    """The top-level names, sorted, that the files of `source_closure` import from elsewhere.

    Those of the standard library are among them, and those of packages that may be missing.
    """
    own = module.partition(".")[0]
    imports = _closure(module, Path(root)).values()
    return sorted({name.partition(".")[0] for names in imports for name in names} - {own, ""})


def pinned_versions(lock: Path) -> dict[str, str]:
    """Name of a distribution, in lower case with hyphens -> its line ``name==version``.

    Raises:
        DataError: `lock` is not there.
    """
    if not lock.is_file():
        raise DataError.about(
            lock,
            found="no such file",
            expected="pinned versions of libraries, one name==version a line",
            action="Restore it: git checkout -- requirements.lock",
        )
    lines = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", lock.read_text(), flags=re.MULTILINE)
    return {_normalised(name): f"{_normalised(name)}=={version}" for name, version in lines}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _versions_of(libraries: Iterable[str], pins: Mapping[str, str]) -> list[str]:
    names = (_DISTRIBUTIONS.get(name, name) for name in libraries if name not in _ANNOTATIONS)
    return sorted(pins[name] for name in map(_normalised, names) if name in pins)


def _closure(module: str, root: Path) -> dict[Path, tuple[str, ...]]:
    """The files of `source_closure`, each with all that it imports."""
    found: dict[Path, tuple[str, ...]] = {}
    seen: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        file = _module_file(name, root)
        if file is None:  # an attribute of a module: `from package.module import function`
            continue
        if "." in name:
            queue.append(name.rpartition(".")[0])
        top_level = name.partition(".")[0]
        found[file] = _imports(file, file.stat().st_mtime_ns, name)
        queue += [i for i in found[file] if i.partition(".")[0] == top_level]
    return found


def write_source_lists(
    folder: Path, modules: Mapping[str, str], root: Path | str = "src", *, lock: Path
) -> list[Path]:
    """Write ``folder/<name>.txt`` for every name and module, but only those whose text changes.

    A list has the format of ``sha256sum``, so ``sha256sum --check`` says what was edited since;
    versions of libraries, from the file `lock`, are comments in it. Lists of other names are
    removed. Returns the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hashes: dict[str, str] = {}
    pins = pinned_versions(lock)
    files = []
    for name, module in modules.items():
        sources = source_closure(module, root)
        for source in sources:
            if source not in hashes:
                hashes[source] = file_sha256(Path(source))
        lines = [f"{hashes[source]}  {source}" for source in sources]
        lines += [f"# {line}" for line in _versions_of(imported_libraries(module, root), pins)]
        text = "".join(f"{line}\n" for line in lines)
        file = folder / f"{name}.txt"
        if not file.exists() or file.read_text() != text:
            write_text(file, text)
        files.append(file)
    for file in folder.glob("*.txt"):
        if file not in files:
            file.unlink()
    return files


def _module_file(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_name(path.name + ".py")):
        if candidate.is_file():
            return candidate
    return None


@cache
def _imports(file: Path, _mtime_ns: int, module: str) -> tuple[str, ...]:
    """Absolute dotted names that `file` may import; attributes of modules are among them."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    return tuple(dict.fromkeys(_imported_names(tree, package)))


def _imported_names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [base])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    else:
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            children: Iterator[ast.AST] = iter(node.orelse)
        else:
            children = ast.iter_child_nodes(node)
        for child in children:
            yield from _imported_names(child, package)


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"
