"""Times the project against plain versions of the same mathematics; writes results/bench.csv."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import cast

import torch

from bench_config import (
    PARAMS,
    SETTINGS,
    CaseConfig,
    CommandCase,
    LatentCase,
    SolverCase,
    choose_cases,
    load_settings,
)
from bench_table import Row, format_row, markdown, read_rows, update_rows
from cases import SIDES, Side, SkippedCase, SolverWorkload, Workload, build_workload
from entropic_ot.device import choose_device, choose_precision, describe_device
from entropic_ot.errors import EntropicOTError
from entropic_ot.experiments.params import load_params
from entropic_ot.experiments.provenance import git_state
from entropic_ot.solvers.config import Precision
from measure import (
    agreement,
    count_flops,
    interleaved_medians,
    matmul_peak,
    peak_memory_mb,
)


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks/run.py",
        description=__doc__,
        epilog="Run from the repository's root. What the columns mean: docs/performance.md.",
    )
    parser.add_argument("--only", nargs="+", metavar="CASE", help="these cases; others keep rows")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of a side (default 5)")
    parser.add_argument("--quick", action="store_true", help="two timed runs, no peak memory")
    parser.add_argument("--out", type=Path, default=Path("results/bench.csv"), metavar="PATH")
    parser.add_argument("--settings", type=Path, default=SETTINGS, metavar="PATH")
    parser.add_argument("--threads", type=int, help="threads of torch (default: as it chooses)")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument(
        "--markdown", action="store_true", help="measure nothing, print the table in --out"
    )
    args = parser.parse_args(words)
    if args.repeats < 1:
        parser.error("--repeats: expected at least 1")
    return args


class Machine:
    """What all rows of one call share."""

    def __init__(self) -> None:
        compute = load_params(PARAMS).runs[0].config.compute
        self.device = choose_device(compute.device)
        self.precision = choose_precision(compute.precision, self.device)
        self.peak: dict[Precision, float] = {"float32": 0.0, "bfloat16": 0.0}
        self.update_peak()
        state = git_state()
        self.columns = {
            "device": describe_device(self.device).rsplit(", ", 1)[0],
            "threads": torch.get_num_threads(),
            "precision": self.precision,
            "commit": f"{(state['commit'] or 'unknown')[:10]}{'+' if state['dirty'] else ''}",
            "torch": torch.__version__,
        }

    def update_peak(self) -> None:
        """The best matrix product so far: measured anew with each case, as the load changes."""
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            precision = cast(Precision, name)
            self.peak[precision] = max(self.peak[precision], matmul_peak(dtype, self.device))


def measure_case(name: str, case: CaseConfig, machine: Machine, args: argparse.Namespace) -> Row:
    """The row of one case; raises SkippedCase."""
    device = machine.device
    built = {side: build_workload(case, side, device) for side in SIDES}
    workloads: dict[Side, Workload] = {s: w for s, w in built.items() if w is not None}
    values: dict[str, object] = {"case": name, **machine.columns}
    first = {side: workload.first() for side, workload in workloads.items()}
    if len(workloads) == 2:
        values["agreement"], values["cosine"] = agreement(first["reference"], first["fast"])
    values["repeats"] = repeats = min(2 if args.quick else args.repeats, case.max_repeats)
    seconds = interleaved_medians(workloads, repeats=repeats, device=device)
    values |= {f"{side}_seconds": value for side, value in seconds.items()}
    if len(workloads) == 2:
        values["ratio"] = seconds["reference"] / seconds["fast"]
    if not isinstance(case, (SolverCase, LatentCase)):
        values["precision"] = None
    if isinstance(case, SolverCase):
        fast = workloads["fast"]
        assert isinstance(fast, SolverWorkload)
        values["compile"] = fast.solver.compiled
        values["flops"] = flops = count_flops(case, device)
        machine.update_peak()
        values["matmul_peak"] = peak = machine.peak[machine.precision]
        values["share_of_peak"] = flops / seconds["fast"] / peak
    if not args.quick and not isinstance(case, CommandCase):
        for side in workloads:
            values[f"{side}_peak_mb"] = peak_memory_mb(
                name, side, settings=args.settings, device=device
            )
    return format_row(values)


def run(args: argparse.Namespace) -> None:
    """Measure the chosen cases, each row written as soon as it is there."""
    settings = load_settings(args.settings)
    if args.list:
        print("\n".join(settings.cases))
        return
    if args.markdown:
        print(markdown(read_rows(args.out)))
        return
    chosen = choose_cases(settings, args.only)
    if args.threads:
        torch.set_num_threads(args.threads)
    machine = Machine()
    peak = ", ".join(f"{k} {v / 1e12:.3g} TFLOP/s" for k, v in machine.peak.items())
    _say(f"{machine.columns['device']}, {machine.columns['threads']} threads; matmul peak: {peak}")
    order = list(settings.cases)
    for i, (name, case) in enumerate(chosen.items(), start=1):
        began = time.perf_counter()
        _say(f"[{i}/{len(chosen)}] {name} ...")
        try:
            row = measure_case(name, case, machine, args)
        except SkippedCase as reason:
            _say(f"[{i}/{len(chosen)}] {name}: skipped: {reason}")
            continue
        update_rows(args.out, row, order)
        reference = f"{row['reference_seconds']} -> " if row["reference_seconds"] else ""
        ratio = f", {row['ratio']}x, agreement {row['agreement']}" if row["ratio"] else ""
        spent = time.perf_counter() - began
        _say(
            f"[{i}/{len(chosen)}] {name}: {reference}{row['fast_seconds']} s{ratio} ({spent:.0f} s)"
        )
    print(markdown([row for row in read_rows(args.out) if row["case"] in chosen]))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(words: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    try:
        run(parse(words))
    except EntropicOTError as error:
        _say(f"benchmarks/run.py: error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted; the rows so far are written")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
