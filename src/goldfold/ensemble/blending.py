"""Blend runs: score each blend method on folds it did not learn from, and choose the method.

No prediction of a fold uses its targets. Weights for fold k are learned on the other folds. If the method is also
chosen, it is chosen for fold k by scores on the other folds, each predicted with weights learned on the rest. Two
sources of optimism remain, as in any stacking on out-of-fold predictions: the runs' models behind the other folds'
predictions were trained on fold k, and somebody chose the runs. Only new data removes both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import fmean

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.competition import Competition, Metric
from goldfold.ensemble.methods import METHODS, Blender, BlendTask, Method, check_method
from goldfold.ensemble.weight_search import Objective
from goldfold.errors import GoldfoldError
from goldfold.experiment.scoring import metrics_for, score, score_all

Scores = dict[str, float]  # metric -> value

FEWEST_TO_CHOOSE = 3  # folds: one to score, one to choose the method by, one to learn from


@dataclass(frozen=True, kw_only=True)
class Members:
    """The runs to blend, with their rows in the same order.

    names: of the runs. oof: each run's (n, ...) predictions of `rows` (with their targets). test: each run's (m, ...).
        fold: (n,) int64, the fold in which each row was held out.
    """

    competition: Competition
    names: Sequence[str]
    rows: DataFrame
    fold: np.ndarray
    oof: Sequence[np.ndarray]
    test: Sequence[np.ndarray]

    @cached_property
    def folds(self) -> list[int]:
        """The numbers of the folds, ascending."""
        return sorted(set(self.fold.tolist()))

    @cached_property
    def task(self) -> BlendTask:
        """What a blend method may learn from."""
        metric = self.competition.metric
        return BlendTask(metric, self.competition.targets, self.rows, self.oof, Objective(metric, self.rows, self.oof))

    def of_fold(self, fold: int) -> np.ndarray:
        """Positions of the rows of a fold."""
        return np.flatnonzero(self.fold == fold)

    def outside(self, *folds: int) -> np.ndarray:
        """Positions of the rows outside some folds."""
        return np.flatnonzero(~np.isin(self.fold, folds))


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """The result of one blend method.

    oof: (n, ...) predictions, each fold's learned on the others. scores: fold -> score of these by metric. in_sample:
        fold -> the competition's metric, learned on all folds. inner: (k, j) -> that metric on fold j, learned on all
        folds but j and k. blenders: fold -> blender learned without it; None -> learned on all folds.
    """

    method: str
    oof: np.ndarray
    scores: Mapping[int, Scores]
    in_sample: Mapping[int, float]
    inner: Mapping[tuple[int, int], float]
    blenders: Mapping[int | None, Blender]


@dataclass(frozen=True, kw_only=True)
class Blend:
    """The final blend.

    oof: (n, ...) and test: (m, ...) predictions. scores: fold -> score by metric. by_fold: fold -> the method that
        predicts it. method: the one that predicts the test rows.
    """

    oof: np.ndarray
    test: np.ndarray
    scores: Mapping[int, Scores]
    by_fold: Mapping[int, str]
    method: str


def align(predictions: np.ndarray, ids: Sequence[str], wanted: Sequence[str], where: str) -> np.ndarray:
    """Order the `predictions` (n, ...) of the rows `ids` as the ids `wanted`.

    Raises:
        GoldfoldError: an id is repeated, missing or unknown; `where` names the file.
    """
    given = pd.Index(ids)
    if len(given) != len(predictions):
        raise GoldfoldError(
            "ids_not_aligned", f"{where} has {len(given)} ids for {len(predictions)} predictions: train the run again"
        )
    strangers = given[given.duplicated()].union(given.symmetric_difference(pd.Index(wanted)))
    if len(strangers):
        raise GoldfoldError(
            "ids_not_aligned",
            f"{where} must hold each row of its folds once, and id '{strangers[0]}' is repeated, missing or unknown: "
            "train the run again",
        )
    if list(given) == list(wanted):
        return predictions
    return predictions[given.get_indexer(pd.Index(wanted))]


def score_by_fold(members: Members, predictions: np.ndarray) -> dict[int, Scores]:
    """Fold -> scores of `predictions` (n, ...) there, for every metric."""
    found = {}
    for fold in members.folds:
        own = members.of_fold(fold)
        rows, part = members.rows.iloc[own].reset_index(drop=True), predictions[own]
        found[fold] = score_all(metrics_for(members.competition, part), rows, part)
    return found


def evaluate_methods(
    members: Members, methods: Mapping[str, Method] = METHODS
) -> Iterator[tuple[str, MethodResult | str]]:
    """Yield each method's name with its result, or with the reason why it cannot be used."""
    for name, method in methods.items():
        try:
            yield name, evaluate_method(members, name, method)
        except GoldfoldError as error:
            yield name, str(error)


def evaluate_method(members: Members, name: str, method: Method) -> MethodResult:
    """Evaluate one method on every fold.

    Raises:
        GoldfoldError: predictions, targets or metric do not fit the method.
    """
    check_method(method, members.task)
    folds, metric = members.folds, members.competition.metric
    known: dict[frozenset[int], Blender] = {}

    def learned(*left_out: int) -> Blender:
        key = frozenset(left_out) if method.learns else frozenset()
        if key not in known:
            known[key] = method.learn(members.task, members.outside(*key))
        return known[key]

    def fold_score(blender: Blender, fold: int) -> float:
        own = members.of_fold(fold)
        return score(metric, members.rows.iloc[own].reset_index(drop=True), _of(blender, members, own))

    parts = {fold: _of(learned(fold), members, members.of_fold(fold)) for fold in folds}
    oof = _joined(members, parts)
    scores = score_by_fold(members, oof)
    inner = {}
    for k, j in combinations(folds, 2) if len(folds) >= FEWEST_TO_CHOOSE else ():
        inner[k, j], inner[j, k] = (fold_score(learned(j, k), fold) for fold in (j, k))
    return MethodResult(
        method=name,
        oof=oof,
        scores=scores,
        in_sample={fold: fold_score(learned(), fold) for fold in folds},
        inner=inner,
        blenders={fold: learned(fold) for fold in folds} | {None: learned()},
    )


def _of(blender: Blender, members: Members, positions: np.ndarray) -> np.ndarray:
    return blender.apply([each[positions] for each in members.oof])


def _joined(members: Members, parts: Mapping[int, np.ndarray]) -> np.ndarray:
    """Merge the predictions of each fold's rows into one array in the order of all rows."""
    order = np.argsort(np.concatenate([members.of_fold(fold) for fold in parts]), kind="stable")
    return np.concatenate(list(parts.values()))[order]


def choose_blend(members: Members, trials: Sequence[MethodResult]) -> Blend:
    """Choose the best method by its out-of-fold scores; each fold is predicted by the method that the others choose.

    Two folds are too few to choose by: then the first of the results is used.
    """
    metric = members.competition.metric.name
    means = [{fold: each.scores[fold][metric] for fold in members.folds} for each in trials]
    if len(members.folds) < FEWEST_TO_CHOOSE:
        choice, final = dict.fromkeys(members.folds, trials[0]), trials[0]
    else:
        others = {fold: [_inner(each, fold) for each in trials] for fold in members.folds}
        choice = {fold: trials[best_index(members.competition.metric, values)] for fold, values in others.items()}
        final = trials[best_index(members.competition.metric, [fmean(values.values()) for values in means])]
    parts = {fold: own.oof[members.of_fold(fold)] for fold, own in choice.items()}
    return Blend(
        oof=_joined(members, parts),
        test=final.blenders[None].apply(members.test),
        scores={fold: own.scores[fold] for fold, own in choice.items()},
        by_fold={fold: own.method for fold, own in choice.items()},
        method=final.method,
    )


def _inner(own: MethodResult, left_out: int) -> float:
    return fmean(value for (fold, _), value in own.inner.items() if fold == left_out)


def best_index(metric: Metric, values: Sequence[float]) -> int:
    """The index of the best score, the first of equal ones."""
    sign = 1 if metric.higher_is_better else -1
    return int(np.argmax(np.round(sign * np.array(values), 12)))


def best_on_other_folds(members: Members, scores: Sequence[Mapping[int, float]]) -> dict[int, int]:
    """Fold -> index of the run that is best on the other folds; scores: fold -> score, one mapping for each run."""
    return {
        fold: best_index(
            members.competition.metric,
            [fmean(own[other] for other in members.folds if other != fold) for own in scores],
        )
        for fold in members.folds
    }


def error_correlations(members: Members) -> tuple[str, np.ndarray] | None:
    """What was correlated, and the (runs, runs) Pearson correlations: of row errors, or of ranks of predictions.

    None if the metric has no error of a single row and predictions are not one number per row.
    """
    row_error = members.competition.metric.options.row_error
    if row_error:
        values = [row_error(members.rows, each) for each in members.oof]
        what = "errors of rows"
    elif members.oof[0].ndim == 1 and members.oof[0].dtype.kind == "f":
        values = [pd.Series(each).rank().to_numpy() for each in members.oof]
        what = "ranks of predictions"
    else:
        return None
    return what, pd.DataFrame(dict(enumerate(values))).corr().to_numpy()
