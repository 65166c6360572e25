"""What Snakemake would do, and the figures that it can draw without training (`make figures`).

Everything of `all` is made that needs no training: tables, figures and pages from the results that
are here, samples and metrics from checkpoints. What is left out, and what it needs, is said at the
end.

`--published` looks at the cases of dvc.yaml alone (`make published`): where this machine has the
data of more, `all` has them too, and its tables would wait for their trainings.

`--check` makes nothing and fails where a result of `all` is not up to date. It comes before every
`dvc commit --force` (Makefile), which would record whatever is there as up to date.
"""

from __future__ import annotations

import argparse
import csv
import functools
import io
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import dag
import workspace

SNAKEMAKE = (sys.executable, "-m", "snakemake")
# What takes minutes to hours, and is therefore never run without being asked for.
TRAINING = frozenset({"train", "generator", "classifier", "encode"})
SHOWN = frozenset({"table", "comparison", "figure", "encoding", "pages"})
"""Rules whose outputs are tables, figures and the pages that hold them."""


@dataclass(frozen=True)
class Planned:
    """An output file, how it is made, and whether it would be made now."""

    out: str
    rule: str
    inputs: tuple[str, ...]
    is_pending: bool


def planned(targets: Iterable[str] = ("all",)) -> dict[str, Planned]:
    """Every file behind the targets, by its name.

    Whether it is pending is what `snakemake --detailed-summary` says. Inputs are taken from the
    workflow: the summary has those of Snakemake's records, and so none where there is no record.
    """
    command = (*SNAKEMAKE, "--detailed-summary", "--cores", "1", "--", *targets)
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode != 0:
        sys.exit(done.stderr)
    rows = csv.DictReader(io.StringIO(done.stdout), delimiter="\t", quoting=csv.QUOTE_NONE)
    inputs = inputs_of_outputs()
    return {
        row["output_file"]: Planned(
            out=row["output_file"],
            rule=row["rule"],
            inputs=inputs[row["output_file"]],
            is_pending=row["plan"] != "no update",
        )
        for row in rows
    }


def environment() -> dict[str, str]:
    """For a Snakemake that runs jobs: importing dag has made this process one that does not."""
    return {k: v for k, v in os.environ.items() if k != workspace.FOR_RECORDS}


@functools.cache
def inputs_of_outputs() -> dict[str, tuple[str, ...]]:
    """Every output of `all` and what it is made from (after the resolved parameters are there)."""
    with dag.workflow_jobs() as (_, jobs):
        return {str(out): tuple(map(str, job.input)) for job in jobs for out in job.output}


def pending_jobs(plan: dict[str, Planned]) -> list[Planned]:
    """One output for each job of the plan that is not up to date."""
    jobs = {(p.rule, p.inputs): p for p in plan.values() if p.is_pending}
    return list(jobs.values())


def trainings_behind(target: str, plan: dict[str, Planned], *, through_tables: bool) -> set[str]:
    """Outputs of trainings that would run for this file."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [target]
    while waiting:
        name = waiting.pop()
        file = plan.get(name)
        if file is None or name in seen or not file.is_pending:
            continue
        seen.add(name)
        if file.rule in TRAINING:
            found.add(name)
        elif through_tables or file.rule != "table":
            waiting += file.inputs
    return found


def drawable() -> tuple[list[str], dict[str, set[str]]]:
    """(what to ask Snakemake for: tables and figures that need no training; the others' trainings).

    Drawing a figure whose samples must be made anew remakes the tables too, and so every other
    figure. So figures that wait for a training of their own are left out first, and the rest is
    planned again without them.
    """
    plan = planned()
    targets = [name for name, file in plan.items() if is_shown(file)]
    targets, blocked = without_training(targets, plan, through_tables=False)
    if blocked and targets:
        plan = planned(as_asked_for(targets, plan))
    targets, blocked_by_tables = without_training(targets, plan, through_tables=True)
    pending = [name for name in targets if plan[name].is_pending]
    return as_asked_for(pending, plan), blocked | blocked_by_tables


def as_asked_for(targets: Iterable[str], plan: dict[str, Planned]) -> list[str]:
    """The targets, by the name of their rule where it makes nothing else."""
    alone = ("table", "comparison", "pages")
    return sorted({plan[t].rule if plan[t].rule in alone else t for t in targets})


def without_training(
    targets: Iterable[str], plan: dict[str, Planned], *, through_tables: bool
) -> tuple[list[str], dict[str, set[str]]]:
    """(files that no training would run for, the others with their trainings)."""
    needed = {name: trainings_behind(name, plan, through_tables=through_tables) for name in targets}
    return [n for n in needed if not needed[n]], {n: t for n, t in needed.items() if t}


def is_shown(file: Planned) -> bool:
    """Whether it is a table, figure or page; executed notebooks are by-products."""
    is_notebook = file.rule != "pages" and file.out.endswith((".ipynb", ".html"))
    return file.rule in SHOWN and not is_notebook


def check() -> int:
    """0 if every result of `all` is there and up to date."""
    plan = planned()
    pending = pending_jobs(plan)
    missing = [name for name in plan if not os.path.lexists(name)]
    if not pending and missing:
        print(
            f"{len(missing)} results are not there, such as {missing[0]}: found nothing, expected "
            "a file, since DVC commits all outputs, also one that nothing needs any more. Bring "
            f"them back by `snakemake --cores 8 -- {' '.join(missing[:5])}"
            f"{' ...' * (len(missing) > 5)}`, then this again.",
            file=sys.stderr,
        )
        return 1
    if not pending:
        return 0
    print(
        f"{len(pending)} results are not up to date, such as {pending[0].out}: found jobs left to "
        "do, expected none, since what DVC commits counts as up to date. Run `make all`, then "
        "this again.",
        file=sys.stderr,
    )
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if anything is left to do")
    parser.add_argument("--published", action="store_true", help="only the cases of dvc.yaml")
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    if arguments.published:
        leave_out_what_dvc_left_out()
    return draw()


def leave_out_what_dvc_left_out() -> None:
    """The workflow of this process, and of those it starts, has the cases of dvc.yaml alone."""
    from snake2dvc import DVC_YAML, recorded_left_out  # inside: it imports published, and that this

    os.environ[workspace.WITHOUT_CASES] = ",".join(recorded_left_out(DVC_YAML.read_text()))


def draw() -> int:
    """Make what can be made without training; 1 if something could not."""
    targets, blocked = drawable()
    if targets:
        done = subprocess.run([*SNAKEMAKE, "--cores", "8", "--", *targets], env=environment())
        if done.returncode != 0:
            return done.returncode
    elif not blocked:
        print("Nothing to be done: all tables, figures and pages are up to date.")
    if not blocked:
        return 0
    trainings = sorted(set().union(*blocked.values()))
    lines = [
        f"{len(blocked)} files were not made, for this command trains nothing. "
        "What they need and is not here, or out of date:",
        *(f"  {name}" for name in trainings[:5]),
        *([f"  and {len(trainings) - 5} more"] if len(trainings) > 5 else []),
        "`make all` makes it; `dvc pull` brings it where a remote has it (docs/versions.md).",
        "Not made:",
        *(f"  {name}" for name in sorted(blocked)),
    ]
    print("\n".join(lines), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
