"""What many runs cost before any of them computes: plan, memory, empty jobs, files, DVC, sbatch.

In a temporary copy of the project params.yaml describes N runs (data sets × ε × seeds of ENOT on
Gaussians) and `entropic-ot` and the notebooks are replaced by stand-ins that only write empty
outputs. What is left is the cost of the workflow. Seconds are the least of the repeats, of the wall
clock and of the processors (user + system, of the command and all that it started); on a machine
that others use too the latter say more. The rows of numbers of runs that are not measured now stay.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from entropic_ot.errors import ConfigError, EntropicOTError
from entropic_ot.files import atomic_path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("Snakefile", "pyproject.toml", ".gitignore", ".dvcignore", "src", "workflow")
COLUMNS = ("runs", "jobs", "quantity", "value", "unit", "repeats", "commit")
MAX_EPSILONS = 10
MAX_SEEDS = 100
STAND_IN = '''\
"""In the place of the command line: writes empty files where a command's outputs are expected."""
import sys
from pathlib import Path

FILES = {
    "train": ["checkpoint.safetensors", "training_state.safetensors", "log.jsonl"]
    + ["provenance.json"],
    "table": ["metrics.csv", "over_time.csv", "metrics.md", "metrics.json", "losses.csv"],
    "pages": ["results.html", "runs.html", "settings.html"],
}

def main():
    words = sys.argv[1:]
    if "--out" in words:
        out = Path(words[words.index("--out") + 1])
        for path in [out / name for name in FILES[words[0]]] if words[0] in FILES else [out]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{path}: {words}")
'''
NOTEBOOK_STAND_IN = """\
import sys
from pathlib import Path

words = sys.argv[1:]
value = {a: b for a, b in zip(words, words[1:])}
tables = value.get("tables")
ends = [tables + "/comparison" + e for e in (".md", ".csv", ".tex")] if tables else []
pictures = [value["--out"] + e for e in (".png", ".pdf")]
for path in [value["--notebook"], value["--html"], *pictures, *ends]:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(path)
"""


@dataclass(frozen=True)
class Cost:
    """Of one command: seconds of the clock and of the processors, and its largest process in MB.

    A process counts as no smaller than the one that started it, so nothing here imports torch.
    """

    wall: float
    cpu: float
    peak_mb: float


def make_params(num_runs: int) -> dict[str, Any]:
    """The repository's params.yaml with `num_runs` runs of one experiment and one figure.

    Raises:
        ConfigError: the number is not one of 10 ε × seeds × data sets.
    """
    if num_runs % MAX_EPSILONS:
        raise ConfigError(f"--runs: found {num_runs}, expected a multiple of {MAX_EPSILONS}")
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    num_pairs = num_runs // MAX_EPSILONS
    num_cases = next(
        n for n in range(1, num_pairs + 1) if num_pairs % n == 0 and num_pairs // n <= MAX_SEEDS
    )
    gaussian = params["experiments"]["gaussian"]
    gaussian["seeds"] = list(range(num_pairs // num_cases))
    gaussian["methods"] = {"enot": gaussian["methods"]["enot"]}
    gaussian["methods"]["enot"]["epsilons"] = [k / 10 for k in range(1, MAX_EPSILONS + 1)]
    gaussian["variants"] = {f"d{dim}": {"problem": {"dim": dim}} for dim in range(2, 2 + num_cases)}
    params["experiments"] = {"gaussian": gaussian}
    params["figures"] = {"gaussian": params["figures"]["gaussian"]}
    params["scale"] = "smoke"
    params["scales"] = {"laptop": {}, "paper": {}, "smoke": {"experiments": {}}}
    return params


@contextmanager
def copy_of_project(num_runs: int) -> Iterator[Path]:
    """A temporary folder with the workflow, its parameters and the stand-ins."""
    with tempfile.TemporaryDirectory(prefix="scale-out-") as name:
        folder = Path(name)
        for path in COPIED:
            if (ROOT / path).is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
                shutil.copytree(ROOT / path, folder / path, symlinks=True, ignore=ignore)
            else:
                shutil.copy2(ROOT / path, folder)
        (folder / "profiles").symlink_to("workflow/profiles")
        text = yaml.safe_dump(make_params(num_runs), sort_keys=False)
        (folder / "params.yaml").write_text(text)
        (folder / "src/entropic_ot/cli.py").write_text(STAND_IN)
        (folder / "workflow/scripts/run_notebook.py").write_text(NOTEBOOK_STAND_IN)
        yield folder


def environment(folder: Path) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "EOT_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # The system's git settings are not asked: the copy is a repository of its own.
    return ours | {"PATH": path, "PYTHONPATH": str(folder / "src"), "GIT_CONFIG_GLOBAL": os.devnull}


def cost(folder: Path, *words: str) -> Cost:
    """Run a command there; EntropicOTError with the end of what it said when it fails."""
    output = folder / ".said"
    with output.open("wb") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            words, cwd=folder, env=environment(folder), stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise EntropicOTError(f"{' '.join(words)}: {output.read_text()[-800:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def least(folder: Path, repeats: int, *words: str) -> Cost:
    costs = [cost(folder, *words) for _ in range(repeats)]
    return Cost(
        min(c.wall for c in costs), min(c.cpu for c in costs), max(c.peak_mb for c in costs)
    )


class Rows:
    """The measurements of one number of runs, printed as they come."""

    def __init__(self, runs: int, commit: str, jobs: int | None = None) -> None:
        self.runs, self.commit, self.rows = runs, commit, list[dict[str, str]]()
        # Training, sampling, evaluation of each; two tables, one figure, all.
        self.jobs = 3 * runs + 4 if jobs is None else jobs

    def add(self, quantity: str, value: float, unit: str, repeats: int = 1) -> None:
        row = {"runs": self.runs, "jobs": self.jobs, "quantity": quantity}
        row |= {"value": f"{value:.4g}", "unit": unit, "repeats": repeats, "commit": self.commit}
        self.rows.append({k: str(v) for k, v in row.items()})
        print(self.runs, quantity, f"{value:.4g}", unit, file=sys.stderr, flush=True)

    def add_cost(self, name: str, found: Cost, repeats: int = 1) -> None:
        self.add(f"{name}_wall", found.wall, "s", repeats)
        self.add(f"{name}_cpu", found.cpu, "s", repeats)
        self.add(f"{name}_peak", found.peak_mb, "MB", repeats)


def measure_plan(rows: Rows, folder: Path) -> None:
    """Parameters to run files; the first plan; and the plan of one training alone.

    The last is what a job on a cluster, or a stage of DVC, spends before it begins.
    """
    rows.add_cost("configure", cost(folder, sys.executable, "-c", _CONFIGURE))
    dry_run = (*_SNAKEMAKE, "--dry-run", "--quiet", "all")
    rows.add_cost("plan", least(folder, 2, *dry_run, "--", "all"), 2)
    one = "results/smoke/runs/gaussian-d2/enot-eps0.1-seed0/checkpoint.safetensors"
    rows.add_cost("one_job", least(folder, 3, *dry_run, "--allowed-rules", "train", "--", one), 3)


_CONFIGURE = (
    "from entropic_ot.experiments.params import load_params, write_configs;"
    "write_configs(load_params('params.yaml'))"
)
_SNAKEMAKE = ("snakemake", "--cores", "8")


def measure_jobs(rows: Rows, folder: Path) -> None:
    """All jobs, empty; then the run that finds nothing to do; and what lies there afterwards."""
    found = cost(folder, *_SNAKEMAKE, "--", "all")
    rows.add_cost("empty_jobs", found)
    rows.add("empty_jobs_rate", rows.jobs / found.wall, "jobs/s")
    repeats = 3 if rows.runs <= 1000 else 1
    rows.add_cost("noop", least(folder, repeats, *_SNAKEMAKE, "--", "all"), repeats)
    rows.add("files_a_run", _num_files(folder / "results") / rows.runs, "files")
    rows.add("records_a_run", _num_files(folder / ".snakemake/metadata") / rows.runs, "files")


def _num_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def measure_dvc(rows: Rows, folder: Path) -> None:
    """dvc.yaml, the commit of what Snakemake made, and the `dvc repro` that finds nothing to do."""
    cost(folder, "git", "init", "--quiet")
    cost(folder, "dvc", "init", "--quiet")
    cost(folder, "dvc", "config", "core.analytics", "false")
    made = cost(folder, sys.executable, "workflow/scripts/snake2dvc.py")
    rows.add_cost("snake2dvc", made)
    rows.add("dvc_yaml", (folder / "dvc.yaml").stat().st_size / 1e6, "MB")
    rows.add_cost("dvc_commit", cost(folder, "dvc", "commit", "--force", "--quiet"))
    rows.add("dvc_lock", (folder / "dvc.lock").stat().st_size / 1e6, "MB")
    rows.add_cost("dvc_status", cost(folder, "dvc", "status"))
    rows.add_cost("dvc_repro_noop", cost(folder, "dvc", "repro"))
    rows.add("cache_files_a_run", _num_files(folder / ".dvc/cache") / rows.runs, "files")
    # Snakemake compares its records with dvc.lock once after each change of it.
    rows.add_cost("noop_after_commit", cost(folder, *_SNAKEMAKE, "--", "all"))


def measure_sbatch(rows: Rows, folder: Path) -> None:
    """Seconds to submit empty jobs to the Slurm that is there, one by one and as one array."""
    if shutil.which("sbatch") is None:
        raise ConfigError("--sbatch: no sbatch here; start one by scripts/slurm/start.sh")
    num_jobs = rows.jobs
    empty = ("--parsable", "--output=/dev/null", "--mem=1", "--wait", "--wrap", "true")
    words = " ".join(("sbatch", *(w for w in empty if w != "--wait")))
    submitted = cost(folder, "bash", "-c", f"for _ in $(seq {num_jobs}); do {words}; done")
    rows.add("sbatch_rate", num_jobs / submitted.wall, "jobs/s")
    began = time.perf_counter()
    while subprocess.run(["squeue", "--noheader"], capture_output=True, check=True).stdout:
        time.sleep(0.2)
    finished = submitted.wall + time.perf_counter() - began
    rows.add("slurm_jobs_rate", num_jobs / finished, "jobs/s")
    array = cost(folder, "sbatch", f"--array=1-{num_jobs}", *empty)
    rows.add("slurm_array_rate", num_jobs / array.wall, "jobs/s")


def measure_results(folder: Path, commit: str) -> list[dict[str, str]]:
    """Mean bytes that one real run left, of each kind, and its number of files."""
    num_runs = len(list((folder / "runs").glob("*/*/provenance.json")))
    if num_runs == 0:
        raise ConfigError(f"--results: {folder} holds no finished run (runs/*/*/provenance.json)")
    rows = Rows(num_runs, commit, jobs=0)
    total = 0
    for kind in ("config", "runs", "checkpoints", "samples", "metrics", "logs", "benchmarks"):
        files = [path for path in (folder / kind).rglob("*") if path.is_file()]
        total += len(files)
        size = sum(path.stat().st_size for path in files)
        rows.add(f"real_{kind}_a_run", size / num_runs / 1e6, "MB")
    rows.add("real_files_a_run", total / num_runs, "files")
    return rows.rows


def measure(num_runs: int, args: argparse.Namespace, commit: str) -> list[dict[str, str]]:
    """The rows of one number of runs, as far as the limits for jobs and DVC let it be measured."""
    rows = Rows(num_runs, commit)
    with copy_of_project(num_runs) as folder:
        measure_plan(rows, folder)
        if rows.jobs <= args.max_jobs:
            measure_jobs(rows, folder)
            if num_runs <= args.max_dvc_runs:
                measure_dvc(rows, folder)
    return rows.rows


def write(rows: list[dict[str, str]], out: Path) -> None:
    """Add the rows to the file, in the place of those with the same runs and quantity."""
    kept: dict[tuple[str, str], dict[str, str]] = {}
    if out.exists():
        with out.open(newline="") as file:
            kept = {(row["runs"], row["quantity"]): row for row in csv.DictReader(file)}
    kept |= {(row["runs"], row["quantity"]): row for row in rows}
    ordered = sorted(kept.values(), key=lambda row: int(row["runs"]))
    with atomic_path(out) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)


def run(args: argparse.Namespace) -> None:
    describe = ("git", "describe", "--always", "--exclude=*", "--abbrev=10", "--dirty=+")
    commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    for num_runs in args.runs:
        write(measure(num_runs, args, commit), args.out)
    if args.sbatch:
        rows = Rows(0, commit, jobs=args.sbatch)
        with tempfile.TemporaryDirectory() as name:
            measure_sbatch(rows, Path(name))
        write(rows.rows, args.out)
    if args.results:
        write(measure_results(args.results, commit), args.out)


def main(words: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/scale_out.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, nargs="*", default=[10, 100, 1000, 5000], metavar="N")
    parser.add_argument(
        "--max-jobs", type=int, default=5010, metavar="N", help="run no more empty jobs than these"
    )
    parser.add_argument(
        "--max-dvc-runs", type=int, default=300, metavar="N", help="ask DVC about no more runs"
    )
    parser.add_argument(
        "--sbatch", type=int, default=0, metavar="N", help="submit so many empty jobs to Slurm"
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FOLDER",
        help="results of a scale, for the bytes of a real run",
    )
    parser.add_argument("--out", type=Path, default=Path("results/scale-out.csv"), metavar="PATH")
    try:
        run(parser.parse_args(words))
    except EntropicOTError as error:
        print(f"benchmarks/scale_out.py: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
