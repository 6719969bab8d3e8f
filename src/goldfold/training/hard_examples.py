"""Hard examples: the loss of every training row after each epoch, and the rows with the largest ones.

Losses are exact: of the model that predicts, in eval mode, every row once, without augmentation, sampling and mixup.
Wrong labels are often among the largest. Each epoch costs one more forward pass over the training rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from goldfold.competition import Plan, Stage
from goldfold.errors import GoldfoldError
from goldfold.io.files import read_array, write_array, write_text
from goldfold.io.random_states import preserved_states
from goldfold.training.settings import autocast_for

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDER = "hard_examples"  # in a fit's folder
LOSSES = "losses_epoch_{:02d}.npy"  # float32 (n,), of the training rows in their order; epochs count from 1
LIST = "topk_high_loss_epoch_{:02d}.txt"


@dataclass(frozen=True)
class HardExamples:
    """What is written after each epoch of a stage.

    stage: its name. count: number of rows of a list. ids: (n,) of the training rows, as text. names: (n,), their paths
    if the rows have any, otherwise their ids. folder: of the fit's losses and lists. added: rows that a teacher labels,
    which the stage trains on after these and whose losses are left out.
    """

    stage: str
    count: int
    ids: Sequence[str]
    names: Sequence[str]
    folder: Path
    added: int = 0


def of_plan(plan: Plan, rows: DataFrame, count: int, place: Path, added: int = 0) -> HardExamples | None:
    """What to write in the folder `place` of a fit on these training rows; None for a count of 0.

    added: see `HardExamples`.

    Raises:
        GoldfoldError: `no_row_losses`, no stage of the plan gives the losses of single rows.
    """
    if not count:
        return None
    stages = [stage.name for stage in plan.stages if stage.row_losses]
    if not stages:
        raise GoldfoldError(
            "no_row_losses",
            f"hard_examples={count} needs the loss of each training row, and no stage of this recipe gives them: set "
            "hard_examples=0, or take a recipe whose stage has row_losses, such as image_classifier",
        )
    ids = [str(each) for each in rows["id"]]
    names = [str(each) for each in rows["path"]] if "path" in rows else ids
    return HardExamples(stages[-1], count, ids, names, place / FOLDER, added)


def write(examples: HardExamples, stage: Stage, epoch: int, model: nn.Module, precision: str) -> None:
    """Write the losses after a 0-based epoch and the list of the largest; random states are preserved.

    Raises:
        GoldfoldError: `row_losses_mismatch`, there is not one loss per training row.
    """
    assert stage.row_losses is not None, "of_plan names a stage with losses of rows"
    with preserved_states(), torch.no_grad(), autocast_for(precision, model):
        losses = np.asarray(stage.row_losses(model.eval()), dtype=np.float32)
    expected = len(examples.ids) + examples.added
    if losses.shape != (expected,):
        raise GoldfoldError(
            "row_losses_mismatch",
            f"row_losses of stage '{stage.name}' gave an array of shape {losses.shape} for {expected} training rows: "
            "return one loss per row, in their order",
        )
    losses = losses[: len(examples.ids)]
    write_array(examples.folder / LOSSES.format(epoch + 1), losses)
    lines = [f"{examples.names[row]}\t{losses[row]:.6f}\n" for row in largest(losses, examples.ids, examples.count)]
    write_text(examples.folder / LIST.format(epoch + 1), "".join(lines))


def largest(losses: np.ndarray, ids: Sequence[str], count: int) -> list[int]:
    """Positions of the `count` largest losses, the largest first, equal ones by id."""
    return sorted(range(len(losses)), key=lambda row: (-losses[row], ids[row]))[:count]


def read(place: Path) -> np.ndarray:
    """The losses of a fit's training rows after each epoch, float32 (epochs, n); (0, 0) if none were written."""
    found = sorted((place / FOLDER).glob("losses_epoch_*.npy"), key=lambda path: int(path.stem.rpartition("_")[2]))
    return np.stack([read_array(path) for path in found]) if found else np.empty((0, 0), np.float32)
