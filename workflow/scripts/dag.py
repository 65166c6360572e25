"""The jobs of the Snakefile and the DVC stages that stand for them.

Used by snake2dvc.py, which writes the stages, and by sync.py, which compares. This is the one
place that touches Snakemake's internals, for which the lock file pins its version.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import workspace

os.environ[workspace.FOR_RECORDS] = "1"

HEADER = (
    "# Made from the Snakefile and params.yaml by workflow/scripts/snake2dvc.py: do not edit.\n"
)
# Rules whose outputs are checked against known hashes: never deleted before the stage runs.
PERSISTENT_RULES = (
    *("fetch_mnist", "fetch_msci", "fetch_weights"),
    *("fetch_cifar10", "fetch_orl", "fetch_celeba", "fetch_afhq", "fetch_afhqdog"),
)


@contextmanager
def workflow_jobs() -> Iterator[tuple[Any, list[Any]]]:
    """(workflow, jobs of `all` in topological order), whether or not they are up to date."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import (
        DAGSettings,
        ExecutionSettings,
        OutputSettings,
        RemoteExecutionSettings,
        ResourceSettings,
    )

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        handle = api.workflow(ResourceSettings(cores=1), snakefile=Path("Snakefile"))
        handle.dag(DAGSettings(targets={"all"}, forceall=True))
        workflow = handle._workflow
        workflow.execution_settings = ExecutionSettings()
        workflow.remote_execution_settings = RemoteExecutionSettings()
        workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
        workflow.async_run(workflow.dag.init())
        yield (
            workflow,
            [
                job
                for level in workflow.dag.toposorted()
                for job in sorted(level, key=lambda j: (j.rule.name, sorted(map(str, j.output))))
                if not job.is_norun
            ],
        )


def stage_name(job: Any) -> str:
    """Rule and wildcards; DVC allows no punctuation but - and _ in names."""
    parts = [job.rule.name, *job.wildcards_dict.values()]
    return "-".join("".join(c if c.isalnum() or c in "-_" else "_" for c in p) for p in parts)


def stage_of(job: Any, persistence: Any) -> dict[str, Any]:
    """The stage of dvc.yaml that runs this job and nothing else.

    --allowed-rules keeps Snakemake from judging other jobs: there, DVC decides by content. The
    hash stands for the rule's command and parameters, so that editing them makes the stage stale.
    """
    outs = sorted(map(str, job.output))
    text = repr((job.rule.shellcmd, persistence._params(job)))
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    command = f"snakemake --quiet all --allowed-rules {job.rule.name} -- {' '.join(outs)}"
    # The one file that a job reads and does not list among its inputs (rule prepare says why).
    config = job.params.get("config")
    deps = {*map(str, job.input), *([str(config)] if config is not None else [])}
    keep = job.rule.name in PERSISTENT_RULES
    return {
        "cmd": f"{command} # {digest}",
        **({"deps": sorted(deps)} if deps else {}),
        "outs": [{out: {"persist": True}} for out in outs] if keep else outs,
    }


def is_same_job(stage: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two stages do the same, wherever DVC keeps what they make."""
    return (
        stage["cmd"] == other["cmd"]
        and stage.get("deps") == other.get("deps")
        and stage_outs(stage) == stage_outs(other)
    )


def stage_outs(stage: dict[str, Any]) -> list[str]:
    """The paths of a stage's outputs, without what DVC is told of them."""
    return [out if isinstance(out, str) else next(iter(out)) for out in stage.get("outs", [])]
