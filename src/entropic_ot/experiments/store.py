"""The files of one run: checkpoints as safetensors, the log, provenance. All writes are atomic."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from entropic_ot.errors import DataError
from entropic_ot.files import atomic_path, naming, write_text
from entropic_ot.strict import shown
from entropic_ot.tensor_file import digest, write_tensors

FORMAT = "entropic-ot run, version 2"
WITHOUT_SHA256 = "entropic-ot run, version 1"
"""The older format, which is still read; nothing tells whether such a file is as it was written."""
_log = logging.getLogger(__name__)
MODEL, STATE, PREVIOUS, NEXT, LOG, PROVENANCE = (
    "checkpoint.safetensors",
    "training_state.safetensors",
    "previous_state.safetensors",
    "next_state.safetensors",
    "log.jsonl",
    "provenance.json",
)


def save_tree(path: Path, tree: dict[str, Any], *, header: dict[str, Any]) -> None:
    """A nested dict of tensors and plain values as one safetensors file, atomically.

    Tensors are named by their path in the tree; everything else goes into the JSON header, with a
    sha256 of all of it: safetensors itself does not notice a changed number.
    """
    tensors: dict[str, torch.Tensor] = {}
    plain = _split(tree, "", tensors)
    metadata = {"format": FORMAT, "tree": json.dumps(plain), "header": json.dumps(header)}
    write_tensors(path, tensors, metadata)


def _split(node: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(node, torch.Tensor):
        tensors[name] = node.detach().cpu().contiguous()
        return {"__tensor__": name}
    if isinstance(node, dict):
        items = [[k, _split(v, f"{name}/{k}".strip("/"), tensors)] for k, v in node.items()]
        return {"__dict__": items}  # pairs: optimiser states have integer keys
    if isinstance(node, (list, tuple)):
        return [_split(v, f"{name}/{i}", tensors) for i, v in enumerate(node)]
    return node


def _join(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(node, dict) and "__tensor__" in node:
        return tensors[node["__tensor__"]]
    if isinstance(node, dict):
        return {k: _join(v, tensors) for k, v in node["__dict__"]}
    if isinstance(node, list):
        return [_join(v, tensors) for v in node]
    return node


def load_tree(path: Path, *, device: torch.device | str = "cpu") -> tuple[Any, dict[str, Any]]:
    """(tree, header) of a file written by `save_tree`; DataError when it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            found = metadata.get("format")
            if found not in (FORMAT, WITHOUT_SHA256):
                raise DataError(
                    f"{path}: found format {shown(found)}, expected {FORMAT!r}. "
                    "It was written by another version: delete it and run the rule again."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if found == FORMAT and metadata.get("sha256") != digest(metadata, tensors):
            raise _damaged(path, "its contents have another sha256 than it says")
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        return _join(json.loads(metadata["tree"]), tensors), json.loads(metadata["header"])
    except FileNotFoundError:
        raise DataError(
            f"{path}: not found, expected a checkpoint; the training of this run writes it"
        ) from None
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:  # a header of version 1
        raise _damaged(path, f"its header: {type(error).__name__}: {error}") from None


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"{path}: damaged or not a safetensors file ({why}), expected what `save_tree` wrote. "
        "Delete it and run the rule again; training resumes from the checkpoint before it, if any."
    )


class Loadable(Protocol):
    """What `load_model` asks of a solver."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def load_model(
    solver: Loadable, run: Path, *, config_sha256: str, device: torch.device | str
) -> None:
    """The averaged weights in the folder of a finished run, into `solver`.

    Raises:
        DataError: missing, damaged, or by its provenance or its shapes of another run.
    """
    path, action = run / MODEL, "Pass the folder of this run, or train it (again)."
    model, _ = load_tree(path, device=device)
    recorded = _recorded_config(run / PROVENANCE)
    if recorded not in (None, config_sha256):
        raise DataError.about(
            path,
            found=f"a checkpoint of another configuration (sha256 {recorded} in {PROVENANCE})",
            expected=f"one of the configuration given, {config_sha256}",
            action=action,
        )
    try:
        solver.load_state_dict({"model": model})
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError.about(
            path,
            found=f"weights that do not fit ({type(error).__name__}: {str(error)[:300]})",
            expected="those of the configuration given",
            action=action,
        ) from None


def _recorded_config(path: Path) -> str | None:
    """Hash of the configuration in a run's provenance; None without a readable record."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return record.get("config_sha256") if isinstance(record, dict) else None


def load_arrays(path: Path, *, command: str) -> dict[str, np.ndarray]:
    """All arrays of the .npz file that a command wrote; DataError when missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged file
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {error}), expected the arrays that "
            f"`entropic-ot {command}` writes. Delete it and run the rule again."
        ) from None


class RunStore:
    """The folder of one training.

    `fingerprint` names everything that the training depends on; a checkpoint with another
    fingerprint is not resumed from.
    """

    def __init__(self, folder: Path, *, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint

    def save_checkpoint(
        self, state: dict[str, Any], *, step: int, rng: torch.Generator, seconds: float
    ) -> None:
        """Model first: after a kill between the two, the older state leads to the same model.

        The state before is kept as well, for the case that this one is damaged later.
        """
        header = {"step": step, "seconds": seconds, "fingerprint": self.fingerprint}
        training = {"training": state["training"], "model": state["model"], "rng": rng.get_state()}
        save_tree(self.folder / MODEL, state["model"], header=header)
        save_tree(self.folder / NEXT, training, header=header)
        if (self.folder / STATE).exists():
            (self.folder / STATE).replace(self.folder / PREVIOUS)
        (self.folder / NEXT).replace(self.folder / STATE)

    def load_checkpoint(self, rng: torch.Generator) -> tuple[dict[str, Any], int, float] | None:
        """(solver state, step, seconds) to resume from, or None; sets the state of `rng`.

        The state is on the CPU: what is loaded from it goes where it belongs, and counts of steps
        stay there, which an optimiser would otherwise fetch from a GPU one by one.

        Where the last state is damaged or missing, the one before it is taken, with a warning; the
        steps since are done again, with the same result.

        Raises:
            DataError: both are damaged, or the only one is.
        """
        found = [name for name in (STATE, PREVIOUS) if (self.folder / name).exists()]
        for name in found:
            try:
                resumed = self._load(self.folder / name, rng)
            except DataError as error:
                if name == found[-1]:
                    raise
                _log.warning("%s Going on from the checkpoint before it, %s.", error, PREVIOUS)
                continue
            if name == PREVIOUS and resumed is not None:
                (self.folder / PREVIOUS).replace(self.folder / STATE)
            return resumed
        return None

    def _load(self, path: Path, rng: torch.Generator) -> tuple[dict[str, Any], int, float] | None:
        tree, header = load_tree(path)
        if not isinstance(header, dict) or header.get("fingerprint") != self.fingerprint:
            _log.warning(
                "%s: of other settings, code, data or device than now; training starts anew", path
            )
            self.clear()
            return None
        try:
            rng.set_state(tree.pop("rng"))
            found = tree, int(header["step"]), float(header["seconds"])
            self._repair_model(tree["model"], header)
            return found
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise _damaged(path, f"{type(error).__name__}: {error}") from None

    def _repair_model(self, model: dict[str, Any], header: dict[str, Any]) -> None:
        """Write the model's file again where it is not that of this state.

        A training with no step left to do publishes it as it is.
        """
        try:
            whole = load_tree(self.folder / MODEL)[1] == header
        except DataError:
            whole = False
        if not whole:
            save_tree(self.folder / MODEL, model, header=header)

    def clear(self) -> None:
        """Forget a training of other settings, code or data."""
        for name in (STATE, PREVIOUS, NEXT, MODEL, LOG):
            (self.folder / name).unlink(missing_ok=True)

    def append_log(self, record: dict[str, Any]) -> None:
        """One line of log.jsonl."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / LOG
        with naming(path), path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def trim_log(self, step: int) -> None:
        """Drop the lines after `step` (written after the checkpoint that is resumed from)."""
        path = self.folder / LOG
        if not path.exists():
            return
        kept = []
        for line in path.read_text(errors="replace").splitlines():
            try:
                if json.loads(line)["step"] > step:
                    break
            except (ValueError, TypeError, KeyError):  # half a line: the process died writing it
                break
            kept.append(line)
        write_text(path, "".join(line + "\n" for line in kept))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this folder for one process; DataError when another one is training in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    f"{self.folder}: another process is training this run, perhaps left over from "
                    "a workflow that was killed. Wait for it, or stop it, and run again."
                ) from None
            self._remove_leftovers(self.folder)
            yield

    def _remove_leftovers(self, folder: Path) -> None:
        """What a process that was killed while it wrote has left: nobody else writes here now."""
        patterns = [f".{name}.*.part" for name in (MODEL, STATE, NEXT, LOG, PROVENANCE)]
        for pattern in (*patterns, ".tmp??????"):  # the last is what safetensors writes to
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)

    def publish(self, out: Path, names: Sequence[str] = (MODEL, STATE, LOG)) -> None:
        """Copy files of the finished training to the folder of the results, each atomically."""
        self._remove_leftovers(out)
        for name in names:
            with atomic_path(out / name) as temporary:
                shutil.copyfile(self.folder / name, temporary)
        (self.folder / PREVIOUS).unlink(missing_ok=True)
