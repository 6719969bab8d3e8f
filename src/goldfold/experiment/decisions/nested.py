"""Fit a decision on all out-of-fold rows for the test rows, and nested for its score; what choosing flatters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from goldfold.data.fold_tables import folds_to_table
from goldfold.experiment.decisions.block import Chosen, choose
from goldfold.experiment.decisions.search import Fitted, Task, fit
from goldfold.experiment.early_checks import class_order
from goldfold.experiment.failures import explained
from goldfold.experiment.fits import Experiment, fold_numbers
from goldfold.experiment.intervals.limits import fold_statistics

if TYPE_CHECKING:
    from goldfold.competition import Competition, Tables
    from goldfold.experiment.config import Config
    from goldfold.experiment.cross_validation import Outcome

SCORES = ("without", "nested", "same_rows")


class FoldRows(NamedTuple):
    """Positions of the out-of-fold rows of a fold, and of those of the other folds."""

    fold: int
    own: np.ndarray
    others: np.ndarray


def each_fold(experiment: Experiment, rows: np.ndarray) -> Iterator[FoldRows]:
    """The rows of each fitted fold against the others; rows: positions in the train table that were out of fold."""
    folds = folds_to_table(experiment.tables.train["id"].tolist(), experiment.folds)["fold"].to_numpy()[rows]
    for fold in np.unique(folds).tolist():
        yield FoldRows(fold, np.flatnonzero(folds == fold), np.flatnonzero(folds != fold))


def check_decisions(competition: Competition, config: Config, tables: Tables, folds: int) -> None:
    """Check a config's `decide:` before anything is trained. folds: number of folds that are fitted.

    Raises:
        GoldfoldError: as `block.choose`; the recipe predicts something else than the decision takes.
    """
    chosen, recipe = choose(competition, config.decide, folds), competition.recipes[config.recipe]
    if chosen is None or recipe.example is None:
        return
    rows = tables.train.drop(columns=list(competition.targets), errors="ignore").head(2).reset_index(drop=True)
    example = recipe.example(config.params, len(rows), class_order(competition, recipe, tables.train))
    with explained("the decision", competition.slug, rows):
        chosen.decision.apply(rows, example, chosen.plain())


def chosen_by(experiment: Experiment) -> Chosen | None:
    """What the config's `decide:` asks for; None without it. Raises as `block.choose`."""
    return choose(experiment.competition, experiment.decide, len(fold_numbers(experiment.protocol, experiment.folds)))


def facts(experiment: Experiment, whole: Outcome) -> dict[str, Any]:
    """What decisions.json holds; empty without `decide:`.

    values: of every parameter, fitted on all out-of-fold rows, for the test rows. folds: fold -> values fitted on the
    other folds, and scores of the fold: `without` a decision, `nested` at these values, `same_rows` at the values
    fitted on all rows, this fold included. without, nested, same_rows: these scores over folds. applied: whether the
    submission is written at the values.
    """
    chosen = chosen_by(experiment)
    if chosen is None:
        return {}
    train, competition = experiment.tables.train, experiment.competition
    rows = train.iloc[whole.rows].reset_index(drop=True)
    task = Task(chosen, rows, rows.drop(columns=list(competition.targets), errors="ignore"), whole.oof)
    final = fit(task, np.arange(len(rows)))
    by_fold = {
        str(each.fold): _of_fold(task, each, fit(task, each.others), final)
        for each in each_fold(experiment, whole.rows)
    }
    share = whole.metrics[chosen.metric.name]["validation_per_training_row"]
    return {
        "metric": chosen.metric.name,
        "applied": chosen.metric.name == competition.metric.name or competition.submission.at_thresholds,
        "columns": list(chosen.decision.columns),
        "parameters": _parameters(chosen),
        "values": final.values,
        "tried": final.tried,
        "folds": by_fold,
        **{name: _over_folds(chosen, by_fold, name, share) for name in SCORES},
    }


def beside(metrics: Mapping[str, dict[str, Any]], decided: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The summaries of metrics, that of the decided metric with its nested score as `decided`.

    decided: as `facts`; empty without `decide:`.
    """
    found = dict(metrics)
    if decided:
        kept = {key: decided["nested"][key] for key in ("folds", "n", "mean", "sd_ddof1", "interval_95")}
        values = {name: decided["values"][name] for name in decided["parameters"]}
        found[decided["metric"]] = {**found[decided["metric"]], "decided": {**kept, "values": values}}
    return found


def _of_fold(task: Task, rows: FoldRows, learned: Fitted, final: Fitted) -> dict[str, Any]:
    values = {"without": task.chosen.plain(), "nested": learned.values, "same_rows": final.values}
    scores = {name: task.score(each, rows.own) for name, each in values.items()}
    return {"values": learned.values, "tried": learned.tried, **scores}


def _over_folds(chosen: Chosen, by_fold: Mapping[str, Any], name: str, share: float) -> dict[str, Any]:
    """Scores over folds, as `trust.comparisons.difference` takes them."""
    scores = {fold: own[name] for fold, own in by_fold.items()}
    return {
        "folds": scores,
        **fold_statistics(list(scores.values()), chosen.metric.bounds),
        "higher_is_better": chosen.metric.higher_is_better,
        "bounds": list(chosen.metric.bounds),
        "validation_per_training_row": share,
    }


def _parameters(chosen: Chosen) -> dict[str, dict[str, Any]]:
    """The fitted parameters: plain value, and candidates, none for one with a search of its own."""
    found: dict[str, dict[str, Any]] = {}
    for name in chosen.decision.parameters:
        tried = [each for each in chosen.coordinates if each.name == name]
        if not tried and name not in chosen.searched:
            continue
        plain = chosen.decision.parameters[name].plain
        candidates: Sequence[Any] = list(dict.fromkeys(value for each in tried for value in each.candidates))
        columns = [chosen.decision.columns[each.column] for each in tried if each.column is not None]
        found[name] = {"plain": plain, "candidates": candidates or None, "columns": columns}
    return found
