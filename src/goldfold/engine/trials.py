"""One set of parameters that tuning has tried, or is trying: a value, whatever storage it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of a study.

    params: of the search space; trial 0 has the config's own values.
    value: the metric's mean over all folds, as `score` prints it; of complete trials alone.
    folds: fold number -> metric (mean over seeds), in the order the folds were fitted.
    curves: fold number -> (share of the fit's epochs done, in (0, 1]; metric) of every look at the metric.
    reason: why it was pruned or failed, in one clause; empty otherwise.
    fits: fits spent on it, those cut off by their share of epochs. worker: who carried it out.
    """

    number: int
    state: Literal["running", "complete", "pruned", "failed"]
    params: Mapping[str, Any]
    value: float | None = None
    folds: Mapping[int, float] = field(default_factory=dict)
    curves: Mapping[int, Sequence[tuple[float, float]]] = field(default_factory=dict)
    reason: str = ""
    fits: float = 0.0
    worker: str = ""
    started: datetime | None = None
    ended: datetime | None = None
