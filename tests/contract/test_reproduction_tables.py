"""docs/reproduction.md says what docs/tables say, and these what runs have found."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from entropic_ot.errors import DataError

ROOT = Path(__file__).resolve().parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return script("reproduction_tables")


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


@pytest.fixture(scope="module")
def keeping() -> ModuleType:
    return script("keep_results")


@pytest.mark.parametrize("scale", ["laptop", "paper"])
def test_comparisons_are_those_of_the_kept_rows(keeping: ModuleType, scale: str) -> None:
    found = (ROOT / f"docs/tables/comparison-{scale}.md").read_text()
    expected = keeping.comparison_of(ROOT / f"docs/tables/metrics-{scale}.csv")
    assert found == expected, f"run: python scripts/keep_results.py {scale}"


def test_runs_that_are_given_are_kept_and_replace_their_like(
    keeping: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "metrics-paper.csv"
    with open(ROOT / "docs/tables/metrics-paper.csv") as file:
        lines = file.read().splitlines(keepends=True)
    kept.write_text("".join(lines))
    head = lines[0].strip().split(",")
    (old, *_) = csv.DictReader(lines)
    numbers = {"epsilon": float, "value": float, "dim": int, "seed": int, "n": int}
    row = {name: numbers.get(name, str)(old[name]) for name in head} | {"floor_std": None}
    folder = tmp_path / "metrics/case"
    folder.mkdir(parents=True)
    for seed, value in ((row["seed"], 1.5), (77, 2.5)):
        rows = [row | {"seed": seed, "value": value}]
        (folder / f"{seed}.json").write_text(json.dumps({"rows": rows}))
    words = [str(folder.parent), "--tables", str(tmp_path)]
    assert keeping.main(["paper", *words]) == 0
    now = list(csv.DictReader(kept.open()))
    same = [r for r in now if keeping.run_of(r) == keeping.run_of(row)]
    assert [r["value"] for r in same] == ["1.5"], "all rows of the run are replaced"
    assert [r["value"] for r in now if r["seed"] == "77"] == ["2.5"]
    untouched = [r for r in csv.DictReader(lines) if keeping.run_of(r) != keeping.run_of(row)]
    assert [r for r in now if r["value"] not in ("1.5", "2.5")] == untouched
    assert "± " in (tmp_path / "comparison-paper.md").read_text()
    assert keeping.main(["laptop", *words]) == 1
    assert "found rows of scale paper, expected laptop" in capsys.readouterr().err


def test_peaks_of_memory_are_the_largest_of_each_rule(keeping: ModuleType, tmp_path: Path) -> None:
    head = "s\tmax_rss\tcpu_time\n"
    for name, line in (
        ("train/a/seed0", "9\t300.4\t2.6"),
        ("train/a/seed1", "9\t700.6\t3"),
        ("train/b/seed0", "0\tNA\tNA"),  # over before it was measured
        ("fetch/mnist", "0\tNA\tNA"),
    ):
        (tmp_path / f"{name}.tsv").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.tsv").write_text(f"{head}{line}\n")
    (row,) = keeping.memory_of_rules(tmp_path)
    assert list(row.values()) == ["train", 3, 701, "a/seed1", 6]
    with pytest.raises(DataError, match=r"found no measured jobs"):
        keeping.memory_of_rules(tmp_path / "fetch")
