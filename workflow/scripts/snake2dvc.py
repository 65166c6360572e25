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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path("src").resolve()))

import dag
import published
import workspace
import write_sources
import yaml

from entropic_ot.errors import EntropicOTError
from entropic_ot.experiments.params import (
    availability,
    config_texts,
    load_params,
    write_configs,
)
from entropic_ot.files import write_text
from entropic_ot.metrics.registry import METRICS

DVC_YAML = Path("dvc.yaml")
AUTO_METRICS = {name for name, metric in METRICS.items() if "inception" in metric.needs}
LEFT_OUT = "# Left out, because their data was not there: "


def generated(*, write: bool = True) -> str:
    """The text of dvc.yaml for the data that is on this machine.

    With `write` the resolved parameters, which are inputs of jobs, are written first.
    """
    params = workspace.restricted(load_params("params.yaml"))
    left_out = [line.partition(":")[0] for line in params.left_out]
    left_out += filter(None, os.environ.get(workspace.WITHOUT_CASES, "").split(","))
    if workspace.is_free():
        if write:
            write_configs(params)
        write_sources.write_lists()
    stages: dict[str, Any] = {}
    with dag.workflow_jobs() as (workflow, jobs):
        for job in jobs:
            name = dag.stage_name(job)
            if name in stages:
                raise ValueError(f"two jobs would be the stage {name}")
            stages[name] = dag.stage_of(job, workflow.persistence)
    stages = {
        "sources": _sources_stage(),
        "configure": _configure_stage(params, stages),
        **stages,
    }
    _say_where_outputs_are_kept(stages)
    content = {
        "stages": stages,
        "params": ["params.yaml"],
        "metrics": [str(params.layout.tables / "metrics.json")],
        "plots": _plots(params.layout.tables),
    }
    text = yaml.safe_dump(content, sort_keys=False, width=1000)
    return f"{dag.HEADER}{LEFT_OUT}{', '.join(sorted(set(left_out))) or 'none'}\n{text}"


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


def _plots(tables: Path) -> list[dict[str, Any]]:
    """What `dvc plots` shows, by the templates in .dvc/plots."""
    losses = {"title": "Losses of the trainings", "x": "step", "y": "value", "template": "losses"}
    metrics = {
        **{"title": "Metrics against epsilon", "template": "epsilon"},
        **{"x": "epsilon", "y": {str(tables / "metrics.csv"): "value"}},
    }
    return [{str(tables / "losses.csv"): losses}, {"metrics-against-epsilon": metrics}]


def _say_where_outputs_are_kept(stages: dict[str, Any]) -> None:
    """Give every output its remote (published.flags); changes the stages in place."""
    store, remote = published.load_store(), published.default_remote()
    for stage in stages.values():
        outs = []
        for out in stage.get("outs", []):
            path, settings = (out, {}) if isinstance(out, str) else next(iter(out.items()))
            settings = settings | published.flags(path, store, remote)
            outs.append({path: settings} if settings else path)
        stage["outs"] = outs


def recorded_left_out(text: str) -> list[str]:
    """The cases that the second line of dvc.yaml names."""
    line = text.splitlines()[1] if text.startswith(dag.HEADER) else LEFT_OUT + "none"
    names = line.removeprefix(LEFT_OUT)
    return [] if names == "none" else names.split(", ")


@contextmanager
def _lent_configs() -> Iterator[None]:
    """The resolved parameters that are not here, for a while.

    Those that are here stay: they are of this machine's data, and results depend on them.
    """
    texts = config_texts(workspace.restricted(load_params("params.yaml")))
    with workspace.alone() as alone:  # a Snakemake that is alive wrote them when it began
        missing = [path for path in texts if alone and not path.exists()]
        try:
            for path in missing:
                write_text(path, texts[path])
            yield
        finally:
            for path in missing:
                path.unlink(missing_ok=True)


def check() -> int:
    """0 if dvc.yaml is what it would be on the machine that it was made for."""
    current = DVC_YAML.read_text() if DVC_YAML.exists() else ""
    # Take all files for present, then leave out what that machine left out.
    availability.missing_files = lambda problem: []
    availability.missing_pickle = lambda path: []
    left_out = recorded_left_out(current)
    has_inception = not AUTO_METRICS.intersection(left_out)
    availability.inception_lacks = lambda: None if has_inception else "left out"
    os.environ[workspace.WITHOUT_CASES] = ",".join(left_out)
    with _lent_configs():
        up_to_date = generated(write=False) == current
    if up_to_date:
        return 0
    print(
        "dvc.yaml is out of date: found other jobs or files than params.yaml, the rules and your "
        "own data (a new epsilon or seed, a new image in a folder) give; expected the same, since "
        "DVC knows only what stands there. `make dvc` makes it anew.",
        file=sys.stderr,
    )
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if dvc.yaml is out of date")
    if parser.parse_args().check:
        return check()
    text = generated()
    if not DVC_YAML.exists() or DVC_YAML.read_text() != text:
        write_text(DVC_YAML, text)
        print("wrote dvc.yaml", file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EntropicOTError as error:
        sys.exit(str(error))
