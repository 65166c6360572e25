"""docs/reproduction.md says what docs/tables say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from entropic_ot.errors import DataError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    path = ROOT / "scripts/reproduction_tables.py"
    spec = importlib.util.spec_from_file_location("reproduction_tables", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    __import__("sys").modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_holds_every_table_as_the_csv_files_have_it(tables: ModuleType) -> None:
    page = (ROOT / "docs/reproduction.md").read_text()
    names = [match.group(2) for match in tables.BLOCK.finditer(page)]
    assert sorted(names) == sorted(tables.TABLES)
    assert tables.filled(page) == page, "run: python scripts/reproduction_tables.py"


def test_a_changed_number_and_an_unknown_table_are_noticed(tables: ModuleType) -> None:
    block = "<!-- table gaussian-laptop -->\nwrong\n<!-- end -->"
    assert "wrong" not in tables.filled(block) and "| gaussian-d16 |" in tables.filled(block)
    with pytest.raises(DataError, match=r"found a table nothing; expected one of gaussian-laptop"):
        tables.filled(block.replace("gaussian-laptop", "nothing"))


def test_numbers_are_short_and_honest_about_seeds(tables: ModuleType) -> None:
    assert [tables.digits(v) for v in (0.0, 123.4, 12.34, 0.12345, 0.000123)] == [
        *("0", "123", "12.3", "0.123", "0.00012"),
    ]
    found = tables.find("paper", "msci-d50-2to4", "enot", 0.1, "energy_distance")
    assert len(found.rows) > 1 and "±" in found.text(seeds=True)
    assert tables.Found(found.rows[:1]).text(seeds=True).endswith("¹")
    assert tables.Found([]).text(seeds=True) == "–"
