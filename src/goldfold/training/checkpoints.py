"""Save and load checkpoints: weights, training state and a JSON file with sizes and hashes.

Weights are in `<stage>_epoch_<number>.safetensors`, the training state in `.training.pt` beside it; epochs are 1-based
with 3 digits. The JSON is written last: a checkpoint exists if its JSON does. It holds size and SHA-256 of the other
files, so that a damaged file is noticed when it is read.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_bytes, write_json
from goldfold.training import state as training_state

SUFFIXES = (".training.pt", ".safetensors")  # of the files beside the JSON
STATES_KEPT = 2  # if the newest state is damaged, one epoch is lost and not the fold


@dataclass(frozen=True)
class Checkpoint:
    """One saved epoch.

    path: of the JSON file. order: (index of the stage, 1-based epoch). row: the epoch's row of the history. files: file
        name -> its `bytes` and `sha256`.
    """

    path: Path
    order: tuple[int, int]
    row: dict[str, Any]
    files: dict[str, dict[str, Any]]


def save(folder: Path, order: tuple[int, int], row: dict[str, Any], model: nn.Module, state: dict[str, Any]) -> None:
    """Save one epoch: the weights of `model`, the training `state` for `torch.save`, and the row of the history.

    Checkpoints of later epochs are removed: training went back before them because they were damaged.

    Raises:
        GoldfoldError: the files cannot be written; earlier checkpoints are untouched.
    """
    for stale in [checkpoint for checkpoint in list_checkpoints(folder) if checkpoint.order > order]:
        _remove(stale)
    name = f"{row['stage']}_epoch_{row['epoch']:03d}"
    files = {
        f"{name}.safetensors": save_safetensors(_without_shared_tensors(model)),
        f"{name}.training.pt": _pickled(state),
    }
    for file, data in files.items():
        write_bytes(folder / file, data)
    facts = {file: _facts(data) for file, data in files.items()}
    write_json(folder / f"{name}.json", {"order": order, "row": row, "files": facts})


def _pickled(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _facts(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def finish(folder: Path) -> None:
    """Drop the training states of a fit that is complete, but what tells that its training is over.

    Weights stay. The newest state is replaced before older ones go, so that a process killed in between leaves one
    that training can go on from.
    """
    found = load_latest(folder)
    if found is None:
        return
    newest, state = found
    if not training_state.is_finished(state):
        path = newest.path.with_suffix(".training.pt")
        data = _pickled(training_state.of_finished(state))
        write_bytes(path, data)
        files = {**newest.files, path.name: _facts(data)}
        write_json(newest.path, {"order": newest.order, "row": newest.row, "files": files})
    for checkpoint in list_checkpoints(folder):
        if checkpoint.path != newest.path:
            checkpoint.path.with_suffix(".training.pt").unlink(missing_ok=True)


def replace_weights(checkpoint: Checkpoint, model: nn.Module, row: dict[str, Any]) -> None:
    """Write other weights into a checkpoint, with another row; its training state stays."""
    file = checkpoint.path.with_suffix(".safetensors")
    data = save_safetensors(_without_shared_tensors(model))
    write_bytes(file, data)
    write_json(
        checkpoint.path, {"order": checkpoint.order, "row": row, "files": checkpoint.files | {file.name: _facts(data)}}
    )


def prune(folder: Path, keep: Iterable[Path] | None) -> None:
    """Remove all training states but the newest two, and all weights but those in `keep` and the newest two.

    keep: paths of checkpoints; None keeps all weights.
    """
    states = sorted(folder.glob("*.training.pt"), key=_order)
    for old in states[:-STATES_KEPT]:
        old.unlink()
    if keep is None:
        return
    checkpoints = list_checkpoints(folder)
    kept = {*keep, *(checkpoint.path for checkpoint in checkpoints[-STATES_KEPT:])}
    for checkpoint in checkpoints:
        if checkpoint.path not in kept:
            _remove(checkpoint)


def _order(state: Path) -> list[int]:
    facts = state.with_name(state.name.replace(".training.pt", ".json"))
    found = _read(facts)
    return list(found.order) if found else []  # without its JSON it was never finished


def _remove(checkpoint: Checkpoint) -> None:
    for suffix in (".json", *SUFFIXES):
        checkpoint.path.with_suffix(suffix).unlink(missing_ok=True)


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """List all checkpoints in a folder, oldest first; those whose JSON is damaged are left out."""
    found = filter(None, map(_read, sorted(folder.glob("*.json"))))
    return sorted(found, key=lambda checkpoint: checkpoint.order)


def _read(path: Path) -> Checkpoint | None:
    """Read the JSON of a checkpoint; None if it is missing or damaged, as by a crash of the machine."""
    try:
        facts = read_json(path, dict)
        stage, epoch = facts["order"]
        files = {f"{path.stem}{suffix}": facts["files"][f"{path.stem}{suffix}"] for suffix in SUFFIXES}
        whole = isinstance(facts["row"]["epoch"], int) and all(
            {"bytes", "sha256"} <= set(each) for each in files.values()
        )
        return Checkpoint(path, (int(stage), int(epoch)), facts["row"], files) if whole else None
    except (GoldfoldError, LookupError, TypeError, ValueError):
        return None


def load_latest(folder: Path) -> tuple[Checkpoint, dict[str, Any]] | None:
    """Load the newest undamaged checkpoint and its training state; None if there is none.

    Damaged checkpoints are skipped: training from an older epoch gives bit-identical results.
    """
    for checkpoint in reversed(list_checkpoints(folder)):
        try:
            load_safetensors(_verified_bytes(checkpoint, ".safetensors"))
            data = _verified_bytes(checkpoint, ".training.pt")
            return checkpoint, torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        except (GoldfoldError, SafetensorError, UnpicklingError, RuntimeError, EOFError):
            continue  # bytes with a hash of their own may still be no weights, or code that must not be run
    return None


def verify(checkpoint: Checkpoint) -> None:
    """Check that the weights of a checkpoint are those that were saved; raises as `load_weights`."""
    read_weights(checkpoint)


def load_weights(checkpoint: Checkpoint, model: nn.Module) -> None:
    """Load the weights of a checkpoint into `model`.

    Raises:
        GoldfoldError: the file is missing or damaged, or the weights do not fit the model.
    """
    weights = read_weights(checkpoint)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise GoldfoldError(
            "weights_do_not_fit",
            f"{checkpoint.path.stem} holds the weights of another model ({str(error).splitlines()[1].strip()}): load "
            "it with the run's own configuration",
        ) from error


def read_weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint by name, on the CPU; raises GoldfoldError if the file is missing or damaged."""
    try:
        return load_safetensors(_verified_bytes(checkpoint, ".safetensors"))
    except SafetensorError as error:
        raise GoldfoldError(
            "checkpoint_damaged",
            f"{checkpoint.path.with_suffix('.safetensors')} holds no weights ({error}): remove "
            f"{checkpoint.path.parent} and run the same command again to train them, or choose another epoch",
        ) from error


def _verified_bytes(checkpoint: Checkpoint, suffix: str) -> bytes:
    """Read a file of a checkpoint and check its size and SHA-256."""
    path = checkpoint.path.with_suffix(suffix)
    wanted = checkpoint.files[path.name]
    data = path.read_bytes() if path.exists() else b""
    if len(data) != wanted["bytes"] or hashlib.sha256(data).hexdigest() != wanted["sha256"]:
        raise GoldfoldError(
            "checkpoint_damaged",
            f"{path} is damaged: it has {len(data):,} of {wanted['bytes']:,} bytes, or other content than was saved. "
            f"Remove {path.parent} and run the same command again to train the same weights, or choose another epoch",
        )
    return data


def _without_shared_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict with tied weights copied, since safetensors stores no tensor twice."""
    seen, tensors = set(), {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().contiguous()
        pointer = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if pointer in seen else tensor
        seen.add(pointer)
    return tensors
