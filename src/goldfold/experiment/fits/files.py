"""A fit as a value, and the files of its folder: written with a seal, read only if they are as they were written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from goldfold.competition import Plan
from goldfold.errors import GoldfoldError
from goldfold.experiment import code_index
from goldfold.experiment.fits.experiment import CHECKPOINTS
from goldfold.io import clock
from goldfold.io.clock import Spent
from goldfold.io.files import read_array, read_arrays, read_json, write_array, write_arrays, write_json
from goldfold.training import checkpoints
from goldfold.training.distributed import is_writer
from goldfold.training.state import History

UNTRAINED = "untrained_errors.npy"  # in a fit's folder
SEAL = "sha256"  # key of fit.json


@dataclass(frozen=True)
class Fit:
    """One fold fitted with one seed.

    scores, chance: metric name -> score and chance level on the validation rows. epoch: number of the one that
        predicts; None without training. facts: for audits. validation: (rows of the fold, ...) and test: (test rows,
        ...) predictions. index: of codes of the training rows, see `code_index.of_fit`; empty without codes.
        untrained: metric name -> score of the model before its first step; only of embeddings. untrained_errors: (rows
        of the fold,) errors of that model, as the metric's `row_error` has them; empty if it has none. probed: what
        `Plan.probe` found, in the first fit of a run only.
    """

    fold: int
    seed: int
    scores: dict[str, float]
    chance: dict[str, float]
    epoch: int | None
    history: History
    facts: dict[str, Any]
    validation: np.ndarray
    test: np.ndarray
    index: Mapping[str, np.ndarray] = field(default_factory=dict)
    untrained: dict[str, float] = field(default_factory=dict)
    untrained_errors: np.ndarray = field(default_factory=lambda: np.empty(0))
    probed: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    importances: dict[str, Mapping[str, float]] = field(default_factory=dict)


def keep(plan: Plan, place: Path) -> None:
    """Write what a plan keeps as JSON into the folder of its fit; of a distributed run the first process writes."""
    for name, value in plan.kept.items() if is_writer() else ():
        write_json(place / f"{name}.json", value)


def save_fit(fit: Fit, place: Path, spent: Spent | None = None) -> None:
    """Write a fit into its folder, fit.json last with a hash of all; only the first of distributed processes writes.

    spent: where the time went, beside what the fit is. What only another epoch of training would read is dropped then.
    """
    if not is_writer():
        return
    if spent:
        write_json(place / clock.FILE, spent)
    write_array(place / "validation.npy", fit.validation)
    write_array(place / "test.npy", fit.test)
    write_json(place / "history.json", fit.history)
    if fit.index:
        write_arrays(place / code_index.FILE, fit.index)
    if len(fit.untrained_errors):
        write_array(place / UNTRAINED, fit.untrained_errors)
    apart = ("history", "validation", "test", "index", "untrained_errors")
    facts = {name: value for name, value in vars(fit).items() if name not in apart}
    write_json(place / "fit.json", {**facts, SEAL: _seal(place, facts)})
    checkpoints.finish(place / CHECKPOINTS)


def is_complete(place: Path) -> bool:
    """Whether a fit exists and can be read; a damaged one is made again, from its checkpoints if it has any."""
    try:
        load_fit(place)
    except GoldfoldError:
        return False
    return True


def load_fit(place: Path) -> Fit:
    """Load the fit in a folder.

    Raises:
        GoldfoldError: a file of it is missing or damaged, or is not the one that the fit wrote (`fit_changed`).
    """
    facts = read_json(place / "fit.json", dict)
    seal = facts.pop(SEAL, None)  # fits of older versions have none
    if seal and seal != _seal(place, facts):
        raise GoldfoldError(
            "fit_changed", f"{place} is not as the fit wrote it: delete {place / 'fit.json'} and train again"
        )
    validation, test = (read_array(place / f"{name}.npy") for name in ("validation", "test"))
    index = read_arrays(place / code_index.FILE) if (place / code_index.FILE).exists() else {}
    known: dict[str, Any] = {"history": read_json(place / "history.json", list), "index": index}
    if (place / UNTRAINED).exists():
        known["untrained_errors"] = read_array(place / UNTRAINED)
    try:
        return Fit(**facts, **known, validation=validation, test=test)
    except TypeError as error:
        raise GoldfoldError(
            "file_damaged", f"{place / 'fit.json'} holds no fit ({error}): delete it and train again"
        ) from error


def _seal(place: Path, facts: Mapping[str, Any]) -> str:
    """A SHA-256 of what fit.json holds and of the other files of a fit."""
    seal = hashlib.sha256(json.dumps(facts).encode())
    for name in ("validation.npy", "test.npy", "history.json", code_index.FILE, UNTRAINED):
        if (place / name).exists():
            seal.update(hashlib.sha256((place / name).read_bytes()).digest())
    return seal.hexdigest()
