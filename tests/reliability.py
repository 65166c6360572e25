"""The table of faults in docs/reliability.md: from the marks of tests, and how their run ended.

    @pytest.mark.fault("SIGKILL during training", "goes on from the last checkpoint")

marks a test that injects a fault, with what happens then. `python -m pytest -m fault
--reliability=docs/reliability.md` (with =) runs all of them and writes the table; what is between
its two marks in that file is replaced, the rest stays.
"""

from __future__ import annotations

import ast
import datetime
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
BEGIN, END = "<!-- the table of faults begins -->", "<!-- the table of faults ends -->"


@dataclass(frozen=True, order=True)
class Fault:
    """One marked test."""

    name: str
    what_happens: str
    test: str
    """Its file and function."""

    @property
    def row(self) -> str:
        return f"| {self.name} | {self.what_happens} | `{self.test}` |"


@dataclass
class Outcomes:
    """How the cases of one test ended."""

    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"passed{f' ({self.passed})' if self.passed > 1 else ''}"] * (self.passed > 0)
        parts += [f"FAILED ({self.failed})"] * (self.failed > 0)
        parts += [f"skipped: {reason}" for reason in dict.fromkeys(self.skipped)]
        return "; ".join(parts)


def table(results: dict[Fault, Outcomes]) -> str:
    """The rows in the order of the faults' names."""
    head = ["| fault | what happens | test | last run |", "|---|---|---|---|"]
    return "\n".join(head + [f"{fault.row} {results[fault]} |" for fault in sorted(results)])


def described_commit() -> str:
    """The commit of this run and its day, with a word where files differed from it."""
    command = ["git", "-C", str(TESTS), "describe", "--always", "--exclude=*", "--dirty= (edited)"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return f"Last run: commit `{commit or 'none'}`, {datetime.date.today():%Y-%m-%d}."


def marked_tests() -> set[Fault]:
    """All marked tests, read from the sources without importing them."""
    return {fault for path in sorted(TESTS.rglob("test_*.py")) for fault in _marked(path)}


def _marked(path: Path) -> Iterator[Fault]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault":
                name, what_happens = (ast.literal_eval(word) for word in call.args)
                yield Fault(name, what_happens, _name(path, node.name))


def _name(path: Path, function: str) -> str:
    return f"{path.relative_to(TESTS.parent).as_posix()}::{function}"


class Recorder:
    """Gathers the outcomes of marked tests, also those of xdist's workers."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.results: dict[Fault, Outcomes] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        for key, words in report.user_properties:
            if key != "fault":
                continue
            outcomes = self.results.setdefault(Fault(*map(str, words)), Outcomes())
            if report.skipped:
                assert isinstance(report.longrepr, tuple)
                outcomes.skipped.append(report.longrepr[2].removeprefix("Skipped: "))
            elif report.passed:
                outcomes.passed += 1
            else:
                outcomes.failed += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        missing = marked_tests() - set(self.results)
        if missing:
            names = ", ".join(fault.test for fault in sorted(missing))
            terminalreporter.write_line(
                f"ERROR: {len(missing)} marked tests were not run, so {self.file} stays as it was: "
                f"{names[:500]}"
            )
            return
        head, _, rest = self.file.read_text().partition(BEGIN)
        tail = rest.partition(END)[2]
        rows = table(self.results)
        text = f"{head}{BEGIN}\n{described_commit()}\n\n{rows}\n{END}{tail}"
        self.file.write_text(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        *("--reliability",), type=Path, metavar="FILE", help="write the table of faults into FILE"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "fault(name, what_happens): injects a fault; listed in docs/reliability.md"
    )
    file = config.getoption("--reliability")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(file))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("fault"):
            function = getattr(item, "originalname", None) or item.name
            item.user_properties.append(("fault", (*mark.args, _name(item.path, function))))
