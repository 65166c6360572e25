#!/usr/bin/env python
"""Write the tables of docs/reproduction.md from docs/tables/*.csv, so that no number is typed.

    python scripts/reproduction_tables.py            (writes)
    python scripts/reproduction_tables.py --check    (exit status 1 where one differs)

A table stands between `<!-- table NAME -->` and `<!-- end -->`; NAME is a key of TABLES.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType

from entropic_ot.errors import DataError
from entropic_ot.experiments.comparison import load_paper_values
from entropic_ot.experiments.comparison.paper_values import METHOD_LABELS, PaperValue
from entropic_ot.experiments.statistics import mean_over_seeds, with_half_width
from entropic_ot.experiments.tables import MetricRow, read_csv
from entropic_ot.experiments.tidy import csv_lines

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs/reproduction.md"
BLOCK = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.S)
METHODS = ("enot", "egnot", "lightsb", "sinkhorn")
ONE_SEED = "¹"
FLOOR = " floor"
COUNT = " n"
DAYS = ("2to4", "3to7")


@cache
def rows_of(scale: str) -> tuple[MetricRow, ...]:
    return tuple(read_csv(REPOSITORY / f"docs/tables/metrics-{scale}.csv"))


@cache
def published(experiment: str, dim: int, epsilon: float, method: str) -> tuple[PaperValue, ...]:
    """The papers' numbers, of all metrics."""
    wanted = (experiment, dim, epsilon, method)
    values = load_paper_values(REPOSITORY / "workflow/paper_values.yaml")
    return tuple(v for v in values if (v.experiment, v.dim, v.epsilon, v.method) == wanted)


def digits(value: float) -> str:
    """Three significant digits, five decimals at most, no exponent."""
    if value == 0:
        return "0"
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:#.3g}" if size >= 0.001 else f"{value:.5f}"


def spread(values: Iterable[float]) -> str:
    """ "17–20", or "17" where they agree."""
    found = sorted(values)
    ends = [f"{end:.0f}" for end in (found[0], found[-1])]
    return ends[0] if ends[0] == ends[1] else "–".join(ends)


@dataclass(frozen=True)
class Found:
    """Rows of one metric and run, over seeds."""

    rows: list[MetricRow]

    def text(self, *, seeds: bool) -> str:
        """The mean ± half of its 95 % interval; with `seeds` a mark for one seed alone."""
        if not self.rows:
            return "–"
        over = mean_over_seeds([row.value for row in self.rows])
        if over.half_width is None:
            return digits(over.mean) + (ONE_SEED if seeds else "")
        return with_half_width(over.mean, over.half_width)

    @property
    def seconds(self) -> str:
        return spread(row.train_seconds for row in self.rows) if self.rows else "–"

    @property
    def floor(self) -> str:
        floors = [row.floor for row in self.rows if row.floor is not None]
        return digits(sum(floors) / len(floors)) if floors else "–"

    @property
    def count(self) -> str:
        return spread(row.n for row in self.rows) if self.rows else "–"


def find(scale: str, case: str, method: str, epsilon: float, metric: str) -> Found:
    wanted = (case, method, epsilon, metric)
    return Found([r for r in rows_of(scale) if (r.case, r.method, r.epsilon, r.metric) == wanted])


# --------------------------------------------------------------------------------------------------
# Kinds of tables


def grid(
    scale: str,
    metric: str,
    cases: Sequence[str],
    epsilons: Sequence[float],
    papers: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A row for each case and epsilon: every method, the floor, seconds, and published methods."""
    header = ["case", "ε", *(METHOD_LABELS[m] for m in METHODS), "floor", "train s: ENOT, EgNOT"]
    lines = []
    for case in cases:
        for epsilon in epsilons:
            found = [find(scale, case, method, epsilon, metric) for method in METHODS]
            floor = next((f.floor for f in found if f.rows), "–")
            line = [case, f"{epsilon:g}", *(f.text(seeds=scale == "paper") for f in found), floor]
            line.append(", ".join(f.seconds for f in found[:2]))
            dim = next(row.dim for f in found for row in f.rows)
            for method in papers:
                values = published(case.split("-")[0], dim, epsilon, method)
                line.append("/".join(f"{v.value:g}" for v in values if v.metric == metric))
            lines.append(line)
    return table([*header, *papers.values()], lines)


def runs(scale: str, cases: Mapping[str, str], metrics: Mapping[str, str]) -> str:
    """A row for each case (name -> words), method and epsilon: some metrics, and the seconds.

    metrics: name -> heading; METRIC followed by FLOOR is what real data has in its place, followed
    by COUNT the number of outputs that it is taken over.
    """
    lines = []
    for case, words in cases.items():
        own = [row for row in rows_of(scale) if row.case == case]
        for method in [m for m in METHOD_LABELS if any(row.method == m for row in own)]:
            for epsilon in sorted({row.epsilon for row in own if row.method == method}):
                found = {
                    m: find(scale, case, method, epsilon, m.removesuffix(FLOOR).removesuffix(COUNT))
                    for m in metrics
                }
                if not any(f.rows for f in found.values()):
                    continue
                line = [words, METHOD_LABELS[method], f"{epsilon:g}"]
                line += [
                    f.floor
                    if m.endswith(FLOOR)
                    else f.count
                    if m.endswith(COUNT)
                    else f.text(seeds=scale == "paper")
                    for m, f in found.items()
                ]
                lines.append([*line, next(f.seconds for f in found.values() if f.rows)])
    return table(["", "method", "ε", *metrics.values(), "train s"], lines)


def given_x(scale: str, case: str) -> str:
    """conditional_energy_distance and conditional_variance of every method against epsilon."""
    own = [row for row in rows_of(scale) if row.case == case and row.epsilon > 0]
    lines = []
    for metric, words in (
        ("conditional_energy_distance", "distance to the plan given x"),
        ("conditional_variance", "variance of y given x"),
        ("energy_distance", "distance to the target"),
    ):
        for epsilon in sorted({row.epsilon for row in own}):
            found = [find(scale, case, method, epsilon, metric) for method in METHODS]
            floor = next((f.floor for f in found if f.rows), "–")
            line = [words, f"{epsilon:g}", *(f.text(seeds=scale == "paper") for f in found)]
            lines.append([*line, floor])
    return table(["", "ε", *(METHOD_LABELS[m] for m in METHODS), "floor"], lines)


def precisions(scale: str, metrics: Mapping[str, str]) -> str:
    """A row for each case, method and epsilon that was trained in both precisions, one seed."""
    path = REPOSITORY / f"docs/tables/precision-{scale}.csv"
    runs: dict[tuple[str, str, float, str], dict[str, dict[str, str]]] = {}
    for line in csv_lines(path, lambda line: line):
        if line["metric"] in metrics:
            case = "-".join(filter(None, (line["experiment"], line["variant"])))
            run = case, METHOD_LABELS[line["method"]], float(line["epsilon"]), line["metric"]
            runs.setdefault(run, {})[line["precision"]] = line
    lines = []
    for (case, method, epsilon, metric), found in runs.items():
        if len(found) == 2:
            values = [digits(float(found[p]["value"])) for p in ("bfloat16", "float32")]
            floor = found["float32"]["floor"]
            values.append(digits(float(floor)) if floor else "–")
            lines.append([case, method, f"{epsilon:g}", metrics[metric], *values])
    return table(["case", "method", "ε", "metric", "bfloat16", "float32", "floor"], lines)


def memory(scale: str) -> str:
    """The largest peak of each rule's jobs, as memory-<scale>.csv has them."""
    columns = ("rule", "jobs", "max_rss_mb", "largest", "cpu_seconds")
    path = REPOSITORY / f"docs/tables/memory-{scale}.csv"
    lines = csv_lines(path, lambda line: [line[name] for name in columns])
    return table(["rule", "jobs", "peak MB", "of", "CPU s of all"], lines)


def cells(scale: str, dims: Sequence[int]) -> str:
    """Single cells: each metric's mean over both settings, taken for each seed."""
    names = {
        "energy_distance": "energy distance",
        "conditional_variance": "variance of y given x",
        "cost_half_l2": "½L2",
    }
    lines = []
    for dim in dims:
        for method in METHODS:
            line = [str(dim), METHOD_LABELS[method]]
            line += [over_settings(scale, dim, method, metric) for metric in names]
            settings = [find(scale, f"msci-d{dim}-{s}", method, 0.1, "cost_half_l2") for s in DAYS]
            seconds = [row.train_seconds for found in settings for row in found.rows]
            lines.append([*line, spread(seconds), published_of_cells(dim, method)])
        value = over_settings(scale, dim, "lightsb", "energy_distance_independent")
        lines.append([str(dim), METHOD_LABELS["independent"], value, "", "", "", ""])
    return table(["D", "", *names.values(), "train s", "paper (m)"], lines)


def over_settings(scale: str, dim: int, method: str, metric: str) -> str:
    settings = [
        {row.seed: row.value for row in find(scale, f"msci-d{dim}-{s}", method, 0.1, metric).rows}
        for s in DAYS
    ]
    both = sorted(settings[0].keys() & settings[1].keys())
    over = mean_over_seeds([(settings[0][seed] + settings[1][seed]) / 2 for seed in both])
    if over.half_width is None or metric == "energy_distance_independent":
        return digits(over.mean)
    return with_half_width(over.mean, over.half_width)


def published_of_cells(dim: int, method: str) -> str:
    return "".join(
        f"{v.value:g} ± {v.interval:g}, {v.train_seconds:.0f} s, {v.device}"
        for v in published("msci", dim, 0.1, method)
    )


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    parts = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in parts) + "\n"


# --------------------------------------------------------------------------------------------------
# The page

DIMS = (2, 16, 64, 128)
EPSILONS = (0.1, 1.0, 10.0)
PIXELS = {"cmnist_2to3-32px": "pixels, 32×32", "cmnist_2to3-16px": "pixels, 16×16"}
LATENTS = {"cmnist_latent-z": "latents z", "cmnist_latent-encoded": "encoded images"}
TABLES: dict[str, Callable[[], str]] = {
    "gaussian-laptop": partial(grid, "laptop", "bw_uvp_plan", ["gaussian-d16"], EPSILONS),
    "gaussian-paper": partial(
        grid, "paper", "bw_uvp_plan", [f"gaussian-d{d}" for d in DIMS], EPSILONS,
        {"enot": "ENOT paper (m) ‡"},
    ),
    "gaussian-path-paper": partial(
        grid, "paper", "bw_uvp_path", [f"gaussian-d{d}" for d in DIMS], EPSILONS
    ),
    "mixture-laptop": partial(grid, "laptop", "cbw_uvp", ["mixture-d16"], EPSILONS[1:2]),
    "mixture-paper": partial(
        grid, "paper", "cbw_uvp", [f"mixture-d{d}" for d in DIMS], EPSILONS,
        {"best neural solver": "best neural solver (m) ‡", "lightsb": "LightSB paper (m) ‡"},
    ),
    "eight-gaussians-laptop": partial(given_x, "laptop", "toy_8gaussians"),
    "swissroll-laptop": partial(given_x, "laptop", "toy_swissroll"),
    "cmnist-laptop": partial(
        runs, "laptop", PIXELS | LATENTS,
        {
            "fd_lenet" + COUNT: "n", "share_three": "called “3” %", "hue_error": "hue error °",
            "fd_lenet": "FD LeNet, outputs to real", "fd_lenet_generator": "generator to real",
            "fd_lenet" + FLOOR: "real to real", "fd_lenet_input": "inputs to real",
            "latent_energy_distance": "distance of latents", "cost_half_l2": "½L2",
        },
    ),
    "faces-laptop": partial(
        runs, "laptop", {"faces_deblur-orl": "ORL"},
        {
            "fd_effnet" + COUNT: "n", "fd_effnet": "FD EfficientNet",
            "fd_effnet_input": "of the input",
            "fd_effnet_real": "of real halves", "kid_effnet": "KID EfficientNet",
            "kid_effnet_input": "of the input", "kid_effnet_real": "of real halves",
            "lpips_diversity": "LPIPS diversity", "lpips_cost": "LPIPS x, y",
        },
    ),
    "precision-laptop": partial(
        precisions, "laptop",
        {
            "bw_uvp_plan": "BW-UVP of the plan, %", "cbw_uvp": "cBW-UVP, %",
            "conditional_energy_distance": "distance to the plan given x",
            "share_three": "called “3”, %", "hue_error": "hue error, °",
            "latent_energy_distance": "distance of latents",
        },
    ),
    "memory-laptop": partial(memory, "laptop"),
    "msci-laptop": partial(cells, "laptop", [50]),
    "msci-paper": partial(cells, "paper", [50, 100]),
}  # fmt: skip


def filled(page: str) -> str:
    """The page with every table as the CSV has it now; DataError for a name that is not known."""

    def block(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        if name not in TABLES:
            raise DataError.about(
                "docs/reproduction.md", found=f"a table {name}",
                expected=f"one of {', '.join(TABLES)}", action="Correct its name.",
            )  # fmt: skip
        return begin + TABLES[name]() + end

    return BLOCK.sub(block, page)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the tables of docs/reproduction.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, say what differs")
    check = parser.parse_args().check
    before = PAGE.read_text()
    after = filled(before)
    if before == after:
        return 0
    if not check:
        PAGE.write_text(after)
        return 0
    pairs = zip(BLOCK.finditer(before), BLOCK.finditer(after), strict=True)
    stale = [old.group(2) for old, new in pairs if old.group(0) != new.group(0)]
    print(f"docs/reproduction.md: not as in docs/tables: {', '.join(stale)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
