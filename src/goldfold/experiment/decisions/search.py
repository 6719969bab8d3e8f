"""Fit the parameters of a decision on some rows: one number after the other is moved to where the score is best.

Deterministic and bounded: the search starts at the plain values, tries every candidate of every number in order, and
repeats that while the score improves, up to `block.ROUNDS` times. Of equal scores the earlier value stays, so the plain
one where nothing is better.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from goldfold.experiment.decisions.block import ROUNDS, Chosen, Coordinate
from goldfold.experiment.scoring import resampling_scorer

if TYPE_CHECKING:
    from pandas import DataFrame

ROUNDING = 1e-12


class Fitted(NamedTuple):
    """values: of every parameter. score: on the rows that they were fitted on. tried: number of scores computed."""

    values: dict[str, Any]
    score: float
    tried: int


@dataclass(frozen=True)
class Task:
    """Scores of decided predictions on any of their rows.

    rows: with their targets. features: the same rows without them. predictions: (n, ...) out of fold. Maps are decided
    and scored once for all rows, and never copied.
    """

    chosen: Chosen
    rows: DataFrame
    features: DataFrame
    predictions: np.ndarray
    _known: dict[str, Callable[[np.ndarray], Any]] = field(default_factory=dict)

    def score(self, values: Mapping[str, Any], index: np.ndarray) -> float:
        """The metric of the rows `index` at these values."""
        metric = self.chosen.metric
        if not self._maps():
            return float(metric.score(*self._part(values, index)))
        return float(self._of_all("score", values, lambda found: resampling_scorer(metric, self.rows, found))(index))

    def by_column(self, values: Mapping[str, Any], index: np.ndarray) -> np.ndarray | None:
        """The score of each label or class, NaN for one that is not scored; None if the metric is no mean over them."""
        options, columns = self.chosen.metric.options, self.chosen.decision.columns
        of_masks, of_labels = options.mask_classes, options.per_class
        if of_masks is not None:
            scores = self._of_all("columns", values, lambda found: of_masks.by_class(self.rows, found))(index)
            known = dict(zip(of_masks.names, scores.tolist(), strict=True))
            return np.array([known.get(name, np.nan) for name in columns])
        return of_labels(*self._part(values, index)) if of_labels is not None else None

    def _part(self, values: Mapping[str, Any], index: np.ndarray) -> tuple[DataFrame, np.ndarray]:
        """Some rows with their decided predictions."""
        rows, features = (each.iloc[index].reset_index(drop=True) for each in (self.rows, self.features))
        return rows, self.chosen.decision.apply(features, self.predictions[index], values)

    def _of_all(
        self, what: str, values: Mapping[str, Any], scorer: Callable[[Any], Callable[[np.ndarray], Any]]
    ) -> Callable[[np.ndarray], Any]:
        key = f"{what} {json.dumps(values)}"
        if key not in self._known:
            self._known[key] = scorer(self.chosen.decision.apply(self.features, self.predictions, values))
        return self._known[key]

    def _maps(self) -> bool:
        return self.predictions.ndim > 2


def fit(task: Task, index: np.ndarray) -> Fitted:
    """The values with the best score on the rows `index` that the search finds."""
    climb = _Climb(task, index)
    for name in task.chosen.searched:
        search = task.chosen.decision.parameters[name].search
        assert search is not None
        found = search(task.rows.iloc[index].reset_index(drop=True), task.predictions[index])
        climb.offer({**climb.values, name: tuple(found)})
    for _ in range(ROUNDS):
        before = climb.score
        for name, group in groupby(task.chosen.coordinates, key=lambda each: each.name):
            climb.move(name, list(group))
        if not climb.better(climb.score, before):
            break
    return Fitted(climb.values, climb.score, climb.tried)


class _Climb:
    """The best values so far on the rows `index`."""

    def __init__(self, task: Task, index: np.ndarray) -> None:
        self.task, self.index, self.tried = task, index, 1
        self.values = task.chosen.plain()
        self.score = task.score(self.values, index)

    def better(self, one: float, other: float) -> bool:
        return (1 if self.task.chosen.metric.higher_is_better else -1) * (one - other) > ROUNDING

    def offer(self, values: dict[str, Any]) -> None:
        """Take values that score better than the best so far."""
        score = self.task.score(values, self.index)
        self.tried += 1
        if self.better(score, self.score):
            self.values, self.score = values, score

    def move(self, name: str, coordinates: list[Coordinate]) -> None:
        """Try every candidate of a parameter: for all columns at once where each has a score of its own."""
        if coordinates[0].column is not None and self._at_once(name, coordinates):
            return
        for each in coordinates:
            for candidate in each.candidates:
                self.offer(self._with(each, candidate))

    def _with(self, each: Coordinate, candidate: Any) -> dict[str, Any]:
        if each.column is None:
            return {**self.values, each.name: candidate}
        own = list(self.values[each.name])
        own[each.column] = candidate
        return {**self.values, each.name: tuple(own)}

    def _at_once(self, name: str, coordinates: list[Coordinate]) -> bool:
        """Give each column the candidate with the best score of its own; False if columns have none."""
        best = self.task.by_column(self.values, self.index)
        if best is None:
            return False
        found = list(self.values[name])
        for candidate, columns in _by_candidate(coordinates):
            tried = list(self.values[name])
            for column in columns:
                tried[column] = candidate
            scores = self.task.by_column({**self.values, name: tuple(tried)}, self.index)
            assert scores is not None, "the metric gave the scores of its columns before"
            self.tried += 1
            for column in columns:
                if self.better(scores[column], best[column]):  # never where a class is absent, NaN
                    best[column], found[column] = scores[column], candidate
        self.offer({**self.values, name: tuple(found)})
        return True


def _by_candidate(coordinates: list[Coordinate]) -> Iterator[tuple[Any, list[int]]]:
    """Each candidate with the columns that try it."""
    for candidate in dict.fromkeys(value for each in coordinates for value in each.candidates):
        trying = [each.column for each in coordinates if candidate in each.candidates]
        yield candidate, [column for column in trying if column is not None]
