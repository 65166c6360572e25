"""Seconds that Snakemake and DVC need to see that nothing is to be done.

    python benchmarks/dag_cost.py [--project FOLDER] [--runs 1000] [--out results/dag_cost.csv]

* In `--project`, a clone in which all results are there, made by `make all` and told to DVC by
  `make dvc-commit`: a `snakemake` and a `dvc repro` that have nothing to do.
* In a temporary clone whose params.yaml has `--runs` trainings, with empty files for their results
  and Snakemake's records of them: a `snakemake` that has nothing to do.

Each is the minimum of three, Python's start included; the processors' seconds, which say more than
the clock where others use the machine too, are those of the command and all that it starts. The
clock of the run before these three is `first_seconds`, in which files may not be in the page cache
yet. A `snakemake --dry-run` comes before the first `snakemake`, which may have to bring records in
step with DVC. The rows that are kept in git, on a machine with nothing else at work:

    python benchmarks/dag_cost.py --project FOLDER --out docs/tables/dag-cost.csv
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
SNAKEMAKE = ("snakemake", "--cores", "2", "--", "all")
DVC = ("dvc", "repro")
IDLE = {SNAKEMAKE: "Nothing to be done", DVC: "Data and pipelines are up to date"}
REPEATS = 3
NUM_EPSILONS = 10
COLUMNS = (
    *("command", "project", "seconds", "processor_seconds", "first_seconds"),
    *("repeats", "processors", "commit"),
)


@dataclass(frozen=True)
class Cost:
    """Seconds of a command: by the clock and of processors, each the minimum over repeats."""

    seconds: float
    processor_seconds: float
    first_seconds: float
    """By the clock, of the run before the repeats."""
    commit: str
    """Of the project, with a + where its files were edited."""

    def row(self, command: str, project: str) -> dict[str, str]:
        """By the names of COLUMNS."""
        return {
            "command": command,
            "project": project,
            "seconds": f"{self.seconds:.2f}",
            "processor_seconds": f"{self.processor_seconds:.2f}",
            "first_seconds": f"{self.first_seconds:.2f}",
            "repeats": str(REPEATS),
            "processors": str(len(os.sched_getaffinity(0))),
            "commit": self.commit,
        }


def commit_of(folder: Path) -> str:
    """The commit of a clone; with a + where files that git knows were edited."""
    return run(
        ("git", "describe", "--always", "--exclude=*", "--abbrev=10", "--dirty=+"), folder
    ).strip()


def run(command: tuple[str, ...], folder: Path) -> str:
    """Output of a command that has to succeed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed in {folder}:\n{done.stdout[-2000:]}")
    return done.stdout


def idle_cost(command: tuple[str, ...], folder: Path, commit: str) -> Cost:
    """What a command costs that has nothing to do.

    SystemExit when there was something to do: that is no idle run.
    """
    if command == SNAKEMAKE and "Job " in run(("snakemake", "--dry-run", *SNAKEMAKE[1:]), folder):
        raise SystemExit(f"{folder}: `snakemake` has something to do there. Run `make all` first.")
    walls, processors = [], []
    for _ in range(REPEATS + 1):
        began, used = time.perf_counter(), _processor_seconds()
        output = run(command, folder)
        walls.append(time.perf_counter() - began)
        processors.append(_processor_seconds() - used)
        if IDLE[command] not in output:
            raise SystemExit(
                f"{' '.join(command)} in {folder}: there was something to do, so its time says"
                " nothing. Run `make all` and `make dvc-commit` there first."
            )
    return Cost(min(walls[1:]), min(processors[1:]), walls[0], commit)


def _processor_seconds() -> float:
    """Of all finished child processes and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def many_runs(params: dict[str, Any], num_runs: int) -> dict[str, Any]:
    """The parameters of one Gaussian case with `num_runs` trainings."""
    gaussian = params["experiments"]["gaussian"]
    enot = gaussian["methods"]["enot"] | {
        "epsilons": [round(0.1 * (i + 1), 1) for i in range(NUM_EPSILONS)],
        "per_epsilon": {},
    }
    gaussian |= {
        **{"variants": {"d2": {"problem": {"dim": 2}}}, "methods": {"enot": enot}},
        "seeds": list(range(num_runs // NUM_EPSILONS)),
    }
    smoke = params["scales"]["smoke"] | {"experiments": {}}
    for key in ("generators", "figures"):
        smoke.pop(key, None)
    return params | {
        **{"scale": "smoke", "experiments": {"gaussian": gaussian}, "generators": {}},
        "figures": {"gaussian": params["figures"]["gaussian"]},
        "scales": {"smoke": smoke, "laptop": {}, "paper": {}},
    }


def make_results() -> None:
    """Empty results of all jobs of the working folder, in their order, and Snakemake's records."""
    sys.path.insert(0, "workflow/scripts")
    import dag

    now = time.time()
    with dag.workflow_jobs() as (workflow, jobs):
        workflow.iocache.deactivate()  # the files are new since it was filled
        for number, job in enumerate(jobs):
            for path in map(Path, job.output):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                os.utime(path, (now + 1e-3 * number, now + 1e-3 * number))
            workflow.async_run(workflow.persistence.finished(job))


def cost_of_many_runs(num_runs: int) -> tuple[int, Cost]:
    """(number of trainings, cost of an idle `snakemake`) in a temporary clone."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "clone"
        run(("git", "clone", "--quiet", str(REPOSITORY), str(folder)), REPOSITORY)
        commit = commit_of(folder)
        (folder / "dvc.lock").unlink(missing_ok=True)  # of the published results, which are others
        path = folder / "params.yaml"
        params = many_runs(yaml.safe_load(path.read_text()), num_runs)
        path.write_text(yaml.safe_dump(params, sort_keys=False))
        run(("entropic-ot", "configure"), folder)
        run((sys.executable, "workflow/scripts/write_sources.py"), folder)
        run((sys.executable, str(Path(__file__).resolve()), "--make-results"), folder)
        runs = list((folder / "results/smoke/runs").glob("*/*/checkpoint.safetensors"))
        return len(runs), idle_cost(SNAKEMAKE, folder, commit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--project", type=Path, help="a clone with all results; else not timed")
    parser.add_argument(
        "--runs", type=int, default=1000, help="trainings of the large DAG; 0: none"
    )
    parser.add_argument("--out", type=Path, default=Path("results/dag_cost.csv"))
    parser.add_argument("--make-results", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make_results:
        return make_results()
    rows = []
    if arguments.project is not None:
        project = arguments.project.resolve()
        for command in (SNAKEMAKE, DVC):
            cost = idle_cost(command, project, commit_of(project))
            rows.append(cost.row(f"idle {command[0]}", "all results"))
    if arguments.runs:
        trainings, cost = cost_of_many_runs(arguments.runs)
        rows.append(cost.row("idle snakemake", f"{trainings} trainings"))
    write(rows, arguments.out)
    for row in rows:
        print(
            f"{row['command']:16} {row['project']:16} {row['seconds']:>7} s, first "
            f"{row['first_seconds']} s, {row['processor_seconds']} s of processors"
        )


def write(rows: list[dict[str, str]], out: Path) -> None:
    """The rows as CSV."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
