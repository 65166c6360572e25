# What all rules share: the parameters, the sources that each command depends on, and the care for
# records that makes Snakemake and DVC agree. No rule stands here.
import sys

from snakemake.exceptions import WorkflowError

sys.path[:0] = [str(Path("src").resolve()), str(Path("workflow/scripts").resolve())]

import workspace
import write_sources
from entropic_ot.errors import EntropicOTError
from entropic_ot.experiments import paths
from entropic_ot.experiments.params import load_params, write_configs

workspace.use_this_checkout()

try:
    # Only what the command line sets: the file itself is read by load_params, which checks it.
    overrides = dict(workflow.config_settings.overwrite_config)
    PARAMS = workspace.restricted(
        load_params(
            "params.yaml", scale=overrides.pop("scale", None), overrides=overrides
        )
    )
except EntropicOTError as error:
    raise WorkflowError(str(error)) from None

LAYOUT = PARAMS.layout
SCALE = PARAMS.scale
RUNS = {(run.case, run.name): run for run in PARAMS.runs}

if workflow.is_main_process and not workspace.is_parsed_for_records():
    workspace.enter()
    # DVC has stages of its own for these files; and while another Snakemake runs, its
    # jobs must find the files that they were planned with.
    if not workspace.is_dvc_stage() and workspace.is_free():
        for line in PARAMS.left_out:
            print(line, file=sys.stderr)
        write_configs(PARAMS)
        write_sources.write_lists()
        workspace.sync_with_dvc()

# One training at a time, also without --resources gpu=1. And no more threads than there are real
# processors, whatever --cores says: jobs count theirs as `processors` (Snakemake sets
# OMP_NUM_THREADS and its like to a job's threads).
workflow.global_resources.setdefault("gpu", 1)
workflow.global_resources.setdefault("processors", workspace.num_processors())


wildcard_constraints:
    case="[^/]+",
    run="[^/]+",
    dataset="[^/]+",
    figure="[^/]+",


# The software of all rules is one environment, .venv, from requirements.lock; Conda is not needed.
ENVIRONMENT = "../envs/entropic-ot.yaml"


def sources(name):
    """The list of the files that make up a command, and their hashes."""
    return write_sources.list_path(name)


def run_of(wildcards):
    try:
        return RUNS[wildcards.case, wildcards.run]
    except KeyError:
        raise WorkflowError(
            f"{wildcards.case}/{wildcards.run}: params.yaml has no such run at scale {SCALE}"
        ) from None


def run_data(wildcards):
    return run_of(wildcards).data_files


def files_of(path):
    """A file, or all files of a folder: DVC and Snakemake follow files by their contents."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else path


def log_path(rule, name=None):
    return LAYOUT.root / "logs" / (f"{rule}/{name}.log" if name else f"{rule}.log")


def benchmark_path(rule, name=None):
    return (
        LAYOUT.root / "benchmarks" / (f"{rule}/{name}.tsv" if name else f"{rule}.tsv")
    )


def training_threads(wildcards):
    """All processors where the training computes on them, two where a GPU does.

    On the CPU nothing runs beside a training: its threads wait for each other at every operation,
    so that sharing one of two processors would halve its speed. With a GPU, finished runs are
    evaluated meanwhile. Light jobs have one thread each, and their results do not depend on how
    many of them run.
    """
    processors = workspace.num_processors()
    return min(2, processors) if workspace.has_gpu() else processors


def training_processors(wildcards, threads):
    return threads


def gpu_if_present(wildcards):
    return int(workspace.has_gpu())


onsuccess:
    if not workspace.is_dvc_stage():
        workspace.remember_outputs()
        shell(f"entropic-ot summary --scale {SCALE} >&2")


onerror:
    if not workspace.is_dvc_stage():
        workspace.remember_outputs()
        shell(f"entropic-ot summary --scale {SCALE} >&2 || true")
        workspace.report_failures(log)
