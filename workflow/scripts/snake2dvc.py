"""Write dvc.yaml: one stage for each job of `all` at the scale of params.yaml.

Each stage runs its one Snakemake rule, so no command stands twice. The first two stages make the
lists of sources and the resolved parameters, which Snakemake otherwise writes when it starts.

`--check` changes nothing and fails when dvc.yaml is out of date. Experiments whose data is not on
this machine are not in `all`; the file's second line says for which machine it was made, and the
check compares with the workflow of that machine: it asks for no data, published pickle or weights
here. (The user's own arrays and pickles, which no rule makes, must be there for their cases.)
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path("src").resolve()))

import dag
import workspace
import write_sources
import yaml

from entropic_ot.errors import EntropicOTError
from entropic_ot.experiments.params import availability, load_params, write_configs

DVC_YAML = Path("dvc.yaml")
LEFT_OUT = "# Left out, because their data was not there: "


def generated() -> str:
    """The text of dvc.yaml for the data that is on this machine."""
    params = workspace.restricted(load_params("params.yaml"))
    left_out = [line.partition(":")[0] for line in params.left_out]
    left_out += filter(None, os.environ.get(workspace.WITHOUT_CASES, "").split(","))
    if workspace.is_free():
        write_configs(load_params("params.yaml"))
        write_sources.write_lists()
    stages: dict[str, Any] = {}
    with dag.workflow_jobs() as (workflow, jobs):
        for job in jobs:
            name = dag.stage_name(job)
            if name in stages:
                raise ValueError(f"two jobs would be the stage {name}")
            stages[name] = dag.stage_of(job, workflow.persistence)
    content = {
        "stages": {
            "sources": _sources_stage(),
            "configure": _configure_stage(params, stages),
            **stages,
        },
        "params": ["params.yaml"],
        "metrics": [str(params.layout.tables / "metrics.json")],
    }
    text = yaml.safe_dump(content, sort_keys=False, width=1000)
    return f"{dag.HEADER}{LEFT_OUT}{', '.join(sorted(left_out)) or 'none'}\n{text}"


def _sources_stage() -> dict[str, Any]:
    script = Path(write_sources.__file__).relative_to(Path.cwd())
    return {
        "cmd": f"python {script}",
        "deps": sorted([str(script), str(write_sources.LOCK), *write_sources.all_sources()]),
        "outs": sorted(str(write_sources.list_path(name)) for name in write_sources.MODULES),
    }


def _configure_stage(params: Any, stages: dict[str, Any]) -> dict[str, Any]:
    folder = str(params.layout.root / "config") + "/"
    outs = {dep for stage in stages.values() for dep in stage.get("deps", [])}
    return {
        "cmd": "entropic-ot configure",
        "deps": ["params.yaml", str(write_sources.list_path("configure"))],
        "outs": sorted(out for out in outs if out.startswith(folder)),
    }


def recorded_left_out(text: str) -> list[str]:
    """The cases that the second line of dvc.yaml names."""
    line = text.splitlines()[1] if text.startswith(dag.HEADER) else LEFT_OUT + "none"
    names = line.removeprefix(LEFT_OUT)
    return [] if names == "none" else names.split(", ")


def check() -> int:
    """0 if dvc.yaml is what it would be on the machine that it was made for."""
    current = DVC_YAML.read_text() if DVC_YAML.exists() else ""
    # Take all files for present, then leave out what that machine left out.
    availability.missing_files = lambda problem: []
    availability.missing_pickle = lambda path: []
    availability.check_inception = lambda at_metrics: None
    os.environ[workspace.WITHOUT_CASES] = ",".join(recorded_left_out(current))
    if generated() == current:
        return 0
    print("dvc.yaml is out of date; `make dvc` makes it anew", file=sys.stderr)
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if dvc.yaml is out of date")
    if parser.parse_args().check:
        return check()
    text = generated()
    if not DVC_YAML.exists() or DVC_YAML.read_text() != text:
        DVC_YAML.write_text(text)
        print("wrote dvc.yaml", file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EntropicOTError as error:
        sys.exit(str(error))
