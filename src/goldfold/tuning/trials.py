"""One trial of a tuning study as a plain value, independent of the storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

State = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of a study.

    params: values of the searched parameters; trial 0 has those of the config.
    value: the metric's mean over all folds, as `score` prints it; None unless the trial is complete.
    folds: fold number -> metric (mean over seeds), in the order the folds were fitted.
    curves: fold number -> (share of the fit's epochs done, in (0, 1]; metric) for every evaluation.
    reason: why it was pruned or failed, in one clause; empty otherwise.
    fits: number of fits; a stopped fit counts as its share of epochs. worker: name of the worker that ran it.
    """

    number: int
    state: State
    params: Mapping[str, Any]
    value: float | None = None
    folds: Mapping[int, float] = field(default_factory=dict)
    curves: Mapping[int, Sequence[tuple[float, float]]] = field(default_factory=dict)
    reason: str = ""
    fits: float = 0.0
    worker: str = ""
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def mean(self) -> float:
        """`value` of a complete trial."""
        assert self.value is not None, f"trial {self.number} is {self.state}"
        return self.value
