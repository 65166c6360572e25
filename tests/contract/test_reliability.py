"""The table in docs/reliability.md: of the tests there are, and of a run without failures."""

from __future__ import annotations

from pathlib import Path

from reliability import BEGIN, END, marked_tests

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
AGAIN = "write it again: python -m pytest -m fault --reliability=docs/reliability.md"


def table_rows() -> list[str]:
    table = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    return [line for line in table.splitlines() if line.startswith("|")][2:]


def test_the_table_lists_every_marked_test() -> None:
    rows = [row.rpartition(" | ")[0] + " |" for row in table_rows()]
    assert rows == [fault.row for fault in sorted(marked_tests())], AGAIN


def test_the_table_is_of_a_run_in_which_nothing_failed() -> None:
    ends = [row.rpartition(" | ")[2] for row in table_rows()]
    assert all(end.startswith(("passed", "skipped: ")) for end in ends), AGAIN
