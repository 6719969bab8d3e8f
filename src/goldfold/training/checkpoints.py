"""Checkpoints: weights as safetensors, the state of training beside them, and a JSON of facts that is written last.

A checkpoint exists when its JSON does. The JSON holds size and SHA-256 of the other files, so a damaged file is
noticed when it is read, whatever damaged it. Names are `<stage>_epoch_<number>` with 1-based epochs of 3 digits.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_bytes, write_json

STATES_KEPT = 2  # a damaged newest state then costs one epoch, not the fold


@dataclass(frozen=True)
class Checkpoint:
    """One saved epoch. `order` grows with time over the stages; `row` is the epoch's row of history."""

    path: Path
    order: tuple[int, int]
    row: dict[str, Any]
    files: dict[str, dict[str, Any]]


def save(folder: Path, order: tuple[int, int], row: dict[str, Any], model: nn.Module, state: dict[str, Any]) -> None:
    """Save one epoch: `model`'s weights, whatever `state` holds (tensors, numbers, lists, dicts), and `row`.

    Raises:
        GoldfoldError: the disk refused; earlier checkpoints are untouched.
    """
    for stale in [checkpoint for checkpoint in listed(folder) if checkpoint.order > order]:
        _remove(stale)  # damaged ones that training had to go back before
    name = f"{row['stage']}_epoch_{row['epoch']:03d}"
    buffer = io.BytesIO()
    torch.save(state, buffer)
    files = {f"{name}.safetensors": save_safetensors(_unshared(model)), f"{name}.training.pt": buffer.getvalue()}
    for file, data in files.items():
        write_bytes(folder / file, data)
    facts = {file: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for file, data in files.items()}
    write_json(folder / f"{name}.json", {"order": order, "row": row, "files": facts})


def prune(folder: Path, keep: Iterable[Path] | None) -> None:
    """Remove old training states, and all weights but those of `keep` (checkpoint paths) unless it is None."""
    states = sorted(folder.glob("*.training.pt"), key=_order)
    for old in states[:-STATES_KEPT]:
        old.unlink()
    if keep is None:
        return
    checkpoints = listed(folder)
    kept = {*keep, *(checkpoint.path for checkpoint in checkpoints[-STATES_KEPT:])}
    for old in checkpoints:
        if old.path not in kept:
            _remove(old)


def _order(state: Path) -> list[int]:
    facts = state.with_name(state.name.replace(".training.pt", ".json"))
    return read_json(facts)["order"] if facts.exists() else []  # without facts it was never finished


def _remove(checkpoint: Checkpoint) -> None:
    for suffix in (".json", ".training.pt", ".safetensors"):
        checkpoint.path.with_suffix(suffix).unlink(missing_ok=True)


def listed(folder: Path) -> list[Checkpoint]:
    """All checkpoints of a fit, oldest first."""
    facts = [(path, read_json(path)) for path in sorted(folder.glob("*.json"))]
    found = [Checkpoint(path, tuple(fact["order"]), fact["row"], fact["files"]) for path, fact in facts]
    return sorted(found, key=lambda checkpoint: checkpoint.order)


def newest_state(folder: Path) -> tuple[Checkpoint, dict[str, Any]] | None:
    """The newest checkpoint whose weights and training state are whole, with that state; None if there is none.

    Damaged ones are passed over: training from an older epoch ends with the same bits.
    """
    for checkpoint in reversed(listed(folder)):
        try:
            _whole(checkpoint, ".safetensors")
            data = _whole(checkpoint, ".training.pt")
        except GoldfoldError:
            continue
        return checkpoint, torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    return None


def load_weights(checkpoint: Checkpoint, model: nn.Module) -> None:
    """Put a checkpoint's weights into `model`.

    Raises:
        GoldfoldError: the file is absent, cut or altered, or the model is another one.
    """
    weights = load_safetensors(_whole(checkpoint, ".safetensors"))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise GoldfoldError(
            f"{checkpoint.path.stem} holds the weights of another model ({str(error).splitlines()[1].strip()}): "
            "use the run's own configuration"
        ) from error


def _whole(checkpoint: Checkpoint, suffix: str) -> bytes:
    path = checkpoint.path.with_suffix(suffix)
    wanted = checkpoint.files[path.name]
    data = path.read_bytes() if path.exists() else b""
    if len(data) != wanted["bytes"] or hashlib.sha256(data).hexdigest() != wanted["sha256"]:
        raise GoldfoldError(
            f"{path} is damaged ({len(data):,} of {wanted['bytes']:,} bytes, or altered): remove "
            f"{path.parent} and start the same training again for the same bits, or choose another epoch"
        )
    return data


def _unshared(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict with tied weights copied, since safetensors stores no tensor twice."""
    seen, tensors = set(), {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().contiguous()
        pointer = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if pointer in seen else tensor
        seen.add(pointer)
    return tensors
