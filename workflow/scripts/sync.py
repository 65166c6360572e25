"""Rebuild Snakemake's records from dvc.lock, after DVC or anyone else changed the outputs.

`dvc pull`, `dvc checkout` and the run cache restore contents, but neither modification times nor
.snakemake/metadata. Snakemake would then rerun jobs at random, by the order of times, and miss
changes of parameters and sources, because a missing record is no reason to rerun. For every job:

* the job is its stage in dvc.yaml, and dependencies, command and outputs are those of dvc.lock:
  up to date, and recorded so;
* the outputs are those of dvc.lock, anything else is not: stale, so the outputs are aged, which
  makes Snakemake run the job;
* the same, but a killed job had deleted outputs, which are still missing: nothing is recorded, so
  that they are made again;
* the outputs are not those of dvc.lock: made here and not yet committed to DVC if Snakemake's own
  record is of this very file, and then that record decides; else nobody vouches for them: aged.

Called by common.smk (workspace.sync_with_dvc). Doing it twice does no harm.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path("src").resolve()))

import dag
import records
import workspace
import write_sources
import yaml

from entropic_ot.errors import EntropicOTError
from entropic_ot.experiments.params import load_params, write_configs

State = Literal["clean", "stale", "uncommitted"]

# The oldest time that Snakemake takes for a time: it reads 0 as "unknown".
AGED = (1, 1)


def stage_states() -> dict[str, State]:
    """The state of every stage in dvc.yaml, by its name."""
    from dvc.repo import Repo

    states: dict[str, State] = {}
    with Repo() as repo:
        status = repo.status()
        for stage in repo.index.stages:
            if stage.cmd:
                states[stage.name] = stage_state(status.get(stage.addressing, []))
    return states


def stage_state(changes: list[Any]) -> State:
    """What `dvc status` says of a stage, as one word."""
    if any(isinstance(c, dict) and _differs(c.get("changed outs", {})) for c in changes):
        return "uncommitted"
    return "stale" if any(not _is_only_missing(c) for c in changes) else "clean"


def _differs(files: dict[str, str]) -> bool:
    """Whether a file is there with other contents. One that is not there says nothing."""
    return any(state not in ("deleted", "not in cache") for state in files.values())


def _is_only_missing(change: Any) -> bool:
    """Files that were not pulled say nothing against the rest (`dvc repro --allow-missing`)."""
    return isinstance(change, dict) and not any(_differs(files) for files in change.values())


def is_of_this_file(persistence: Any, job: Any) -> bool:
    """Whether Snakemake recorded all outputs of the job just as they are."""
    for out in job.output:
        record = persistence.metadata(out)
        if record is None or not Path(out).exists() or records.is_other_file(out, dict(record)):
            return False
    return True


def make_newer(job: Any, outs: list[Path]) -> None:
    """Give the outputs the present time if an input is newer."""
    oldest = min((out.stat().st_mtime_ns for out in outs), default=0)
    newest_input = max(
        (Path(f).stat().st_mtime_ns for f in job.input if Path(f).exists()), default=0
    )
    if oldest <= max(newest_input, AGED[1] * 10**9):
        for out in outs:
            os.utime(out)
    benchmark = Path(job.benchmark) if job.benchmark else None
    if benchmark is not None and benchmark.exists():  # counts as an output when times are compared
        os.utime(benchmark)


def age(job: Any, persistence: Any, outs: list[Path]) -> None:
    for out in outs:
        os.utime(out, AGED)
    persistence.cleanup(job)
    if not job.input:  # then no time makes it run, but what is marked as incomplete is made again
        persistence.started(job)


def sync() -> tuple[int, int]:
    """Returns how many jobs are up to date by dvc.lock, and how many were marked stale."""
    write_configs(workspace.restricted(load_params("params.yaml")))
    write_sources.write_lists()
    states = stage_states()
    stages = yaml.load(Path("dvc.yaml").read_text(), yaml.CSafeLoader)["stages"]
    lost = set(records.lost())
    num_clean = num_aged = 0
    with dag.workflow_jobs() as (workflow, jobs):
        workflow.iocache.deactivate()  # else the times recorded are those before make_newer
        for job in jobs:
            name = dag.stage_name(job)
            outs = [Path(out) for out in job.output if Path(out).exists()]
            state = states.get(name, "uncommitted")
            stage = dag.stage_of(job, workflow.persistence)
            if state == "clean" and not dag.is_same_job(stage, stages[name]):
                state = "stale"  # dvc.yaml is out of date: what DVC found clean is another job
            if state == "clean" and lost.intersection(map(str, job.output)):
                continue
            if state == "clean":
                # Also where outputs were not pulled: by these records Snakemake will know whether
                # the job's inputs change.
                make_newer(job, outs)
                workflow.async_run(workflow.persistence.finished(job))
                num_clean += 1
            elif outs and (state == "stale" or not is_of_this_file(workflow.persistence, job)):
                age(job, workflow.persistence, outs)
                num_aged += 1
    return num_clean, num_aged


def main() -> None:
    num_clean, num_aged = sync()
    workspace.remember_outputs()
    print(f"In step with dvc.lock: {num_clean} jobs up to date, {num_aged} stale.", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except EntropicOTError as error:
        sys.exit(str(error))
