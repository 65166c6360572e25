"""Comparison tables: made-up rows with known answers, and the three forms they are written in."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from entropic_ot.errors import DataError
from entropic_ot.experiments.comparison import (
    Comparison,
    PaperValue,
    as_csv,
    as_latex,
    as_markdown,
    compare,
    write_comparison,
)
from entropic_ot.experiments.comparison.text import COLUMNS, NOTES, escaped
from entropic_ot.experiments.tables import MetricRow


def row(method: str, value: float, seed: int = 0, **changed: object) -> MetricRow:
    plain = MetricRow(
        experiment="gaussian",
        variant="d16",
        method=method,
        epsilon=1.0,
        dim=16,
        seed=seed,
        metric="bw_uvp_plan",
        value=value,
        floor=0.02,
        floor_std=None,
        n=1000,
        train_seconds=20.0 + 2 * seed,
        device="CPU, 1 threads",
        commit="0123456789abcdef",
        dirty=False,
    )
    return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]


def paper(method: str, value: float, **changed: object) -> PaperValue:
    plain = PaperValue(
        experiment="gaussian",
        variant=None,
        dim=16,
        epsilon=1.0,
        method=method,
        metric="bw_uvp_plan",
        value=value,
        interval=None,
        remembered=True,
        same_problem=True,
        paper="enot",
        place=None,
        train_seconds=None,
        device=None,
    )
    return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]


def seeds(method: str, *values: float, **changed: object) -> list[MetricRow]:
    return [row(method, value, seed, **changed) for seed, value in enumerate(values)]


def only(tables: list[Comparison]) -> Comparison:
    (table,) = tables
    return table


# --- what is compared ----------------------------------------------------------------------------


def test_mean_interval_floor_seconds_and_paper() -> None:
    rows = [*seeds("enot", 1.0, 2.0), row("egnot", 5.0, floor=0.04, dirty=True)]
    (line,) = only(compare(rows, [paper("enot", 1.4), paper("LSOT", 14.56)])).lines
    enot, egnot, lsot = (line.entries[m] for m in ("enot", "egnot", "LSOT"))
    assert enot.measured is not None and enot.measured.mean == 1.5
    assert enot.measured.half_width == pytest.approx(12.706 / 2, rel=1e-4)
    assert (enot.train_seconds, enot.devices, enot.commits) == (
        21.0,
        ("CPU, 1 threads",),
        ("01234567",),
    )
    assert enot.paper is not None and enot.paper.value == 1.4
    assert egnot.measured is not None and egnot.measured.half_width is None
    assert (egnot.paper, egnot.commits) == (None, ("01234567+",))
    assert (lsot.measured, lsot.train_seconds, lsot.devices) == (None, None, ())
    assert line.floor == pytest.approx(0.03)
    assert list(line.measured) == ["enot", "egnot"]


def test_columns_are_baselines_then_ours() -> None:
    rows = [row(m, 1.0) for m in ("egnot", "lightsb", "enot", "sinkhorn")]
    assert only(compare(rows, [])).methods == ["sinkhorn", "lightsb", "enot", "egnot"]


def test_lines_are_sorted_by_dimension_and_epsilon_and_include_what_was_not_run() -> None:
    rows = [
        row("enot", 1.0, variant="d128", dim=128),
        row("enot", 1.0, epsilon=10.0),
        row("enot", 1.0),
    ]
    table = only(compare(rows, [paper("enot", 0.05), paper("enot", 0.012, dim=2)]))
    assert [(line.variant, line.dim, line.epsilon) for line in table.lines] == [
        (None, 2, 1.0),
        ("d16", 16, 1.0),
        ("d16", 16, 10.0),
        ("d128", 128, 1.0),
    ]
    assert [bool(line.entries["enot"].paper) for line in table.lines] == [True, True, False, False]


def test_published_numbers_of_a_variant_join_only_it() -> None:
    rows = [row("enot", 1.0, variant=variant) for variant in ("a", "b")]
    lines = only(compare(rows, [paper("enot", 0.5, variant="b")])).lines
    assert {line.variant: line.entries["enot"].paper is not None for line in lines} == {
        "a": False,
        "b": True,
    }


def test_a_published_metric_that_was_not_measured_has_a_table_of_dashes() -> None:
    """A paper's FID stands alone: never in a line with a distance in other features."""
    image = {"experiment": "cmnist_2to3", "dim": 3072}
    published = [
        paper("enot", 6.96, metric="fid", **image),
        paper("enot", 3.78, metric="fid", experiment="faces_deblur", dim=12288),
    ]
    rows = [
        row("enot", 129.0, metric="fd_lenet", variant="32px", n=1000, **image),
        row("enot", 1.0),
    ]
    tables = compare(rows, published)
    assert [(t.experiment, t.metric) for t in tables] == [
        ("cmnist_2to3", "fd_lenet"),
        ("cmnist_2to3", "fid"),
        ("gaussian", "bw_uvp_plan"),
    ]
    text = as_markdown(tables)
    assert "### cmnist_2to3: fd_lenet, lower is better, n = 1000\n" in text
    assert "### cmnist_2to3: fid, lower is better\n" in text
    assert "| D = 3072 | 1 | ENOT 6.96 (m) | – | – | – |" in text
    assert tables[0].lines[0].entries["enot"].paper is None


def best(rows: list[MetricRow]) -> set[str]:
    (line,) = only(compare(rows, [])).lines
    return {method for method, entry in line.entries.items() if entry.is_best}


def test_the_best_is_told_only_where_intervals_are_apart() -> None:
    # Half-width of three values 1, 1.1, 1.2: 4.3027 * 0.1 / sqrt(3) = 0.248.
    low, high = (1.0, 1.1, 1.2), (1.6, 1.7, 1.8)
    assert best(seeds("enot", *low) + seeds("egnot", *high)) == {"enot"}  # 1.348 < 1.452
    assert best(seeds("enot", *low) + seeds("egnot", 1.4, 1.5, 1.6)) == set()  # 1.348 > 1.252
    assert best(seeds("enot", *low) + seeds("egnot", 1.55)) == set()  # one seed: not known
    assert best(seeds("enot", *low)) == set()  # nothing to be better than
    # The next best counts, not the next method of ours.
    assert best(seeds("enot", *low) + seeds("egnot", *high) + seeds("sinkhorn", 1.3)) == set()
    assert best(seeds("enot", *high) + seeds("egnot", *high) + seeds("sinkhorn", *low)) == {
        "sinkhorn"
    }
    diverged = seeds("egnot", math.nan, math.nan)
    assert best(seeds("enot", *low) + diverged) == set()
    assert best(seeds("enot", *low) + diverged + seeds("sinkhorn", *high)) == {"enot"}


def test_the_direction_is_that_of_the_registry() -> None:
    image = {"experiment": "cmnist_2to3", "variant": "32px", "dim": 3072}
    low, high = (1.0, 1.1, 1.2), (1.6, 1.7, 1.8)
    for metric, winner in (("share_three", "egnot"), ("hue_error", "enot"), ("cost_half_l2", None)):
        rows = seeds("enot", *low, metric=metric, **image)
        rows += seeds("egnot", *high, metric=metric, **image)
        assert best(rows) == ({winner} if winner else set()), metric


@pytest.mark.parametrize(
    ("metric", "experiment", "values", "expected"),
    [
        ("bw_uvp_plan", "gaussian", (0.04, 0.05, 0.06), (False, False, True)),
        ("share_three", "cmnist_2to3", (0.04, 0.05, 0.06), (True, False, False)),
        ("cost_half_l2", "gaussian", (0.04, 0.05, 0.06), (False, False, False)),
        ("bw_uvp_plan", "gaussian", (math.nan, math.inf, -math.inf), (True, True, False)),
    ],
)
def test_worse_than_the_paper(
    metric: str, experiment: str, values: tuple[float, ...], expected: tuple[bool, ...]
) -> None:
    published = [paper("enot", 0.05, metric=metric, experiment=experiment), paper("LSOT", 0.001)]
    marks = []
    for value in values:
        rows = [row("enot", value, metric=metric, experiment=experiment)]
        (line,) = compare(rows, published)[0].lines
        marks.append(line.entries["enot"].is_worse_than_paper)
    assert tuple(marks) == expected


def test_a_number_of_another_draw_of_the_problem_is_never_worse_or_better() -> None:
    rows = [row("enot", 0.06)]
    (same,) = compare(rows, [paper("enot", 0.05)])
    (other,) = compare(rows, [paper("enot", 0.05, same_problem=False)])
    assert same.lines[0].entries["enot"].is_worse_than_paper
    assert not other.lines[0].entries["enot"].is_worse_than_paper
    text = as_markdown([other]).partition("\n\n- ")[0]  # without the notes
    assert "ENOT 0.05 (m) ‡ | 0.06 (1 seed) |" in text and "†" not in text
    assert "ENOT 0.05 (m) | 0.06 (1 seed) † |" in as_markdown([same])
    assert r"ENOT 0.05 (m) $\ddagger$" in as_latex([other])
    (line,) = csv.DictReader(io.StringIO(as_csv([other])))
    assert line["paper_mark"] == "(m) ‡"


def msci_rows() -> list[MetricRow]:
    """ENOT on three seeds and both settings, but for seed 2, which has only one."""
    rows = []
    for variant, values in {"d50-2to4": (2.0, 2.2, 9.0), "d50-3to7": (1.0, 1.6)}.items():
        plain = {"experiment": "msci", "variant": variant, "dim": 50, "epsilon": 0.1}
        rows += seeds("enot", *values, metric="energy_distance", **plain)
        for method in ("enot", "egnot"):
            independent = 4.2 if variant == "d50-2to4" else 2.2
            rows += seeds(
                method,
                *[independent] * 2,
                metric="energy_distance_independent",
                floor=None,
                **plain,
            )
        rows += seeds("enot", 3.0, metric="cost_half_l2", floor=None, **plain)
    return rows


def test_msci_is_averaged_over_settings_for_each_seed() -> None:
    published = [
        paper("enot", 2.44, experiment="msci", variant="2to4+3to7", dim=50, epsilon=0.1,
              metric="energy_distance", interval=0.13)
    ]  # fmt: skip
    tables = compare(msci_rows(), published)
    assert [t.metric for t in tables] == ["energy_distance", "cost_half_l2"]
    assert [line.variant for line in tables[0].lines] == ["d50-2to4", "d50-3to7", "2to4+3to7"]
    enot = tables[0].lines[2].entries["enot"]
    # Seeds 0 and 1: 1.5 and 1.9; their mean 1.7, standard error 0.2.
    assert enot.measured is not None
    assert (enot.measured.mean, enot.measured.num_seeds) == (pytest.approx(1.7), 2)
    assert enot.measured.half_width == pytest.approx(12.706 * 0.2, rel=1e-4)
    assert enot.paper is not None and not enot.is_worse_than_paper
    assert [line.entries["enot"].paper is None for line in tables[0].lines] == [True, True, False]
    independent = tables[0].lines[2].entries["independent"]
    assert independent.measured is not None
    assert independent.measured.mean == pytest.approx(3.2)
    assert (independent.train_seconds, independent.devices) == (None, ())
    assert [line.variant for line in tables[1].lines] == ["d50-2to4", "d50-3to7"]


def test_no_mean_where_a_setting_is_missing() -> None:
    rows = [r for r in msci_rows() if r.variant == "d50-2to4"]
    assert [line.variant for line in compare(rows, [])[0].lines] == ["d50-2to4"]


def test_unknown_metrics_and_repeated_rows_are_refused() -> None:
    with pytest.raises(DataError, match="'bw_uvp_pln'; did you mean 'bw_uvp_plan'"):
        compare([row("enot", 1.0, metric="bw_uvp_pln")], [])
    with pytest.raises(DataError, match=r"gaussian-d16 enot epsilon 1 seed 0: .* stands twice"):
        compare([row("enot", 1.0), row("enot", 1.1)], [])


# --- how it is written ---------------------------------------------------------------------------


def example() -> list[Comparison]:
    rows = seeds("enot", 0.11, 0.1, 0.09) + seeds("sinkhorn", 0.5, 0.5, 0.51) + [row("egnot", 0.2)]
    published = [paper("enot", 0.05), paper("FB-SDE-J", 0.05, remembered=False)]
    return compare(rows, published) + compare(msci_rows()[:3], [])


def test_markdown_golden() -> None:
    expected = """\
### gaussian: bw_uvp_plan [%], lower is better

| case | ε | paper | Sinkhorn | ENOT | EgNOT | floor | seeds | train s | device |
|---|---|---|---|---|---|---|---|---|---|
| d16 (D = 16) | 1 | ENOT 0.05 (m); FB-SDE-J 0.05 | 0.503 ± 0.014 | 0.100 ± 0.025 † | 0.2 (1 seed) \
| 0.02 | Sinkhorn 3; ENOT 3; EgNOT 1 | Sinkhorn 22; ENOT 22; EgNOT 20 | CPU, 1 threads |

### msci: energy_distance, lower is better

| case | ε | ENOT | floor | seeds | train s | device |
|---|---|---|---|---|---|---|
| d50-2to4 (D = 50) | 0.1 | 4.4 ± 9.9 | 0.02 | 3 | ENOT 22 | CPU, 1 threads |

"""
    text = as_markdown(example())
    assert text == expected + "".join(f"- {note}\n" for note in NOTES)


def test_bold_in_markdown_and_latex() -> None:
    tables = compare(seeds("enot", 0.11, 0.1, 0.09) + seeds("sinkhorn", 0.5, 0.5, 0.51), [])
    assert "| 0.503 ± 0.014 | **0.100 ± 0.025** |" in as_markdown(tables)
    assert r"& 0.503 $\pm$ 0.014 & \textbf{0.100 $\pm$ 0.025} &" in as_latex(tables)


def test_latex_golden() -> None:
    expected = r"""% Needs \usepackage{booktabs,graphicx}. Made by workflow/notebooks/tables.py.
\begin{table}[htbp]
\centering
\caption{gaussian: bw\_uvp\_plan [\%], lower is better.
 BW2-UVP of the joint plan against the closed form.}
\resizebox{\linewidth}{!}{%
\begin{tabular}{llllllllll}
\toprule
case & $\varepsilon$ & paper & Sinkhorn & ENOT & EgNOT & floor & seeds & train s & device \\
\midrule
d16 (D = 16) & 1 & \shortstack[l]{ENOT 0.05 (m)\\FB-SDE-J 0.05} & 0.503 $\pm$ 0.014
 & 0.100 $\pm$ 0.025 $\dagger$ & 0.2 (1 seed) & 0.02
 & \shortstack[l]{Sinkhorn 3\\ENOT 3\\EgNOT 1} & \shortstack[l]{Sinkhorn 22\\ENOT 22\\EgNOT 20}
 & CPU, 1 threads \\
\bottomrule
\end{tabular}}
\end{table}

""".replace("\n ", " ")
    text = as_latex(example()[:1])
    assert text[: text.index(r"\begin{itemize}")] == expected


NASTY = r"50% & #1_x {a} ~b ^c \d $e <f> |g| -1 ±½ –†ε"


def test_latex_escapes_all_special_characters() -> None:
    assert escaped(NASTY) == (
        r"50\% \& \#1\_x \{a\} \textasciitilde{}b \textasciicircum{}c \textbackslash{}d \$e "
        r"$<$f$>$ $|$g$|$ $-$1 $\pm$$\frac12$ --$\dagger$$\varepsilon$"
    )
    assert escaped("1e-05, FB-SDE-J, 2-4") == "1e-05, FB-SDE-J, 2-4"


def nasty_tables() -> list[Comparison]:
    return [*example(), *compare([row("enot", -0.001, device=NASTY, variant=NASTY)], [])]


def test_latex_structure() -> None:
    """Balanced, no bare special character, as many cells in each row as columns."""
    text = as_latex(nasty_tables())
    body = re.sub(r"^%.*$", "", text, flags=re.MULTILINE)
    plain = re.sub(r"\\[\\{}%&#_$]", "", body)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    assert text.isascii()
    for columns, inside in re.findall(
        r"\\begin\{tabular\}\{(l+)\}\n\\toprule\n(.*?)\\bottomrule", text, flags=re.DOTALL
    ):
        lines = [line for line in inside.splitlines() if line != r"\midrule"]
        assert len(lines) >= 2
        for line in lines:
            assert line.endswith(r" \\")
            assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1, line
            assert not re.search(r"(?<!\\)[#_^~%]", line), line


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    document = rf"""\documentclass{{article}}
\usepackage{{booktabs,graphicx}}
\begin{{document}}
{as_latex(nasty_tables())}
\end{{document}}
"""
    (tmp_path / "a.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv_is_tidy() -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(example()))))
    assert tuple(lines[0]) == COLUMNS
    sinkhorn, enot, egnot, peer, msci = lines
    assert [line["method"] for line in lines] == ["sinkhorn", "enot", "egnot", "FB-SDE-J", "enot"]
    assert float(enot["mean"]) == pytest.approx(0.1)
    assert float(enot["half_width"]) == pytest.approx(4.3027 * 0.01 / math.sqrt(3), rel=1e-4)
    assert (enot["num_seeds"], enot["paper_value"], enot["paper_mark"]) == ("3", "0.05", "(m)")
    assert (enot["device"], enot["commits"]) == ("CPU, 1 threads", "01234567")
    assert (egnot["half_width"], egnot["num_seeds"], egnot["paper_value"]) == ("", "1", "")
    assert (peer["mean"], peer["num_seeds"], peer["paper_value"]) == ("", "", "0.05")
    assert peer["paper_mark"] == ""
    assert sinkhorn["variant"] == "d16" and msci["experiment"] == "msci"


def test_a_floor_is_printed_with_its_spread() -> None:
    rows = [row("enot", 1.0, floor=0.0, floor_std=0.004), row("egnot", 1.0, floor=0.0)]
    rows += [row("sinkhorn", 1.0, floor=0.0, floor_std=0.006)]
    tables = compare(rows, [])
    assert "| 0 ± 0.005 |" in as_markdown(tables)
    assert r"& 0 $\pm$ 0.005 &" in as_latex(tables)
    spreads = {
        line["method"]: line["floor_std"] for line in csv.DictReader(io.StringIO(as_csv(tables)))
    }
    assert spreads == {"enot": "0.004", "egnot": "", "sinkhorn": "0.006"}


def test_a_mean_of_zero_is_no_missing_value() -> None:
    (line,) = csv.DictReader(io.StringIO(as_csv(compare([row("enot", 0.0, floor=0.0)], []))))
    assert (line["mean"], line["floor"]) == ("0.0", "0.0")


def test_no_rows_give_no_tables() -> None:
    assert compare([], [paper("enot", 1.0)]) == []
    assert as_markdown([]).startswith("- ")
    assert as_csv([]).strip() == ",".join(COLUMNS)


def test_all_three_files_are_written(tmp_path: Path) -> None:
    paths = write_comparison(example(), tmp_path / "tables")
    assert [p.name for p in paths] == ["comparison.md", "comparison.csv", "comparison.tex"]
    assert {p.name for p in (tmp_path / "tables").iterdir()} == {p.name for p in paths}
    assert paths[0].read_text() == as_markdown(example())
