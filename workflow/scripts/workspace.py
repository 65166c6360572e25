"""The state of the working folder that the Snakefile looks after when it is read and when it ends.

* Who else is here: every Snakemake process holds a shared lock on a file for as long as it lives,
  so "no other process" can be told for certain. Locks that a killed Snakemake left are then
  removed, and the resolved parameters are never rewritten below running jobs.
* Whether DVC, or anything else, changed outputs since Snakemake last looked: then sync.py rebuilds
  Snakemake's records from dvc.lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import records
import yaml

if TYPE_CHECKING:
    from entropic_ot.experiments.params import Params

STATE = Path(".snakemake")
LOCKS = STATE / "locks"
PRESENCE = STATE / "presence.lock"
STAMP = STATE / "dvc-stamp.json"
DVC_LOCK = Path("dvc.lock")

# Set by sync.py and snake2dvc.py, which read the Snakefile only to see its jobs.
FOR_RECORDS = "EOT_SNAKEFILE_FOR_RECORDS"
# Cases that snake2dvc.py and plan.py leave out although their data is here, joined by commas.
WITHOUT_CASES = "EOT_WITHOUT_CASES"

_presence: int | None = None  # the file descriptor; the lock lasts as long as it is open


def is_parsed_for_records() -> bool:
    return FOR_RECORDS in os.environ


def is_dvc_stage() -> bool:
    """Whether a stage of DVC runs this Snakemake: then DVC alone decides what is stale."""
    return "DVC_STAGE" in os.environ


def use_checkout(root: Path) -> None:
    """Let jobs run the sources below `root` in the environment that Snakemake itself runs in.

    These sources are what rules list as their inputs; and a job finds `entropic-ot` whether or not
    the environment was activated.
    """
    _put_first("PYTHONPATH", root / "src")
    _put_first("PATH", Path(sys.executable).parent)


def _put_first(variable: str, folder: Path) -> None:
    others = [p for p in os.environ.get(variable, "").split(os.pathsep) if p and p != str(folder)]
    os.environ[variable] = os.pathsep.join([str(folder), *others])


def has_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))


def num_processors() -> int:
    """Processors that this process may use (fewer than the machine has in a container or a job)."""
    return len(os.sched_getaffinity(0))


def restricted(params: Params) -> Params:
    """`params` without the cases that snake2dvc.py or plan.py wants left out."""
    without = set(filter(None, os.environ.get(WITHOUT_CASES, "").split(",")))
    if not without:
        return params
    runs = [run for run in params.runs if run.case not in without]
    return dataclasses.replace(params, runs=runs)


# --------------------------------------------------------------------------------------------------
# Who else is here


def enter() -> None:
    """Announce this process, and remove the locks of a Snakemake that was killed."""
    global _presence
    if _presence is not None:
        return
    STATE.mkdir(exist_ok=True)
    _presence = os.open(PRESENCE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with contextlib.suppress(BlockingIOError):  # another one is alive
            fcntl.flock(_presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not is_free():
                shutil.rmtree(LOCKS)
                print(
                    "Removed the locks of a Snakemake that was killed; going on.", file=sys.stderr
                )
        fcntl.flock(_presence, fcntl.LOCK_SH)  # last: a lock that could not be had loses this one
    except OSError:
        return  # this file system has no locks: nothing is certain


@contextlib.contextmanager
def alone() -> Iterator[bool]:
    """Whether no Snakemake is alive here; while this lasts, those that begin wait."""
    STATE.mkdir(exist_ok=True)
    with open(PRESENCE, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def is_free() -> bool:
    """Whether no Snakemake has its jobs running here (Snakemake's own locks say so)."""
    return not any(LOCKS.glob("*.lock"))


# --------------------------------------------------------------------------------------------------
# In step with DVC


def sync_with_dvc() -> None:
    """Rebuild the records from dvc.lock if something else changed dvc.lock or its outputs."""
    if not DVC_LOCK.exists() or not Path(".dvc").is_dir() or not Path(".git").exists():
        return
    if importlib.util.find_spec("dvc") is None or _read_stamp() == _current_stamp():
        return
    script = Path(__file__).with_name("sync.py")
    if subprocess.run([sys.executable, str(script)]).returncode != 0:
        sys.exit(
            f"{script.name} failed (see above), so what is up to date is not known. "
            "`dvc status` and `dvc checkout` may tell more; without dvc.lock it is not needed."
        )


def remember_outputs() -> None:
    """Note the outputs as they are now, as sync.py judged them."""
    if DVC_LOCK.exists():
        _write_stamp(_current_stamp())


def remember_made() -> None:
    """Note the outputs as they are now, if all that changed was made by Snakemake.

    Else, as when DVC changed some beside it, the next start looks at them (sync_with_dvc).
    """
    known = _read_stamp()
    if not DVC_LOCK.exists() or not isinstance(known, dict):
        return
    current = _current_stamp()
    if current["lock"] != known["lock"]:
        return
    times, before = current["outputs"], known["outputs"]
    if records.are_as_recorded(path for path in times if times[path] not in (None, before[path])):
        _write_stamp(current)


def _write_stamp(stamp: dict[str, Any]) -> None:
    from entropic_ot.files import write_text  # inside: src is on the path only by then

    write_text(STAMP, json.dumps(stamp))


def _read_stamp() -> object:
    try:
        return json.loads(STAMP.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _current_stamp() -> dict[str, Any]:
    """dvc.lock's hash and, for each of its outputs, time and size: as JSON gives them back."""
    contents = DVC_LOCK.read_bytes()
    digest = hashlib.sha256(contents).hexdigest()
    known = _read_stamp()
    if isinstance(known, dict) and known.get("lock") == digest:
        outputs: Iterable[str] = known["outputs"]
    else:
        stages = (yaml.load(contents, yaml.CSafeLoader) or {}).get("stages", {})
        outputs = sorted(out["path"] for stage in stages.values() for out in stage.get("outs", ()))
    return {"lock": digest, "outputs": {out: _time_and_size(out) for out in outputs}}


def _time_and_size(path: str) -> list[int] | None:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return None
    return [stat.st_mtime_ns, stat.st_size]
