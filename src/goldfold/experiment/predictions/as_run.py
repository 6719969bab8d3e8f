"""What a run holds that is made of predictions alone, without models: an experiment, and the files of its fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from goldfold.competition import Competition, Fold, Recipe, Runtime, Tables
from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import Experiment, Fit, Protocol, fit_folder
from goldfold.experiment.scoring import metrics_for, score_all
from goldfold.io.files import write_json
from goldfold.optional_parts import ClassLabels, LabelColumns
from goldfold.params import Params
from goldfold.training.settings import LoopOptions


def experiment_of(
    competition: Competition,
    tables: Tables,
    folds: Sequence[Fold],
    protocol: Protocol,
    cache: Path,
    *,
    labels: ClassLabels | LabelColumns | None = None,
    classes: tuple | None = None,
) -> Experiment:
    """An experiment without models, from which a run is concluded.

    labels, classes: what the predictions are probabilities of, as `Recipe.labels` and `Runtime.classes`.
    """
    return Experiment(
        competition=competition,
        recipe=Recipe(params=Params, build=_no_model, labels=labels),
        params=Params(),
        loop=LoopOptions(),
        protocol=protocol,
        tables=tables,
        folds=folds,
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=cache, classes=classes),
    )


def _no_model(*_: Any) -> NoReturn:
    raise GoldfoldError(
        "run_has_no_models", "a run made of predictions has no models of its own to build: name a trained run"
    )


def fit_of(experiment: Experiment, fold: int, part: np.ndarray, scores: Mapping[str, float] | None = None) -> Fit:
    """A fold's predictions as a fit, without test predictions: those are of all folds together.

    scores: metric -> score, computed if they are not known.
    """
    rows = experiment.tables.train.iloc[experiment.folds[fold].validation].reset_index(drop=True)
    metrics = metrics_for(experiment.competition, part)
    known = dict(scores) if scores is not None else score_all(metrics, rows, part)
    chance = {metric.name: float(metric.chance(rows)) for metric in metrics}
    return Fit(fold, 0, known, chance, None, [], {}, part, np.empty(0))


def save_scores(fits: Sequence[Fit], run: Path, facts: Mapping[int, Mapping[str, Any]] | None = None) -> None:
    """Write each fold's scores where a run's fits are. facts: fold -> more keys of its fit.json."""
    for fit in fits:
        place = fit_folder(run, fit.fold, fit.seed)
        write_json(place / "history.json", fit.history)
        kept = {name: getattr(fit, name) for name in ("fold", "seed", "scores", "chance", "epoch", "facts")}
        write_json(place / "fit.json", {**kept, **(facts or {}).get(fit.fold, {})})
