#!/usr/bin/env python
"""Random rounds of killing, resuming, editing, tampering and restoring, each judged by content.

    python scripts/rounds.py --rounds 200 --seed 0 --minutes 600 --folder DIR --log DIR/rounds.jsonl
    python scripts/rounds.py --summary DIR/rounds.jsonl ...         (Markdown: what came of them)
    python scripts/rounds.py --merge DIR/rounds.jsonl ...           (into docs/tables/rounds.jsonl)
    python scripts/rounds.py --pages                                (docs/reliability*.md from it)

A round starts from a copy of a project of three small cases at scale smoke (the real Snakefile,
rules, sources and commands, in a clone of this repository's HEAD), goes through a random recipe,
and runs one engine to the end. Then every result must be there with the contents that a run from
nothing gives for the same parameters, sources, notebooks and data, and neither engine may have
anything left to do. What differs is a lost or silently stale result: the round has failed. Recipe
and times depend on the seed and the round's number alone: `--only N` replays one. So a series may
be spread over sessions and machines; each line of a log names the commit that was cloned.

What no engine can know is left out: `dvc commit` is given after a finished run only, and a changed
file has a changed time or size. Raw digits are left alone: they are verified by their checksum when
something reads them (tests/unit/test_mnist.py), and what was made from them does not ask for them.
Sources are not edited while an engine runs. A result that a recipe deletes itself, or that DVC did
not bring into the clone where a round starts (its store has no samples), may stay away if Snakemake
needs it for nothing; DVC has to bring it back. What DVC deleted for a stage that was killed at its
very start may need `dvc checkout`; it is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
IDENTITY = ("-c", "user.name=rounds", "-c", "user.email=rounds@example.invalid")
SNAKEMAKE = ("snakemake", "--cores", "2", "--", "all")
GAUSSIAN, IMAGES, ARRAYS = "gaussian", "cmnist_2to3", "my_data"
CASES = {
    GAUSSIAN: ("enot", 1, {"d2": {"problem": {"dim": 2}}}),
    IMAGES: ("egnot", 0.1, {"16px": {"problem": {"image_size": 16}}}),
    ARRAYS: ("lightsb", 0.1, {}),
}
"""Experiment -> its method, epsilon and variants."""
LONGEST_COMMAND_S = 1200
SHARED = (".git/objects/", ".dvc/cache/files/", "published/", "data/raw/mnist/")
"""Two thirds of a project: files that nobody writes into, so that its copies may share them."""
KEPT_LOG = REPOSITORY / "docs/tables/rounds.jsonl"
PAGE = REPOSITORY / "docs/reliability-rounds.md"
SHORT_PAGE = REPOSITORY / "docs/reliability.md"
BEGIN = "<!-- the summary of the rounds begins: python scripts/rounds.py --pages -->"
END = "<!-- the summary of the rounds ends -->"
LONGEST_KEPT = 300
"""Characters of a failure in the kept log."""
ABOUT = """\
`scripts/rounds.py` takes a small project of the real workflow at scale smoke through random edits
of parameters, sources, a notebook and data (all but sources also while an engine runs), signals to
the process group of `snakemake` or of `dvc repro` at random times, tampered and deleted results,
`dvc commit`, and `git checkout` with `dvc checkout`; then one engine runs to the end. A round has
failed when a result is missing, differs from that of a run from nothing with the same inputs, or
when an engine has anything left to do. Times, memory and commits do not count as differences, nor
do pages and pictures that show them.
`--seed S --only N` replays a round. The log is kept in docs/tables/rounds.jsonl, a line a round."""
Params = dict[str, Any]


# --------------------------------------------------------------------------------------------------
# The inputs, and what a round may do to them


def small_params(params: Params) -> Params:
    """The repository's parameters with the cases of CASES at scale smoke."""
    smoke = params["scales"]["smoke"]
    experiments, overrides = {}, {}
    for name, (method, epsilon, variants) in CASES.items():
        experiment = params["experiments"][name]
        known = experiment["methods"].get(method, {"preset": "default", "settings": {}})
        method_params = known | {"epsilons": [epsilon], "num_steps": 5, "per_epsilon": {}}
        experiment |= {"enabled": True, "variants": variants, "methods": {method: method_params}}
        experiments[name] = experiment
        evaluation = smoke["experiments"].get(name, {}).get("evaluation")
        overrides |= {name: {"evaluation": evaluation}} if evaluation else {}
    smoke["experiments"] = overrides
    for key in ("generators", "figures"):
        smoke.pop(key, None)
    # Arrays have a figure all the same. One figure is enough here, they take the longest.
    return params | {
        **{"scale": "smoke", "experiments": experiments, "generators": {}, "figures": {}},
        "scales": {"smoke": smoke, "laptop": {}, "paper": {}},
    }


def _more_epsilons(params: Params) -> None:
    params["experiments"][GAUSSIAN]["methods"]["enot"]["epsilons"] = [1, 2]


def _more_steps(params: Params) -> None:
    params["experiments"][GAUSSIAN]["methods"]["enot"]["num_steps"] = 7


def _other_seeds(params: Params) -> None:
    params["experiments"][GAUSSIAN]["seeds"] = [1]


def _other_evaluation(params: Params) -> None:
    params["experiments"][GAUSSIAN]["evaluation"]["num_samples"] = 400


PARAMS_EDITS: dict[str, Callable[[Params], None]] = {
    "epsilon": _more_epsilons,
    "steps": _more_steps,
    "seeds": _other_seeds,
    "evaluation": _other_evaluation,
}
# Appended to the end of a file. Each changes numbers, so that what was not made again is seen.
APPENDED = {
    "sampler": (
        "src/entropic_ot/dynamics/langevin.py",
        "\n\n_plain = unadjusted_langevin\n\n\n"
        "def unadjusted_langevin(*args, **kwargs):\n    return _plain(*args, **kwargs) * 1.001\n",
    ),
    "metric": (
        "src/entropic_ot/metrics/bures.py",
        "\n\n_plain = squared_bw\n\n\n"
        "def squared_bw(*args, **kwargs):\n    return 1.001 * _plain(*args, **kwargs)\n",
    ),
    "notebook": ("workflow/notebooks/own_data.py", "\n# %%\nprint('one more cell')\n"),
}
ARRAY_EDIT = "data"
EDITS = (*PARAMS_EDITS, *APPENDED, ARRAY_EDIT)
# What may be edited while an engine runs. Sources that are edited then, and edited back before the
# next start, leave no trace that an engine could see (docs/reliability.md).
EDITS_MEANWHILE = (*PARAMS_EDITS, "notebook", ARRAY_EDIT)
# The inputs that a round ends with, each with its weight; on the way any two edits may be there.
ENDS: dict[tuple[str, ...], int] = {
    **{(): 5, ("epsilon",): 2, ("metric",): 2, (ARRAY_EDIT,): 2},
    **{("steps",): 1, ("notebook",): 1},
}


def inputs_of(base: Path, edits: Iterable[str]) -> dict[str, bytes]:
    """Path -> contents of every file that an edit can concern, for the clone `base`."""
    params = yaml.safe_load((base / "params.yaml").read_text())
    files = {path: (base / path).read_text() for path, _ in APPENDED.values()}
    edits = set(edits)
    for name in sorted(edits & PARAMS_EDITS.keys()):
        PARAMS_EDITS[name](params)
    for name in sorted(edits & APPENDED.keys()):
        path, text = APPENDED[name]
        files[path] += text
    files["params.yaml"] = yaml.safe_dump(params, sort_keys=False)
    contents = {path: text.encode() for path, text in files.items()}
    rng = np.random.default_rng(1 if ARRAY_EDIT in edits else 0)
    for side in ("source", "target"):
        buffer = io.BytesIO()
        np.save(buffer, rng.normal(size=(200, 2)).astype(np.float32))
        contents[f"data/my/{side}.npy"] = buffer.getvalue()
    return contents


def write_inputs(project: Project, base: Path, edits: Iterable[str]) -> None:
    """Write those that differ; what is the same keeps its time."""
    for path, contents in inputs_of(base, edits).items():
        file = project.folder / path
        if not file.exists() or file.read_bytes() != contents:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(contents)


# --------------------------------------------------------------------------------------------------
# Projects


@dataclass(frozen=True)
class Project:
    """A clone and the commands that are given there."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return os.environ | {
            "PATH": path,
            "PYTHONPATH": str(self.folder / "src"),
            # What DVC remembers of files at this path is to end with them.
            "DVC_SITE_CACHE_DIR": str(self.folder.with_suffix(".dvc-site")),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "PYTHONUNBUFFERED": "1",  # what has begun is read from a command's output
        }

    def start(self, command: Iterable[str], output: Any) -> subprocess.Popen[bytes]:
        """The command as the leader of a process group of its own."""
        return subprocess.Popen(
            list(command), cwd=self.folder, env=self.environment,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, *command: str) -> tuple[int, str]:
        """(exit status, stdout and stderr together)."""
        log = self.folder.with_suffix(".log")
        with open(log, "wb") as file:
            process = self.start(command, file)
            try:
                status = process.wait(LONGEST_COMMAND_S)
            except subprocess.TimeoutExpired:
                kill_group(process)
                status = -1
        return status, log.read_text(errors="replace")

    def must(self, *command: str) -> str:
        status, output = self.run(*command)
        if status != 0:
            raise RuntimeError(f"{' '.join(command)}: exit status {status}\n{output[-3000:]}")
        return output

    def git(self, *words: str) -> None:
        self.must("git", *IDENTITY, *words)

    def write_dvc_yaml(self) -> None:
        self.must(sys.executable, "workflow/scripts/snake2dvc.py")

    def copy_to(self, folder: Path) -> Project:
        for old in (folder, folder.with_suffix(".dvc-site")):
            shutil.rmtree(old, ignore_errors=True)

        def copy(source: str, target: str) -> None:
            if os.path.relpath(source, self.folder).startswith(SHARED):
                os.link(source, target)
            else:
                shutil.copy2(source, target)  # with its times

        shutil.copytree(self.folder, folder, symlinks=True, copy_function=copy)
        return Project(folder)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to all of the group, until none is left."""
    deadline = time.monotonic() + 10  # a zombie of the group is there until someone collects it
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            break
        process.poll()
        time.sleep(0.02)
    process.wait()


class Starts:
    """The projects that rounds start from; each is made once in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> Project:
        """Raises RuntimeError when a command fails while it is made."""
        folder = self.folder / name
        if not folder.exists():
            making = self.folder / "making"
            shutil.rmtree(making, ignore_errors=True)
            getattr(self, f"_make_{name}")(making)
            making.rename(folder)
        return Project(folder)

    def commit(self) -> str:
        """Of the repository, when it was cloned."""
        return self.get("empty").must("git", "rev-parse", "--short", "HEAD~1").strip()

    def _make_empty(self, folder: Path) -> None:
        """A clone with small parameters and no results, raw data excepted."""
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(folder)], check=True)
        project = Project(folder)
        params = folder / "params.yaml"
        params.write_text(
            yaml.safe_dump(small_params(yaml.safe_load(params.read_text())), sort_keys=False)
        )
        write_inputs(project, folder, ())
        project.must("snakemake", "--cores", "2", "--", "data/raw/mnist_source.json")
        project.write_dvc_yaml()
        project.git("commit", "--quiet", "--all", "--message", "Small parameters")

    def _make_finished(self, folder: Path) -> None:
        """Made by Snakemake, unknown to DVC."""
        self.get("empty").copy_to(folder).must(*SNAKEMAKE)

    def _make_committed(self, folder: Path) -> None:
        project = self.get("finished").copy_to(folder)
        project.must("dvc", "commit", "--force", "--quiet")
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message", "Results")

    def _make_pulled(self, folder: Path) -> None:
        """A clone of `committed` into which DVC brought the results; Snakemake has no records."""
        origin = self.get("committed").folder
        subprocess.run(["git", "clone", "--quiet", str(origin), str(folder)], check=True)
        project = Project(folder)
        write_inputs(project, folder, ())
        shutil.copytree(origin / "data/raw/mnist", folder / "data/raw/mnist")
        shutil.copytree(origin / ".dvc/cache", folder / ".dvc/cache")
        project.must("dvc", "checkout", "--force")


# --------------------------------------------------------------------------------------------------
# What results are the same


# Times, memory and commits: they differ between two runs that compute the same.
VOLATILE = {"seconds", "train_seconds", "peak_memory_mb", "commit", "commits", "dirty"}
# Pages and pictures that show them, after results/smoke/.
SHOW_VOLATILE = (
    *("figures/comparison.", "notebooks/tables.", "tables/comparison.", "tables/metrics.md"),
    *("results.html", "runs.html"),
)
KEPT_FOLDERS = ("results/smoke", "results/sources", "data/prepared", "data/raw")
NO_RESULTS = (
    *("results/smoke/logs/", "results/smoke/benchmarks/", "results/smoke/checkpoints/"),
    "data/raw/mnist/",  # nobody's output: verified by checksum whenever something reads them
)
UNDECLARED = "hue_"  # beside prepared digits, for people: no rule knows these files or reads them


def contents_of(folder: Path) -> dict[str, str]:
    """Path -> hash of what a result says, for all results."""
    files = {}
    for top in KEPT_FOLDERS:
        for file in sorted((folder / top).rglob("*")):
            path = file.relative_to(folder).as_posix()
            ours = not path.startswith(NO_RESULTS) and not file.name.startswith(UNDECLARED)
            if file.is_file() and ours:
                files[path] = digest_of(file, path)
    return files


def digest_of(file: Path, path: str) -> str:
    """A word instead of a hash for contents that cannot be read, or that show times."""
    shows_volatile = path.removeprefix("results/smoke/").startswith(SHOW_VOLATILE)
    if shows_volatile and file.suffix != ".csv":
        return "present" if file.stat().st_size > 0 else "empty"
    try:
        if file.suffix == ".json":
            text = json.dumps(_without_volatile(json.loads(file.read_text())), sort_keys=True)
        elif file.suffix == ".jsonl":
            rows = [_without_volatile(json.loads(line)) for line in file.read_text().splitlines()]
            text = json.dumps(rows)
        elif file.suffix == ".csv":
            with open(file, newline="") as lines:
                text = json.dumps([_without_volatile(row) for row in csv.DictReader(lines)])
        elif file.suffix == ".safetensors":
            return _digest_of_tensors(file.read_bytes())
        else:
            return hashlib.sha256(file.read_bytes()).hexdigest()
    except ValueError:
        return "not readable"
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_of_tensors(contents: bytes) -> str:
    """Names, shapes and values; the metadata hold the seconds of the training."""
    length = int.from_bytes(contents[:8], "little")
    header = json.loads(contents[8 : 8 + length])
    header.pop("__metadata__", None)
    text = json.dumps(header, sort_keys=True).encode()
    return hashlib.sha256(text + contents[8 + length :]).hexdigest()


def _without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_volatile(v) for k, v in value.items() if k not in VOLATILE}
    return [_without_volatile(v) for v in value] if isinstance(value, list) else value


class References:
    """Results made from nothing, kept in `folder` by the hash of all inputs."""

    def __init__(self, folder: Path, starts: Starts) -> None:
        self.folder, self.starts = folder, starts

    def get(self, edits: tuple[str, ...]) -> dict[str, str]:
        """Path -> hash of the results for these edits."""
        empty = self.starts.get("empty")
        tree = empty.must("git", "rev-parse", "HEAD^{tree}")
        hashed = hashlib.sha256(tree.encode())
        for path, contents in sorted(inputs_of(empty.folder, edits).items()):
            hashed.update(path.encode() + contents)
        file = self.folder / f"{hashed.hexdigest()[:16]}.json"
        if not file.exists() and not edits:
            file.write_text(json.dumps(contents_of(self.starts.get("finished").folder), indent=0))
        if not file.exists():
            print(f"reference for {'+'.join(edits) or 'base'}", file=sys.stderr)
            project = empty.copy_to(self.folder / "making")
            write_inputs(project, empty.folder, edits)
            project.must(*SNAKEMAKE)
            file.write_text(json.dumps(contents_of(project.folder), indent=0))
            shutil.rmtree(project.folder)
        known: dict[str, str] = json.loads(file.read_text())
        return known


# --------------------------------------------------------------------------------------------------
# A round


@dataclass
class Recipe:
    """What a round does: where it starts, its steps, and the engine that finishes it."""

    start: str
    steps: list[list[Any]] = field(default_factory=list)

    @classmethod
    def draw(cls, rng: random.Random, *, home: bool) -> Recipe:
        """With `home` its inputs end as they began: no further reference is needed."""
        start = rng.choices(["finished", "committed", "pulled", "empty"], [6, 8, 6, 1])[0]
        recipe = cls(start)
        in_dvc = start in ("committed", "pulled")

        def end() -> tuple[str, ...]:
            return () if home else rng.choices(list(ENDS), list(ENDS.values()))[0]

        def engine() -> str:
            return rng.choices(["snakemake", "dvc"], [7, 3])[0] if in_dvc else "snakemake"

        for _ in range(rng.choices([0, 1, 2, 3], [2, 5, 3, 1])[0]):
            edits = rng.sample(EDITS, rng.choice([0, 1, 1, 2]))
            recipe.add("edit", *edits)
            sign = rng.choice(["SIGKILL", "SIGKILL", "SIGINT"])
            begun = rng.choice([0, 0, 1, 1, 2, 3, 5])
            if rng.random() < 0.2:
                recipe.add("meanwhile", engine(), begun, rng.choice(EDITS_MEANWHILE))
            else:
                recipe.add("interrupt", engine(), sign, begun, round(rng.uniform(0.1, 4), 2))
        if rng.random() < 0.4:
            recipe.add("tamper", rng.choice(["append", "flip", "truncate", "delete"]), rng.random())
        if in_dvc and rng.random() < 0.15:
            recipe.add("edit", *end())
            recipe.add("finish", "snakemake")
            recipe.add("commit")
        if in_dvc and rng.random() < 0.3:
            recipe.add("restore")  # what was committed: inputs, dvc.lock and results
            if rng.random() < 0.3:
                recipe.add("tamper", "flip", rng.random())
        if rng.random() < 0.8:
            recipe.add("edit", *end())
        else:
            recipe.add("edit")  # back to what it started with
        recipe.add("finish", engine())
        return recipe

    def add(self, *step: Any) -> None:
        self.steps.append(list(step))


@dataclass
class Round:
    """One recipe on a project, and what was found wrong."""

    project: Project
    starts: Starts
    references: References
    edits: tuple[str, ...] = ()
    deleted: set[str] = field(default_factory=set)
    """Results that the recipe deleted, or that were not there when it began."""
    dvc_was_interrupted: bool = False
    restored: int = 0
    failures: list[str] = field(default_factory=list)
    finished_by: str = ""
    trainings: int = 0
    planned_params: bytes = b""
    """Those of dvc.yaml as it is."""
    noop_jobs: int = 0
    noop_trainings: int = 0

    def __post_init__(self) -> None:
        self.planned_params = self._params()

    def _params(self) -> bytes:
        return (self.project.folder / "params.yaml").read_bytes()

    def step(self, name: str, *arguments: Any) -> None:
        getattr(self, f"_{name}")(*arguments)

    def _edit(self, *edits: str) -> None:
        self.edits = tuple(edits)
        write_inputs(self.project, self.starts.get("empty").folder, edits)

    def _command(self, engine: str) -> tuple[str, ...]:
        if engine == "snakemake":
            return SNAKEMAKE
        if self._params() != self.planned_params:  # of which alone the set of jobs depends here
            self.project.write_dvc_yaml()
            self.planned_params = self._params()
        return ("dvc", "repro")

    def _interrupt(self, engine: str, sign: str, begun: int, seconds: float) -> None:
        """The signal, so many seconds after that many jobs have begun; none if it ended before."""
        process = self._started(engine, begun)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
        os.killpg(process.pid, signal.Signals[sign])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0 if sign == "SIGKILL" else 60)
        kill_group(process)

    def _meanwhile(self, engine: str, begun: int, edit: str) -> None:
        """One more edit, when that many jobs have begun; then it may end well or not."""
        process = self._started(engine, begun)
        self._edit(*{*self.edits, edit})
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST_COMMAND_S)
        kill_group(process)

    def _started(self, engine: str, begun: int) -> subprocess.Popen[bytes]:
        """The engine, of which so many jobs have begun, or which has ended."""
        command = self._command(engine)
        self.dvc_was_interrupted |= engine == "dvc"
        log = self.project.folder.with_suffix(".interrupted.log")
        with open(log, "wb") as output:
            process = self.project.start(command, output)
        deadline = time.monotonic() + LONGEST_COMMAND_S
        while process.poll() is None and time.monotonic() < deadline:
            text = log.read_text(errors="replace")
            if len(re.findall(r"^(?:Job \d+:|Running stage) ", text, re.MULTILINE)) >= begun:
                break
            time.sleep(0.05)
        return process

    def _tamper(self, kind: str, where: float) -> None:
        candidates = sorted(contents_of(self.project.folder))
        if not candidates:
            return
        path = candidates[int(where * len(candidates))]
        file = self.project.folder / path
        contents = file.read_bytes()
        middle = len(contents) // 2
        if kind == "delete":
            file.unlink(missing_ok=True)
            self.deleted.add(path)
        elif kind == "truncate":
            file.write_bytes(contents[:middle])
        elif kind == "append":
            file.write_bytes(contents + b"0")
        else:
            flipped = bytes([contents[middle] ^ 1]) if contents else b"0"
            file.write_bytes(contents[:middle] + flipped + contents[middle + 1 :])

    def _commit(self) -> None:
        self.project.write_dvc_yaml()
        self.planned_params = self._params()
        if away := sorted(self.deleted & self._outputs_away()):
            # DVC commits what Snakemake needs for nothing, too: what `make dvc-commit` says to do.
            self.project.must("snakemake", "--cores", "2", "--", *away)
        self.project.must("dvc", "commit", "--force", "--quiet")

    def _outputs_away(self) -> set[str]:
        """Outputs of DVC's stages that are not there."""
        folder = self.project.folder
        stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"].values()
        outs = (out for stage in stages for out in stage.get("outs", ()))
        names = (next(iter(out)) if isinstance(out, dict) else out for out in outs)
        return {name for name in names if not (folder / name).exists()}

    def _restore(self) -> None:
        self.project.git("checkout", "--quiet", "HEAD", "--", ".")
        self._edit()
        self.planned_params = self._params()  # dvc.yaml came with them
        self.project.must("dvc", "checkout", "--force")

    def _finish(self, engine: str) -> None:
        self.finished_by = engine
        status, output = self.project.run(*self._command(engine))
        if status != 0:
            self.failures.append(f"{engine} failed: exit status {status}: {output[-1500:]}")
            return
        self.trainings += output.count(": training ") + output.count("Running stage 'train-")
        self._compare()
        self._look_for_more()

    def _compare(self) -> None:
        expected = self.references.get(self.edits)
        missing = expected.keys() - contents_of(self.project.folder).keys() - self.deleted
        if missing and self.dvc_was_interrupted:
            # DVC deletes a stage's outputs before Snakemake, in the stage, can note that a job
            # began. They are in DVC's cache.
            self.project.run("dvc", "checkout", *sorted(missing))
            self.restored += len(missing)
        found = contents_of(self.project.folder)
        for path, digest in expected.items():
            if path not in found:
                if path not in self.deleted or self.finished_by == "dvc":
                    self.failures.append(f"lost: {path}")
            elif found[path] != digest:
                self.failures.append(f"stale or wrong: {path}")

    def _look_for_more(self) -> None:
        """After a finished run neither engine has anything to do."""
        status, output = self.project.run("snakemake", "--dry-run", "--cores", "2", "--", "all")
        jobs = re.findall(r"^Job \d+: .*$", output, flags=re.MULTILINE)
        self.noop_jobs += len(jobs)
        self.noop_trainings += sum(": training " in job for job in jobs)
        if status != 0 or jobs:
            self.failures.append(f"not idle: snakemake, status {status}, {jobs[:5]}")
        if self.finished_by == "dvc":
            status, output = self.project.run("dvc", "status")
            if status != 0 or "up to date" not in output:
                self.failures.append(f"not idle: dvc status: {output[-500:]}")


def run_round(
    number: int, seed: int, folder: Path, starts: Starts, known: References, *, home: bool
) -> Params:
    """The line of the log for this round."""
    recipe = Recipe.draw(random.Random(f"{seed}-{number}"), home=home)
    began, used_before = time.monotonic(), processor_seconds()
    current = Round(starts.get(recipe.start).copy_to(folder / "round"), starts, known)
    if recipe.start == "pulled":
        current.deleted |= known.get(()).keys() - contents_of(current.project.folder).keys()
    try:
        for step in recipe.steps:
            current.step(*step)
            if current.failures:
                break
    except RuntimeError as error:
        current.failures.append(f"could not go on: {error}")
    if current.failures and len(list(folder.glob("failed-*"))) < 4:
        kept = folder / f"failed-{seed}-{number}"
        shutil.rmtree(kept, ignore_errors=True)
        current.project.folder.rename(kept)
    return {
        **{"round": number, "seed": seed, "commit": starts.commit()},
        **{"start": recipe.start, "steps": recipe.steps},
        **{"finished_by": current.finished_by, "trainings": current.trainings},
        **{
            "restored": current.restored,
            "noop_jobs": current.noop_jobs,
            "noop_trainings": current.noop_trainings,
        },
        **{"seconds": round(time.monotonic() - began, 1), "failures": current.failures},
        "processor_seconds": round(processor_seconds() - used_before, 1),
    }


def processor_seconds() -> float:
    """Of this process and those that it started; not of orphans of a killed one."""
    return sum(os.times()[:4])


# --------------------------------------------------------------------------------------------------
# The log


def summary(lines: list[Params]) -> str:
    """The log as Markdown."""
    all_lines, lines = lines, last_of_each(lines)
    failed = [line for line in lines if line["failures"]]
    good = {(line["seed"], line["round"]) for line in lines if not line["failures"]}
    mended = [
        line for line in all_lines if line["failures"] and (line["seed"], line["round"]) in good
    ]
    steps = Counter(step[0] for line in lines for step in line["steps"])
    detail = Counter(
        " ".join(step[1:3]) if step[0] == "interrupt" else step[1]
        for line in lines
        for step in line["steps"]
        if step[0] in ("interrupt", "tamper")
    )
    edits = Counter(
        edit
        for line in lines
        for step in line["steps"]
        for edit in {"edit": step[1:], "meanwhile": step[3:]}.get(step[0], [])
    )
    rows = [
        ("rounds", len(lines)),
        ("failed", len(failed)),
        ("failed, and did not when replayed at another commit", len(mended)),
        ("started from", _counted(Counter(line["start"] for line in lines))),
        ("finished by", _counted(Counter(line["finished_by"] for line in lines))),
        ("steps", _counted(steps)),
        ("interrupted, tampered", _counted(detail)),
        ("edits", _counted(edits)),
        ("trainings run at the end", sum(line["trainings"] for line in lines)),
        ("files brought back by `dvc checkout`", sum(line["restored"] for line in lines)),
        ("jobs left to do after the end", sum(line["noop_jobs"] for line in lines)),
        ("of these trainings", sum(line["noop_trainings"] for line in lines)),
        ("hours", f"{sum(line['seconds'] for line in lines) / 3600:.2f}"),
        ("processor hours", f"{sum(line['processor_seconds'] for line in lines) / 3600:.2f}"),
        ("seeds", _seeds(lines)),
        ("commits", _commits(lines)),
    ]
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    parts = [ABOUT, table]
    if failed or mended:
        parts.append("\n".join(
            f"- seed {line['seed']}, round {line['round']} at {line['commit']}, from "
            f"{line['start']}: `{json.dumps(line['steps'])}`: {_first_line(line['failures'][0])}"
            for line in [*failed, *mended]
        ))  # fmt: skip
    return "\n\n".join(parts) + "\n"


def short_summary(lines: list[Params]) -> str:
    """The same in a few lines, for the page of all faults."""
    lines = last_of_each(lines)
    if not lines:
        return "No round is in the log yet."
    num_failed = sum(bool(line["failures"]) for line in lines)
    steps = Counter(step[0] for line in lines for step in line["steps"])
    return (
        f"**{len(lines)} rounds, {num_failed} failed** (seeds {_seeds(lines)}; commits"
        f" {_commits(lines)}).\nSteps: {_counted(steps)}.\n"
        f"Finished by {_counted(Counter(line['finished_by'] for line in lines))};"
        f" started from {_counted(Counter(line['start'] for line in lines))}."
    )


def last_of_each(lines: list[Params]) -> list[Params]:
    """The last line of each round: one that failed may have been replayed at another commit."""
    return list({(line["seed"], line["round"]): line for line in lines}.values())


def _seeds(lines: list[Params]) -> str:
    return ", ".join(map(str, sorted({line["seed"] for line in lines})))


def _commits(lines: list[Params]) -> str:
    return _counted(Counter(line["commit"] for line in lines))


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0]


def read_log(path: Path, commit: str | None = None) -> list[Params]:
    """Its lines; those that name no commit get `commit`. ValueError where there is none to give."""
    lines = []
    for number, text in enumerate(path.read_text().splitlines(), start=1):
        line: Params = json.loads(text)
        if line.setdefault("commit", commit) is None:
            raise ValueError(
                f"{path}, line {number}: found no commit, expected the one that was cloned. "
                "Name it by --commit."
            )
        lines.append(line)
    return lines


def merged(kept: list[Params], new: Iterable[Params]) -> list[Params]:
    """The kept lines and those of new rounds, without what is large.

    A round is there once; if it failed, once more for each other commit that it is replayed at.
    """
    result = list(kept)
    for line in new:
        same = [k for k in result if (k["seed"], k["round"]) == (line["seed"], line["round"])]
        if not same or (
            same[-1]["failures"] and line["commit"] not in {known["commit"] for known in same}
        ):
            result.append(line | {"failures": _shortened(line["failures"])})
    return result


def _shortened(failures: list[str]) -> list[str]:
    """The first three, cut off; and how many more."""
    more = [f"and {len(failures) - 3} more"] if len(failures) > 3 else []
    return [_first_line(text)[:LONGEST_KEPT] for text in failures[:3]] + more


def put_between(text: str, part: str) -> str:
    """A page with `part` between its two marks. ValueError when they are not there."""
    front, begin, rest = text.partition(BEGIN)
    _, end, back = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"found no {BEGIN} ... {END}, expected both on the page")
    return f"{front}{BEGIN}\n\n{part.strip()}\n\n{END}{back}"


def pages() -> dict[Path, str]:
    """The two pages with what the kept log says."""
    lines = read_log(KEPT_LOG)
    parts = {PAGE: summary(lines), SHORT_PAGE: short_summary(lines)}
    return {page: put_between(page.read_text(), part) for page, part in parts.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--only", type=int, help="run this one round")
    parser.add_argument(
        "--home", action="store_true", help="end with the inputs of the start: one reference"
    )
    parser.add_argument("--minutes", type=float, default=600, help="begin no round after these")
    parser.add_argument("--folder", type=Path, help="clones and references; about 1 GB")
    parser.add_argument("--log", type=Path, help="one JSON line per round")
    parser.add_argument(
        "--summary", type=Path, nargs="+", metavar="LOG", help="print logs as Markdown, no more"
    )
    parser.add_argument(
        "--merge", type=Path, nargs="+", metavar="LOG", help="take new rounds into a kept log"
    )
    parser.add_argument("--into", type=Path, default=KEPT_LOG, help="that kept log")
    parser.add_argument("--commit", help="of lines that name none, for --merge and --summary")
    parser.add_argument("--pages", action="store_true", help="write the pages from the kept log")
    arguments = parser.parse_args()
    if arguments.summary or arguments.merge or arguments.pages:
        return tell(arguments)
    if arguments.folder is None or arguments.log is None:
        parser.error("--folder and --log are needed: where to put the clones, and the lines")
    folder = arguments.folder.resolve()
    (folder / "references").mkdir(parents=True, exist_ok=True)
    starts = Starts(folder)
    references = References(folder / "references", starts)
    numbers: Iterable[int] = range(arguments.first, arguments.first + arguments.rounds)
    deadline = time.monotonic() + 60 * arguments.minutes
    num_failed = 0
    for number in [arguments.only] if arguments.only is not None else numbers:
        if time.monotonic() > deadline:
            break
        line = run_round(number, arguments.seed, folder, starts, references, home=arguments.home)
        with open(arguments.log, "a") as log:
            log.write(json.dumps(line) + "\n")
        num_failed += bool(line["failures"])
        verdict = "FAILED" if line["failures"] else "ok"
        print(f"round {number}: {verdict}, {line['seconds']} s, {line['start']}", flush=True)
        if line["failures"]:
            print(f"  {json.dumps(line['steps'])}", *line["failures"][:8], sep="\n  ", flush=True)
    return 1 if num_failed else 0


def tell(arguments: argparse.Namespace) -> int:
    """What is asked for beside rounds: nothing runs."""
    paths = arguments.merge or arguments.summary or []
    try:
        lines = [line for path in paths for line in read_log(path, arguments.commit)]
        if arguments.merge:
            kept = read_log(arguments.into) if arguments.into.exists() else []
            result = merged(kept, lines)
            arguments.into.write_text("".join(json.dumps(line) + "\n" for line in result))
            print(f"{arguments.into}: {len(result) - len(kept)} of {len(lines)} lines are new")
        elif arguments.summary:
            print(summary(merged([], lines)))
        if arguments.pages:
            for page, text in pages().items():
                page.write_text(text)
    except ValueError as error:
        sys.exit(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
