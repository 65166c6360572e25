# What all rules share: the parameters, the sources that each command depends on, and the care for
# records that makes Snakemake and DVC agree. No rule stands here.
import re
import sys

from snakemake.exceptions import WorkflowError

sys.path[:0] = [str(ROOT / "src"), str(ROOT / "workflow" / "scripts")]

import clock
import ending
import records
import workspace
import write_sources
from entropic_ot import launch
from entropic_ot.data.weights import PUBLISHED
from entropic_ot.errors import EntropicOTError
from entropic_ot.experiments import paths
from entropic_ot.experiments.config import image_problem, num_values
from entropic_ot.experiments.params import load_params, typed, write_configs
from entropic_ot.metrics.registry import NETWORKS

workspace.use_checkout(ROOT)

try:
    # Only what a module statement or the command line sets: the file itself is read by load_params,
    # which checks it.
    overrides = {} if IS_AT_HOME else dict(config)
    overrides |= typed(workflow.config_settings.overwrite_config)
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


def inputs_from_outside():
    """Files whose times are anybody's: data, results of before, parameters and sources."""
    raw = {path for p in PARAMS.datasets.values() for path in paths.raw_files(p)}
    return [
        *(Path("params.yaml"), Path("data"), LAYOUT.root, *sorted(raw)),
        *(ROOT / "src", ROOT / "workflow"),
    ]


if workflow.is_main_process and not workspace.is_parsed_for_records():
    try:
        workspace.enter()
        # DVC has stages of its own for these files; and while another Snakemake runs, its
        # jobs must find the files that they were planned with.
        if not workspace.is_dvc_stage() and workspace.is_free():
            for line in PARAMS.left_out:
                print(line, file=sys.stderr)
            write_configs(PARAMS)
            write_sources.write_lists("src" if IS_AT_HOME else ROOT / "src")
            clock.bring_to_present(inputs_from_outside())
            if IS_AT_HOME:
                workspace.sync_with_dvc()
                # It wrote those of params.yaml, without what --config sets.
                write_configs(PARAMS)
            for changed in records.mark_changed():
                print(
                    f"{changed}: changed since it was made; making it again.",
                    file=sys.stderr,
                )
    except OSError as error:
        raise WorkflowError(
            f"{error.filename}: found {error.strerror or error}, expected a file or folder that"
            " can be written to. Check its permissions and the disk, and run again."
        ) from None

# A training asks for gpu=1, so that one GPU has one training at a time, also without --resources
# gpu=1. Where there is no GPU each processor stands in for one: trainings then run side by side,
# one thread each. No more threads than there are real processors, whatever --cores says: jobs
# count theirs as `processors` (Snakemake sets OMP_NUM_THREADS and its like to a job's threads).
#
# On a cluster they are those of each job's own node, as profiles/slurm says by their scope, and this
# machine's say nothing. Slurm's plugin runs the jobs of a group one after another.
if workflow.resource_scopes.is_local("processors"):
    workflow.global_resources.setdefault("gpu", 1)
    workflow.global_resources.setdefault("processors", 1)
elif workspace.has_gpu():
    workflow.global_resources.setdefault("gpu", 1)
else:
    workflow.global_resources["gpu"] = workspace.num_processors()
workflow.global_resources.setdefault("processors", workspace.num_processors())


# On a cluster these run on the login node, which may have the internet that others do not have.
localrules:
    fetch_mnist,
    fetch_msci,
    fetch_cifar10,
    fetch_orl,
    fetch_celeba,
    fetch_afhq,
    fetch_afhqdog,
    fetch_weights,


# What a wildcard may hold: the characters of names (load_params checks those in params.yaml), and
# so nothing that a shell would read as more than a word.
NAMES = "[A-Za-z0-9_.+-]+"


wildcard_constraints:
    case=NAMES,
    run=NAMES,
    dataset=NAMES,
    plan=NAMES,
    figure=NAMES,
    generator=NAMES,
    dim=NAMES,


# The software of all rules is one environment, .venv, from requirements.lock; Conda is not needed.
ENVIRONMENT = "../envs/entropic-ot.yaml"


def ours(path):
    """A file of this workflow: by its name in the repository, or absolute where that is elsewhere."""
    return path if IS_AT_HOME else str(ROOT / path)


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


def shared_records(runs):
    """What tells how long the generators and encodings behind these runs took."""
    found = (LAYOUT.shared_records(run.config.problem) for run in runs)
    return list(dict.fromkeys(file for files in found for file in files))


def weights_name(file):
    """What `entropic-ot fetch` calls the weights in this file."""
    return next(name for name, known in PUBLISHED.items() if known.name == file)


def reference_of(wildcards):
    """The large discrete plan that this run's samples are compared with, if any."""
    plan = run_of(wildcards).reference
    return [] if plan is None else [str(LAYOUT.reference(plan.case, plan.name))]


def trained_data(wildcards):
    """What a generator that is trained here learns from."""
    return paths.prepared_files(generator_source(wildcards, "trained").images)


def generator_source(wildcards, kind):
    source = PARAMS.generators.get(wildcards.generator)
    if source is None or source.kind != kind:
        raise WorkflowError(
            f"{wildcards.generator}: params.yaml has no generator of this name that is {kind}"
        )
    return source


def of_kind(kind):
    """The names of the generators of a kind, as a pattern that matches nothing where none is."""
    names = [name for name, source in PARAMS.generators.items() if source.kind == kind]
    return "|".join(map(re.escape, names)) or "(?!)"


def dataset_of(wildcards):
    """The problem whose prepared data has this name."""
    try:
        return PARAMS.datasets[wildcards.dataset]
    except KeyError:
        known = ", ".join(sorted(PARAMS.datasets)) or "none"
        raise WorkflowError(
            f"{wildcards.dataset}: no enabled run at scale {SCALE} uses prepared data of this"
            f" name; known: {known}"
        ) from None


def files_of(path):
    """A file, or all files of a folder: DVC and Snakemake follow files by their contents."""
    return (
        sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    )


def log_path(rule, name=None):
    return LAYOUT.root / "logs" / (f"{rule}/{name}.log" if name else f"{rule}.log")


def benchmark_path(rule, name=None):
    return (
        LAYOUT.root / "benchmarks" / (f"{rule}/{name}.tsv" if name else f"{rule}.tsv")
    )


def training_threads(wildcards):
    """One where the training computes on the processors, two where a GPU does.

    Networks of this size gain little from a second thread, and lose a factor of ten when another
    process wants its processor; so on the CPU trainings run side by side instead. And a result
    that was computed by one thread does not depend on the number of processors.
    """
    return min(2, workspace.num_processors()) if workspace.has_gpu() else 1


def shared_training_threads(wildcards):
    """Of all processes of a training (EOT_PROCESSES; `entropic-ot train` divides them).

    Results differ in rounding alone, so nothing is out of date when their number changes.
    """
    threads = training_threads(wildcards) * launch.num_processes(None)
    return max(1, min(threads, workspace.num_processors()))


def sampling_threads(wildcards):
    return min(launch.num_processes(None), workspace.num_processors())


def samples_memory(wildcards):
    """MB: all samples of a run lie in memory, some arrays of them at once and in 32 bits."""
    problem = image_problem(run_of(wildcards).config.problem)
    num = PARAMS.evaluations[wildcards.case].num_samples
    return 4000 + 6 * 4 * num * num_values(problem) // 10**6


def training_processors(wildcards, threads):
    return threads


def gpu_if_present(wildcards):
    return int(workspace.has_gpu())


def gpu_of_networks(wildcards):
    """Networks behind metrics compute on the GPU."""
    return int(workspace.has_gpu() and bool(run_of(wildcards).needs & NETWORKS))


def lost_outputs(wildcards):
    """What killed jobs had deleted, and no stale job asks for any more (records.py)."""
    lost = records.lost()
    if not lost:
        return []
    files = set(expand(rules.prepare.output, dataset=PARAMS.datasets))
    for run in PARAMS.runs:
        for each in (rules.train, rules.sample, rules.evaluate):
            files.update(expand(each.output, case=run.case, run=run.name))
        files.update(map(str, run.data_files))  # generators and encodings of any kind
        if run.reference is not None:
            files.add(str(LAYOUT.reference(run.reference.case, run.reference.name)))
        if run.needs_classifier:
            files.update(rules.classifier.output)
    for generator, dataset in PARAMS.encoded:
        files.update(expand(rules.generator.output, generator=generator))
        files.update(expand(rules.encode.output, generator=generator, dataset=dataset))
    return [path for path in lost if path in files]


onsuccess:
    if not workspace.is_dvc_stage():
        workspace.remember_made()
        shell(f"entropic-ot summary --scale {SCALE} --succeeded >&2")


onerror:
    if not workspace.is_dvc_stage():
        workspace.remember_made()
        ending.report_failures(log)
        shell(f"entropic-ot summary --scale {SCALE} --failed >&2 || true")
