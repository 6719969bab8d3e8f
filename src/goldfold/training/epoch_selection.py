"""Epoch selection, early stopping, and which checkpoints to keep.

`select` is 'last', 'best' (by the competition's metric on the scored fold), the name of a monitored value (measured on
training rows held out by the plan), or the number of an epoch.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from goldfold.errors import unknown
from goldfold.training import checkpoints
from goldfold.training.state import History


def select_epoch(history: History, select: str, higher_is_better: bool) -> dict[str, Any]:
    """Return the history row of the selected epoch of the last stage; the first of equally good epochs.

    higher_is_better: direction of the competition's metric; monitored values carry their own. Without any measured
        epoch the last one is selected.
    """
    rows = [row for row in history if row["stage"] == history[-1]["stage"]]
    if select.isdecimal():
        return next((row for row in rows if row["epoch"] == int(select)), rows[-1])
    measured = [row for row in rows if rank_value(row, select, higher_is_better) is not None]
    if select == "last" or not measured:
        return rows[-1]
    return max(measured, key=lambda row: (rank_value(row, select, higher_is_better), -row["epoch"]))


def rank_value(row: dict[str, Any], select: str, higher_is_better: bool) -> float | None:
    """The value that epochs are ranked by, larger is better; None if the epoch was not validated."""
    value, higher = row["metric"], higher_is_better
    if select != "best":
        monitored = row["monitored"].get(select, {"value": None, "higher_is_better": True})
        value, higher = monitored["value"], monitored["higher_is_better"]
    return None if value is None else value if higher else -value


def check_select(row: dict[str, Any], select: str) -> None:
    """Check that a validated epoch can be ranked by `select`.

    Raises:
        GoldfoldError: `select` is no epoch's number, and no value of that name is monitored.
    """
    known = [name for name, monitored in row["monitored"].items() if monitored["higher_is_better"] is not None]
    if select not in ("last", "best", *known) and not select.isdecimal():
        raise unknown("value to select an epoch by", select, ["last", "best", *known], code="unknown_select")


def patience_exhausted(history: History, stage: str, patience: int | None, select: str, higher_is_better: bool) -> bool:
    """Whether `patience` epochs of the stage have passed since the best one; False if patience is None."""
    rows = [row for row in history if row["stage"] == stage]
    validated = [row["epoch"] for row in rows if row["metric"] is not None]
    if not patience or not validated:
        return False
    return validated[-1] - select_epoch(rows, select, higher_is_better)["epoch"] >= patience


def checkpoints_to_keep(folder: Path, select: str, higher_is_better: bool, averaged: Collection[int] = ()) -> set[Path]:
    """Return the checkpoints to keep of each stage: best by the metric, best by `select`, last, and those to average.

    averaged: numbers of epochs.
    """
    by_stage: dict[str, list[checkpoints.Checkpoint]] = {}
    for checkpoint in checkpoints.list_checkpoints(folder):
        by_stage.setdefault(checkpoint.row["stage"], []).append(checkpoint)
    kept = set()
    for saved in by_stage.values():
        rows = [checkpoint.row for checkpoint in saved]
        best = [select_epoch(rows, rule, higher_is_better) for rule in ("best", select)]
        kept |= {checkpoint.path for checkpoint in saved if checkpoint.row in best} | {saved[-1].path}
        kept |= {checkpoint.path for checkpoint in saved if checkpoint.row["epoch"] in averaged}
    return kept
