"""Importances of features, and choices by the scored fold, whose labels the engine alone has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pandas import DataFrame

from goldfold.competition import Competition, Metric, Plan
from goldfold.io.files import read_json, write_bytes, write_json
from goldfold.io.seeding import derive
from goldfold.training.distributed import is_writer
from goldfold.training.predictor import Predictor


def save_finished(plan: Plan, finished: Any, place: Path) -> None:
    """Write what a finished plan saves into the folder of its fit; of a distributed run the first process writes."""
    if plan.saved is None or not is_writer():
        return
    for name, content in plan.saved(plan.model, finished).items():
        write_bytes(place / name, content) if isinstance(content, bytes) else write_json(place / name, content)


def choose(competition: Competition, predict: Predictor, held_out: DataFrame) -> tuple[Predictor, dict[str, Any]]:
    """Let the scored fold choose, if a plan asks for it.

    Returns the predictor with the choice, and facts: `what`, `instead`, `number`, `own` (the number that training rows
    chose), `score`, `own_score`; without facts if there is nothing to choose.
    """
    choice = predict.plan.chosen_on_scored_fold
    if choice is None:
        return predict, {}
    metric, targets = competition.metric, list(competition.targets)
    offered = choice.offered(predict.finished, held_out.drop(columns=targets))
    scores = {number: metric.score(held_out, predictions) for number, predictions in offered.items()}
    best = max(scores, key=lambda number: scores[number] if metric.higher_is_better else -scores[number])
    own = choice.own(predict.finished)
    told = {"what": choice.what, "instead": choice.instead, "number": best, "own": own}
    told |= {"score": float(scores[best]), "own_score": float(scores[own])}
    return _using(predict, best), told


def choose_again(predict: Predictor, place: Path) -> Predictor:
    """The predictor with the choice that the fit in a folder made, if it made any."""
    if predict.plan.chosen_on_scored_fold is None or not (place / "fit.json").exists():
        return predict
    return _using(predict, read_json(place / "fit.json", dict)["chosen"]["number"])


def _using(predict: Predictor, number: int) -> Predictor:
    assert predict.plan.chosen_on_scored_fold is not None, "only a plan with a choice has a number to use"
    return replace(predict, finished=predict.plan.chosen_on_scored_fold.use(predict.finished, number))


def importances(
    competition: Competition, predict: Predictor, held_out: DataFrame, score: float, seed: int
) -> dict[str, Mapping[str, float]]:
    """Kind -> feature -> importance in one fit; without kinds if the plan does not measure any.

    `gain`: share of what splits on the feature lowered the training loss by. `permutation`: by how much the score of
    the validation rows gets worse where the feature is shuffled among them (Breiman 2001), the mean over shuffles.
    `contribution`: mean absolute SHAP value on the validation rows.

    score: of the validation rows, by the competition's metric. seed: of the shuffles.
    """
    asked = predict.plan.importances
    if asked is None:
        return {}
    names, found = asked.names(predict.finished), {}
    gain = asked.gain(predict.finished) if asked.gain else np.empty(0)
    if len(gain):
        found["gain"] = gain / max(float(gain.sum()), np.finfo(float).tiny)
    features = asked.features(predict.finished, held_out.drop(columns=list(competition.targets)))
    if asked.permutations:
        found["permutation"] = _permuted(competition.metric, predict, held_out, features, score, seed)
    if asked.contributions:
        found["contribution"] = asked.contributions(predict.finished, features)
    return {kind: dict(zip(names, map(float, values), strict=True)) for kind, values in found.items()}


def _permuted(
    metric: Metric, predict: Predictor, held_out: DataFrame, features: np.ndarray, score: float, seed: int
) -> np.ndarray:
    """By how much the score gets worse where each feature is shuffled, float64 (features,)."""
    asked, sign = predict.plan.importances, 1 if metric.higher_is_better else -1
    assert asked is not None, "only a plan with importances is shuffled"
    worse = np.zeros((asked.permutations, features.shape[1]))
    for at in range(features.shape[1]):
        random = np.random.default_rng(derive(seed, "permutation", at))
        shuffled = features.copy()
        for repeat in range(asked.permutations):
            shuffled[:, at] = random.permutation(features[:, at])
            with torch.no_grad():
                worse[repeat, at] = metric.score(held_out, asked.predict(predict.model, predict.finished, shuffled))
    return sign * (score - worse.mean(axis=0))
