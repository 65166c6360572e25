"""Seconds that Snakemake and DVC need to see that nothing is to be done.

    python benchmarks/dag_cost.py [--project FOLDER] [--runs 1000] [--out results/dag_cost.csv]

* In `--project`, a clone in which all results are there, made by `make all` and told to DVC by
  `make dvc-commit`: a `snakemake` and a `dvc repro` that have nothing to do.
* In a temporary clone whose params.yaml has `--runs` trainings, with empty files for their results
  and Snakemake's records of them: a `snakemake` that has nothing to do.

Each is the minimum of three, Python's start included; the processors' seconds, which say more than
the clock where others use the machine too, are those of the command and all that it starts. The
first `snakemake` of a project is not timed: it may have to bring records in step with DVC.
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
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
SNAKEMAKE = ("snakemake", "--cores", "2", "--", "all")
DVC = ("dvc", "repro")
IDLE = {SNAKEMAKE: "Nothing to be done", DVC: "Data and pipelines are up to date"}
REPEATS = 3
NUM_EPSILONS = 10


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


def idle_seconds(command: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """(wall-clock, processor) seconds, each the minimum over repeats.

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
    return min(walls[1:]), min(processors[1:])


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


def seconds_of_many_runs(num_runs: int) -> tuple[int, tuple[float, float]]:
    """(number of trainings, seconds of an idle `snakemake`) in a temporary clone."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "clone"
        run(("git", "clone", "--quiet", str(REPOSITORY), str(folder)), REPOSITORY)
        (folder / "dvc.lock").unlink(missing_ok=True)  # of the published results, which are others
        path = folder / "params.yaml"
        params = many_runs(yaml.safe_load(path.read_text()), num_runs)
        path.write_text(yaml.safe_dump(params, sort_keys=False))
        run(("entropic-ot", "configure"), folder)
        run((sys.executable, "workflow/scripts/write_sources.py"), folder)
        run((sys.executable, str(Path(__file__).resolve()), "--make-results"), folder)
        runs = list((folder / "results/smoke/runs").glob("*/*/checkpoint.safetensors"))
        return len(runs), idle_seconds(SNAKEMAKE, folder)


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
            rows.append((f"idle {command[0]}", "all results", idle_seconds(command, project)))
    if arguments.runs:
        trainings, seconds = seconds_of_many_runs(arguments.runs)
        rows.append(("idle snakemake", f"{trainings} trainings", seconds))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.out, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["command", "project", "seconds", "processor_seconds"])
        writer.writerows([name, what, f"{s[0]:.2f}", f"{s[1]:.2f}"] for name, what, s in rows)
    for name, what, (wall, processor) in rows:
        print(f"{name:16} {what:16} {wall:7.2f} s, {processor:.2f} s of processors")


if __name__ == "__main__":
    main()
