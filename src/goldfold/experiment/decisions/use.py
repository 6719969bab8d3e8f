"""Test predictions as the submission's writer takes them: decided at the values that a run keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goldfold.competition import Competition
from goldfold.errors import GoldfoldError
from goldfold.experiment.decisions import label_thresholds
from goldfold.experiment.failures import carried_out
from goldfold.experiment.run_folders import DECISIONS
from goldfold.io.files import read_json
from goldfold.metrics.row_by_row import RowByRow

if TYPE_CHECKING:
    from pandas import DataFrame


def for_writer(competition: Competition, run: Path, rows: DataFrame, predictions: np.ndarray) -> np.ndarray:
    """Test predictions at the decisions of a run, or at its label thresholds if its submissions are at thresholds.

    rows: of the test table. Maps are decided into an array of their own.
    """
    kept = read_json(run / DECISIONS, dict) if (run / DECISIONS).exists() else {}
    if not kept.get("applied"):
        return label_thresholds.of_run(run, predictions) if competition.submission.at_thresholds else predictions
    decisions = {each.name: each.options.decision for each in (competition.metric, *competition.also)}
    decision = decisions.get(kept["metric"])
    if decision is None:
        raise GoldfoldError(
            "decision_unused_by_metric",
            f"run '{run.name}' is decided by metric {kept['metric']}, which the competition no longer has or which no "
            "longer decides: restore it, or train again",
        )
    decided = carried_out(competition.slug, decision.apply, rows, predictions, kept["values"])
    return carried_out(competition.slug, decided.array) if isinstance(decided, RowByRow) else decided
