"""Which epoch predicts: the last, or the best by a measure; when to stop; which checkpoints are worth their room.

`select` is 'last', 'best' (the competition's metric on the scored fold), the name of something the plan monitors on
training rows it keeps back, or an epoch's number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from goldfold.errors import unknown
from goldfold.training import checkpoints
from goldfold.training.state import History


def chosen(history: History, select: str, higher_is_better: bool) -> dict[str, Any]:
    """The row of the last stage whose weights predict: its last epoch, or its best (the first of equals).

    higher_is_better: of the competition's metric; monitored values say so themselves.
    """
    rows = [row for row in history if row["stage"] == history[-1]["stage"]]
    if select.isdecimal():
        return next((row for row in rows if row["epoch"] == int(select)), rows[-1])
    measured = [] if select == "last" else [row for row in rows if _goodness(row, select, higher_is_better) is not None]
    if not measured:
        return rows[-1]
    return max(measured, key=lambda row: (_goodness(row, select, higher_is_better), -row["epoch"]))


def _goodness(row: dict[str, Any], select: str, higher_is_better: bool) -> float | None:
    """What epochs are ranked by, larger is better; None where the epoch was not looked at."""
    value, higher = row["metric"], higher_is_better
    if select != "best":
        monitored = row["monitored"].get(select, {"value": None, "higher_is_better": True})
        value, higher = monitored["value"], monitored["higher_is_better"]
    return None if value is None else value if higher else -value


def check(row: dict[str, Any], select: str) -> None:
    """Raise GoldfoldError unless an epoch that was looked at can be ranked by `select`."""
    known = [name for name, monitored in row["monitored"].items() if monitored["higher_is_better"] is not None]
    if select not in ("last", "best", *known) and not select.isdecimal():
        raise unknown("measure to select an epoch by", select, ["last", "best", *known])


def exhausted(history: History, stage: str, patience: int | None, select: str, higher_is_better: bool) -> bool:
    """Whether `patience` epochs have passed without a better one."""
    rows = [row for row in history if row["stage"] == stage]
    looked = [row["epoch"] for row in rows if row["metric"] is not None]
    if not patience or not looked:
        return False
    return looked[-1] - chosen(rows, select, higher_is_better)["epoch"] >= patience


def worth_keeping(folder: Path, select: str, higher_is_better: bool) -> set[Path]:
    """Each stage's checkpoints that are best by the metric, best by `select`, and last."""
    by_stage: dict[str, list[checkpoints.Checkpoint]] = {}
    for checkpoint in checkpoints.listed(folder):
        by_stage.setdefault(checkpoint.row["stage"], []).append(checkpoint)
    kept = set()
    for saved in by_stage.values():
        rows = [checkpoint.row for checkpoint in saved]
        best = [chosen(rows, rule, higher_is_better) for rule in ("best", select)]
        kept |= {checkpoint.path for checkpoint in saved if checkpoint.row in best} | {saved[-1].path}
    return kept
