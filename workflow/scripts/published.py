"""The small store inside this repository: published/, a remote of DVC that comes with `git clone`.

workflow/published.yaml says what of the results it holds; snake2dvc.py writes that into dvc.yaml.

`fill` puts the results of dvc.lock into it, removes what dvc.lock no longer names, and checks the
whole (`make publish`). `check` checks alone, and that dvc.lock is of this tree's sources,
parameters, notebooks and rules (`make published-check`).
"""

from __future__ import annotations

import argparse
import configparser
import fnmatch
import hashlib
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path("src").resolve()))

import yaml
from plan import pending_jobs, planned

from entropic_ot.errors import ConfigError, DataError, EntropicOTError
from entropic_ot.files import atomic_path

REMOTE = "published"
"""Name of the remote in .dvc/config and of its folder."""
LIST = Path("workflow/published.yaml")
DVC_CONFIG = Path(".dvc/config")
MIB = 2**20
# Weights of a model, which are published with what they were made from and how.
CHECKPOINTS = ("checkpoint.safetensors", "generator.safetensors")


@dataclass(frozen=True, kw_only=True)
class Store:
    """What the store holds."""

    outputs: tuple[str, ...]
    """Shell patterns; * matches a slash too."""
    limit_mib: float

    def holds(self, out: str) -> bool:
        return any(fnmatch.fnmatchcase(out, pattern) for pattern in self.outputs)


@dataclass(frozen=True)
class Output:
    """An output in dvc.lock."""

    path: str
    md5: str
    size: int

    @property
    def blob(self) -> Path:
        """Where the store keeps its contents."""
        return Path(REMOTE) / "files" / "md5" / self.md5[:2] / self.md5[2:]


def load_store(path: Path = LIST) -> Store:
    """Raises ConfigError when the list is not one."""
    try:
        found = yaml.safe_load(path.read_text())
        return Store(outputs=tuple(map(str, found["outputs"])), limit_mib=float(found["limit_mib"]))
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise ConfigError.about(
            path,
            found=f"{type(error).__name__}: {error}",
            expected="the keys outputs, a list of patterns, and limit_mib",
            action="docs/versions.md shows one.",
        ) from None


def default_remote() -> str | None:
    """The remote for all that is not in the store, if the repository's .dvc/config names one."""
    config = configparser.ConfigParser()
    config.read(DVC_CONFIG)
    return config.get("core", "remote", fallback=None)


def flags(out: str, store: Store, remote: str | None) -> dict[str, Any]:
    """How dvc.yaml is to keep an output: in the store, in the default remote, or nowhere.

    Without a default remote the others have no place to be pulled from. DVC then records their
    hashes, but keeps no copies, so that `dvc pull` brings all that there is and ends well.
    """
    if store.holds(out):
        return {"remote": REMOTE}
    return {} if remote is not None else {"cache": False}


def published_outputs() -> list[Output]:
    """The outputs in dvc.lock that dvc.yaml keeps in the store."""
    stages = _stages("dvc.yaml")
    marked = {
        path
        for stage in stages.values()
        for out in stage.get("outs", ())
        if isinstance(out, dict)
        for path, settings in out.items()
        if settings.get("remote") == REMOTE
    }
    locked = [out for stage in _stages("dvc.lock").values() for out in stage.get("outs", ())]
    outputs = [Output(o["path"], o["md5"], o["size"]) for o in locked if o["path"] in marked]
    missing = marked - {output.path for output in outputs}
    if missing:
        raise DataError.about(
            "dvc.lock",
            found=f"no {min(missing)} ({len(missing)} such outputs)",
            expected="all outputs of dvc.yaml that are to be published",
            action="Run `make all`, then `make publish`.",
        )
    return outputs


def _stages(path: str) -> dict[str, Any]:
    try:
        stages: dict[str, Any] = yaml.load(Path(path).read_text(), yaml.CSafeLoader)["stages"]
    except FileNotFoundError:
        raise DataError.about(
            path, found="no such file", expected="DVC's records", action="Run `make publish`."
        ) from None
    return stages


def size_mib(outputs: list[Output]) -> float:
    """The space that their contents take; the same contents count once."""
    return sum({output.md5: output.size for output in outputs}.values()) / MIB


def problems(outputs: list[Output], store: Store) -> list[str]:
    """What is wrong with the store, a line each."""
    found = _too_large(outputs, store)
    paths = {output.path for output in outputs}
    for output in outputs:
        if not output.blob.is_file():
            found.append(f"{output.path} is not in the store")
        elif hashlib.md5(output.blob.read_bytes()).hexdigest() != output.md5:
            found.append(f"{output.path} is damaged in the store ({output.blob})")
        if Path(output.path).name in CHECKPOINTS:
            provenance = str(Path(output.path).with_name("provenance.json"))
            if provenance not in paths:
                found.append(f"{output.path} is published without {provenance}")
    unknown = _blobs() - {output.blob for output in outputs}
    found += [f"{blob} is not in dvc.lock" for blob in sorted(unknown)]
    return found


def _too_large(outputs: list[Output], store: Store) -> list[str]:
    total = size_mib(outputs)
    if total <= store.limit_mib:
        return []
    largest = sorted(outputs, key=lambda output: output.size, reverse=True)[:5]
    listed = ", ".join(f"{output.path} ({output.size / MIB:.1f})" for output in largest)
    return [f"{total:.1f} MiB; at most {store.limit_mib:g} are allowed. The largest: {listed}"]


def _blobs() -> set[Path]:
    return {path for path in Path(REMOTE).rglob("*") if path.is_file()}


def from_edited_sources(outputs: list[Output]) -> list[str]:
    """Published records of runs whose sources were not those of their commit."""
    records = [Path(o.path) for o in outputs if Path(o.path).name == "provenance.json"]
    return [str(path) for path in records if json.loads(path.read_text()).get("dirty") is not False]


def out_of_step() -> list[str]:
    """What of this tree is not what dvc.lock was made from, a line each.

    Data is not looked at: the published results are judged by what git has.
    """
    import snake2dvc  # inside: it imports this module

    found = [] if snake2dvc.check() == 0 else ["dvc.yaml is not what this tree gives (make dvc)"]
    stages, locked = _stages("dvc.yaml"), _stages("dvc.lock")
    made = {out["path"]: out["md5"] for stage in locked.values() for out in stage["outs"]}
    if new := sorted(stages.keys() - locked.keys()):
        found.append(f"{len(new)} stages of dvc.yaml are not in dvc.lock, such as {new[0]}")
    both = stages.keys() & locked.keys()
    others = [name.split("-")[0] for name in both if locked[name]["cmd"] != stages[name]["cmd"]]
    for rule, count in sorted(Counter(others).items()):
        found.append(f"the command of the rule {rule} is another one in dvc.lock ({count} stages)")
    read = {
        dep["path"]: dep["md5"]
        for name in both
        for dep in locked[name].get("deps", ())
        if "md5" in dep and not Path(dep["path"]).is_relative_to("data")
    }
    now = {path: made[path] for path in read.keys() & made.keys()} | _generated()
    for path in read.keys() - now.keys():
        file = Path(path)
        now[path] = hashlib.md5(file.read_bytes()).hexdigest() if file.is_file() else "nothing"
    return found + [
        f"{path} is not what results in dvc.lock were made from"
        for path in sorted(read)
        if now[path] != read[path]
    ]


def _generated() -> dict[str, str]:
    """Path -> md5 of the lists of sources and the resolved parameters of this tree."""
    import write_sources
    from workspace import restricted

    from entropic_ot.experiments.params import config_texts, load_params

    # For the machine that dvc.yaml was made for, as snake2dvc.check has arranged it.
    texts = config_texts(restricted(load_params("params.yaml")))
    digests = {str(path): hashlib.md5(text.encode()).hexdigest() for path, text in texts.items()}
    with tempfile.TemporaryDirectory() as folder:
        for path in write_sources.write_lists(folder=Path(folder)):
            digest = hashlib.md5(path.read_bytes()).hexdigest()
            digests[str(write_sources.FOLDER / path.name)] = digest
    return digests


def put(output: Output) -> None:
    """Copy an output to where DVC looks for it in a remote: `dvc push` of so many takes minutes."""
    if output.blob.is_file():
        return
    content = Path(output.path).read_bytes()
    if hashlib.md5(content).hexdigest() != output.md5:
        raise DataError.about(
            output.path,
            found="other contents than dvc.lock says",
            expected="what was committed to DVC",
            action="Run `make publish`, which commits first.",
        )
    with atomic_path(output.blob) as temporary:
        temporary.write_bytes(content)


def fill(*, allow_edited: bool) -> None:
    """Put what dvc.lock says into the store, and nothing else; DataError where it must not."""
    pending = pending_jobs(planned())
    if pending:
        raise DataError(
            f"{len(pending)} results are not up to date, such as {pending[0].out}: "
            "run `make all`, then `make publish` again"
        )
    store, outputs = load_store(), published_outputs()
    edited = from_edited_sources(outputs)
    if edited and not allow_edited:
        raise DataError(
            f"{len(edited)} runs cannot be repeated from a commit, such as {edited[0]}: found "
            "dirty: true, expected runs of committed sources. Commit, remove those runs, run "
            "`make all` and `make publish` again (or: make publish PUBLISH_ARGS=--allow-edited)"
        )
    too_large = _too_large(outputs, store)
    if too_large:
        raise DataError(f"{too_large[0]}. Take some out of {LIST}, then `make publish` again")
    for output in outputs:
        put(output)
    wanted = {output.blob for output in outputs}
    for blob in _blobs() - wanted:
        blob.unlink()
    _raise_if_any(problems(outputs, store))
    print(
        f"{REMOTE}/: {len(outputs)} files, {size_mib(outputs):.1f} of {store.limit_mib:g} MiB. "
        f"To publish them: git add dvc.yaml dvc.lock {REMOTE}, then commit."
    )


def check() -> None:
    """DataError that lists what is wrong with the store, or of another tree than this one."""
    outputs: list[Output] = []
    try:
        outputs = published_outputs()
        found = problems(outputs, load_store())
    except DataError as error:
        found = [str(error)]
    _raise_if_any(found + out_of_step())
    print(
        f"{REMOTE}/: {len(outputs)} files, {size_mib(outputs):.1f} MiB, all as in dvc.lock, which "
        "is of these sources, parameters and rules"
    )


def _raise_if_any(found: list[str]) -> None:
    if found:
        more = f"\nand {len(found) - 25} more" if len(found) > 25 else ""
        raise DataError(f"{REMOTE}/ is not as it should be:\n" + "\n".join(found[:25]) + more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("action", choices=("fill", "check"))
    parser.add_argument(
        "--allow-edited",
        action="store_true",
        help="publish runs, too, whose sources were edited after their commit",
    )
    arguments = parser.parse_args()
    if arguments.action == "fill":
        fill(allow_edited=arguments.allow_edited)
    else:
        check()


if __name__ == "__main__":
    try:
        main()
    except EntropicOTError as error:
        sys.exit(str(error))
