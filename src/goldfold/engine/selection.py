"""Which epoch predicts: the last, or the best by the metric; when to stop; which checkpoints are worth their room."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from goldfold.engine import checkpoints
from goldfold.engine.training_state import History


def chosen(history: History, select: Literal["last", "best"], higher_is_better: bool) -> dict[str, Any]:
    """The row of the last stage whose weights predict: its last epoch, or its best by metric (the first of equals)."""
    rows = [row for row in history if row["stage"] == history[-1]["stage"]]
    scored = [row for row in rows if row["metric"] is not None]
    if select == "last" or not scored:
        return rows[-1]
    sign = 1 if higher_is_better else -1
    return max(scored, key=lambda row: (sign * row["metric"], -row["epoch"]))


def exhausted(history: History, stage: str, patience: int | None, higher_is_better: bool) -> bool:
    rows = [row for row in history if row["stage"] == stage]
    looked = [row["epoch"] for row in rows if row["metric"] is not None]
    if not patience or not looked:
        return False
    return looked[-1] - chosen(rows, "best", higher_is_better)["epoch"] >= patience


def worth_keeping(folder: Path, higher_is_better: bool) -> set[Path]:
    """Each stage's best and last checkpoints."""
    by_stage: dict[str, list[checkpoints.Checkpoint]] = {}
    for checkpoint in checkpoints.listed(folder):
        by_stage.setdefault(checkpoint.row["stage"], []).append(checkpoint)
    kept = set()
    for saved in by_stage.values():
        best = chosen([checkpoint.row for checkpoint in saved], "best", higher_is_better)
        kept |= {checkpoint.path for checkpoint in saved if checkpoint.row is best} | {saved[-1].path}
    return kept
