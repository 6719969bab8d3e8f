"""What the audits of a finished run looked at, with the findings of each check, and why not at the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.experiment.cross_validation import Outcome
from goldfold.experiment.fits import Experiment, Fit
from goldfold.experiment.views_and_seeds import predictor_of
from goldfold.trust import audits
from goldfold.trust.audits import Check, Finding, made, not_made
from goldfold.trust.run_audits import probabilities

PREDICTED = 256  # validation rows that are predicted again
WHAT, CODES = "predictions that depend on the rows beside them", ("batch_dependent_predictions",)
NOT_IN_TRAINING = not_made(WHAT, CODES, "make audit RUN=... predicts again")
WITHOUT_MODELS = not_made(WHAT, CODES, "the run has no models of its own, which would predict again")
WITHOUT_WEIGHTS = ("fit_without_weights", "epoch_weights_missing")


def of_run(experiment: Experiment, fits: Sequence[Fit], whole: Outcome, findings: Sequence[Finding]) -> list[Check]:
    """The checks behind the findings of `run_audits.after_training`; other codes are checks of their own."""
    checks = []
    for what, codes, why in _looked_at(experiment, fits, whole):
        found = [each for each in findings if each.code in codes]
        checks.append(not_made(what, codes, why) if why and not found else made(what, codes, found))
    known = {code for check in checks for code in check.codes}
    others = dict.fromkeys(each.code for each in findings if each.code not in known)
    return checks + [made(code, [code], [each for each in findings if each.code == code]) for code in others]


def of_decision(decided: Mapping[str, Any]) -> Check:
    """What a decision gains, and how far choosing it flatters. decided: decisions.json; empty without `decide:`."""
    what, codes = "decisions that do not help, or flatter where they were chosen", audits.OF_DECISIONS
    return (
        made(what, codes, audits.decisions(decided)) if decided else not_made(what, codes, "the config has no decide:")
    )


def _looked_at(experiment: Experiment, fits: Sequence[Fit], whole: Outcome) -> list[tuple[str, tuple[str, ...], str]]:
    """What `run_audits.after_training` looks at: in words, the codes, and why not at this run, if so."""
    competition, train = experiment.competition, experiment.tables.train
    epochs = "" if any(fit.history for fit in fits) else "the recipe trains nothing by epochs"
    labeled = any(train[target].astype(str).nunique() > 1 for target in competition.targets)
    chance = "" if labeled or competition.metric.options.proxy else "no target has two values"
    summary = whole.metrics[competition.metric.name]
    return [
        (
            "parameters in no optimizer, outside the model, without gradient or never stepped",
            ("orphan_parameter", "parameter_outside_model", "no_gradient", "optimizer_never_stepped"),
            epochs,
        ),
        ("loss terms that train nothing", ("dead_loss_term", "one_loss_term"), epochs),
        ("features of losses that are the same for every sample", ("constant_feature",), epochs),
        ("learning rates as configured", ("lr_per_group", "lr_swings", "schedule_not_finished"), epochs),
        ("losses against learning nothing", ("did_not_learn",), epochs or _unless(fits, _knows_untrained)),
        ("collapsed outputs or features", ("collapse",), epochs),
        ("scores against chance", ("worse_than_chance", "at_chance", "chance_is_best"), chance),
        ("pooled scores against folds", ("pooled_apart",), chance or _not_pooled(experiment, summary)),
        ("scores against the untrained model", ("below_untrained",), _without_start(summary)),
        ("first epochs that are the best", ("first_epoch_best",), epochs),
        ("choices of the scored fold", ("selected_on_scored_fold",), "" if any(fit.chosen for fit in fits) else epochs),
        ("training rows that are searched", ("training_rows_in_database",), ""),
        ("luck in few rows", ("tiny_sample",), _not_pooled(experiment, summary)),
        ("scores of synthetic defects", ("proxy_validation",), ""),
        ("sizes of synthetic defects that are missed", ("small_defects_missed",), _without_sizes(fits)),
        ("texts that lost their end", ("texts_cut",), _without_texts(fits)),
        ("references that are not aligned", ("unaligned_references",), _without_references(whole)),
        ("labels that predictions contradict", ("doubtful_labels",), _without_probabilities(experiment, whole)),
    ]


def _unless(fits: Sequence[Fit], test: Callable[[Fit], str]) -> str:
    """The reason that all fits have; empty if one has none."""
    reasons = [test(fit) for fit in fits]
    return "" if "" in reasons else reasons[0]


def _knows_untrained(fit: Fit) -> str:
    known = any(stage.get("untrained_loss") for stage in fit.facts.values())
    return "" if known else "no stage of the recipe knows its loss without learning"


def _not_pooled(experiment: Experiment, summary: Mapping[str, Any]) -> str:
    pooled = "pooled" in summary and experiment.recipe.pooled
    return "" if pooled else "predictions of different folds are not pooled"


def _without_start(summary: Mapping[str, Any]) -> str:
    known = "untrained" in summary
    return "" if known else "only embeddings are scored before training"


def _without_sizes(fits: Sequence[Fit]) -> str:
    known = any("defect_sizes" in fit.probed for fit in fits)
    return "" if known else "only a patch library of one class is probed, if it predicts 260 images or more"


def _without_texts(fits: Sequence[Fit]) -> str:
    known = any("texts_cut" in fit.probed for fit in fits)
    return "" if known else "only recipes with an encoder of texts count their tokens"


def _without_references(whole: Outcome) -> str:
    known = "aligned" in (whole.oof.dtype.names or ())
    return "" if known else "only a patch library with `reference` aligns images"


def _without_probabilities(experiment: Experiment, whole: Outcome) -> str:
    return "" if probabilities(experiment, whole) is not None else "the recipe predicts no probabilities of one label"


def batch_dependence(experiment: Experiment, run: Path, fit: Fit) -> Check:
    """Predict validation rows of a fit again, together and in two halves. A recipe without epochs is fitted again."""
    try:
        predict, held_out = predictor_of(experiment, run, fit)
    except GoldfoldError as error:
        if error.code not in WITHOUT_WEIGHTS:
            raise
        return not_made(WHAT, CODES, "the run has not kept the weights that predict")
    rows = held_out.iloc[:PREDICTED]
    if len(rows) < 4:
        return not_made(WHAT, CODES, f"fold {fit.fold} validates on fewer than 4 rows")
    whole = predict(rows.reset_index(drop=True))
    in_halves = np.empty_like(whole)
    for start in (0, 1):
        in_halves[start::2] = predict(rows.iloc[start::2].reset_index(drop=True))
    found = audits.batch_dependent_predictions(whole, in_halves, f"fold {fit.fold} seed {fit.seed}")
    return made(f"{WHAT} ({len(rows):,} rows of fold {fit.fold})", CODES, found)
