"""Make one fit: a fold trained with one seed in its own folder, its predictions and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from pandas import DataFrame

from goldfold.competition import Plan
from goldfold.experiment import code_index
from goldfold.experiment.failures import explained
from goldfold.experiment.fits import initial_weights
from goldfold.experiment.fits.experiment import CHECKPOINTS, Experiment, build_plan, fit_folder, fit_keys, fold_numbers
from goldfold.experiment.fits.files import Fit, is_complete, keep, load_fit, save_fit
from goldfold.experiment.fits.tables import choose, importances, save_finished
from goldfold.experiment.fits.validation import Validation
from goldfold.experiment.scoring import metrics_for, metrics_of_index, score_all, score_in_index
from goldfold.io.clock import CLOCK
from goldfold.io.files import sweep_partials
from goldfold.io.progress import EpochProgress
from goldfold.io.random_states import preserved_states
from goldfold.io.seeding import derive
from goldfold.training import checkpoints, hard_examples
from goldfold.training.averaging import Averaging, average
from goldfold.training.distributed import from_first
from goldfold.training.epoch_selection import select_epoch
from goldfold.training.loop import train
from goldfold.training.predictor import Predictor, finish_plan
from goldfold.training.state import History

FitObserver = Callable[[int, int, EpochProgress], None]
PlanObserver = Callable[[Plan], None]


def fit(
    experiment: Experiment,
    folder: Path,
    fold: int,
    seed: int,
    observe: FitObserver | None = None,
    planned: PlanObserver | None = None,
) -> Fit:
    """Read a complete fit, resume an interrupted one, or make a new one in its folder below `folder`.

    planned: called with the plan before it is trained.
    """
    place = fit_folder(folder, fold, seed)
    if not from_first(is_complete(place)):  # one answer for all: later processes may already see the first one's files
        watch = partial(observe, fold, seed) if observe else None
        with CLOCK.apart() as spent, explained(f"fold {fold} seed {seed}", experiment.competition.slug):
            done = _fit(experiment, fold, seed, place, watch, planned)
        save_fit(done, place, spent)
    if dist.is_initialized():
        dist.barrier()  # until the first process has written it
    return load_fit(place)


def _fit(
    experiment: Experiment,
    number: int,
    seed: int,
    place: Path,
    observe: Callable[[EpochProgress], None] | None,
    planned: PlanObserver | None,
) -> Fit:
    """Build, train and finish a plan, then predict and score."""
    sweep_partials(place)
    with CLOCK.phase("prepare"):
        plan, held_out = build_plan(experiment, number, seed)
    keep(plan, place)
    initial_weights.load(experiment, plan, number, seed, place)
    if planned:
        planned(plan)
    train_rows = experiment.tables.train.iloc[experiment.folds[number].train]
    added = len(experiment.lessons.sure(number)) if experiment.lessons else 0
    examples = hard_examples.of_plan(plan, train_rows, experiment.loop.hard_examples, place, added)
    history: History = []
    facts: dict[str, Any] = {}
    epoch, untrained, validation = None, {}, Validation(experiment, plan, held_out)
    if plan.stages:
        untrained = _untrained(experiment, plan, held_out)
        with CLOCK.phase("training"):
            history, facts = train(
                plan,
                loop=experiment.loop,
                device=experiment.runtime.device,
                folder=place / CHECKPOINTS,
                keep_every=experiment.protocol.debug,
                validate=validation.scores,
                higher_is_better=experiment.competition.metric.higher_is_better,
                observe=observe,
                examples=examples,
            )
    if history:
        epoch = _select(plan, history, experiment, place / CHECKPOINTS, validation)
    predict, predictions = validation.last or (validation.finished(plan.model), None)
    predict, chosen = choose(experiment.competition, predict, held_out)
    save_finished(plan, predict.finished, place)
    index = code_index.of_fit(predict, train_rows, experiment.recipe.labels, experiment.runtime.classes)
    known = {"fold": number, "seed": seed, "epoch": epoch, "history": history, "facts": facts}
    known |= {"index": index, "chosen": chosen, **untrained}
    scored = predict_and_score(experiment, predict, held_out, known, None if chosen else predictions)
    own = scored.scores[experiment.competition.metric.name]
    important = importances(experiment.competition, predict, held_out, own, derive(seed, "fold", number))
    return replace(scored, importances=important, probed=_probed(experiment, predict, held_out, scored))


def _probed(experiment: Experiment, predict: Predictor, held_out: DataFrame, scored: Fit) -> dict[str, Any]:
    """What the plan of a run's first fit finds out about itself; random states are restored."""
    if (scored.fold, scored.seed) != fit_keys(experiment)[0]:
        return {}
    numbers = fold_numbers(experiment.protocol, experiment.folds)
    validated = sum(len(experiment.folds[number].validation) for number in numbers)
    with preserved_states():
        return dict(predict.probe(held_out, scored.validation, validated + len(experiment.tables.test)))


def _untrained(experiment: Experiment, plan: Plan, held_out: DataFrame) -> dict[str, Any]:
    """Scores and errors of a plan's model before its first step, which training has to beat; only of embeddings.

    Other models predict nothing before they are trained. Random states are restored.
    """
    competition = experiment.competition
    trains = any(stage.epochs for stage in plan.stages)
    if competition.metric.retrieval is None or plan.model is None or not trains:
        return {}
    with preserved_states():
        model = plan.model.to(experiment.runtime.device)
        predictions = finish_plan(plan, model, competition.targets, experiment.loop.precision)(held_out)
        found: dict[str, Any] = {"untrained": score_all(metrics_for(competition, predictions), held_out, predictions)}
        if error := competition.metric.options.row_error:
            found["untrained_errors"] = error(held_out, predictions)
        return found


def predict_and_score(
    experiment: Experiment,
    predict: Predictor,
    held_out: DataFrame,
    known: Mapping[str, Any],
    validation: np.ndarray | None = None,
) -> Fit:
    """Predict with a finished plan, score it, and return the fit.

    known: the other fields of the fit: fold, seed, epoch, history, facts, index. validation: the predictions of the
    rows held out, if they are known.
    """
    competition, validation = experiment.competition, predict(held_out) if validation is None else validation
    metrics = metrics_for(competition, validation)
    scores = score_all(metrics, held_out, validation)
    chance = {metric.name: float(metric.chance(held_out)) for metric in metrics}
    training = experiment.tables.train.iloc[experiment.folds[known["fold"]].train].reset_index(drop=True)
    for metric in metrics_of_index(competition, validation) if known["index"] else ():
        found = score_in_index(metric, held_out, validation, training, known["index"])
        scores[metric.name], chance[metric.name] = found
    test = predict(experiment.tables.test)
    return Fit(**known, scores=scores, chance=chance, validation=validation, test=test)


def _select(plan: Plan, history: History, experiment: Experiment, folder: Path, validation: Validation) -> int:
    """Load the weights of the selected epoch, or of the average, into the plan's model; returns the epoch's number.

    Where they are not those of the last epoch, what its validation predicted is forgotten.
    """
    higher = experiment.competition.metric.higher_is_better
    if experiment.loop.average:
        validation.last = None
        return average(Averaging(plan, experiment.loop, folder, validation.scores, higher), history[-1]["epoch"])
    row = select_epoch(history, experiment.loop.select, higher)
    if row is not history[-1]:
        validation.last = None
        saved = {(c.row["stage"], c.row["epoch"]): c for c in checkpoints.list_checkpoints(folder)}
        assert plan.model is not None, "a fit with a history has a model"
        checkpoints.load_weights(saved[row["stage"], row["epoch"]], plan.model)
    return row["epoch"]
