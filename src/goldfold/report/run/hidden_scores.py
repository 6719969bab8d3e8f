"""Scores on hidden labels beside the validation scores: each fold's model, all combined, and the refit on all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from goldfold.experiment.run_folders import GRADE, REFIT
from goldfold.io.files import read_json
from goldfold.io.formatting import change, count, number, plain, relative_change
from goldfold.report.plotting.markdown import table

MODELS = ONE_FOLD, BEST, TOGETHER, ALL_ROWS = "one fold", "best fold", "folds combined", "refit"
COLUMNS = ("model", "hidden labels", "validation", "difference")


class HiddenScore(NamedTuple):
    """A model's score on the hidden labels. sd: ddof=1, over fits. validation: the score it is to be compared with."""

    score: float
    sd: float | None
    validation: float
    told: str


def scores(run: Path) -> dict[str, HiddenScore]:
    """Which model -> its score, by the competition's metric; empty if the run was not graded.

    The keys are those of `MODELS`: `ONE_FOLD` is a mean over fits, `BEST` the fit with the best validation score,
    `TOGETHER` the submission, and `ALL_ROWS` the refit; each where there is one.
    """
    if not (run / GRADE).exists():
        return {}
    graded, (metric, summary) = read_json(run / GRADE, dict), next(iter(read_json(run / "metrics.json").items()))
    cv, fits, found = summary["mean"], graded.get("fits", []), {}
    if fits:
        each = [fit["score"] for fit in fits]
        found[ONE_FOLD] = HiddenScore(fmean(each), stdev(each) if len(each) > 1 else None, cv, _told(len(fits)))
    if len(fits) > 1:
        own = [read_json(run / f"fold{fit['fold']}-seed{fit['seed']}" / "fit.json")["scores"][metric] for fit in fits]
        place = (max if summary["higher_is_better"] else min)(range(len(own)), key=own.__getitem__)
        told = f"fold {fits[place]['fold']} seed {fits[place]['seed']}, selected by its validation score"
        found[BEST] = HiddenScore(each[place], None, own[place], told)
    found[TOGETHER] = HiddenScore(graded["score"], None, cv, "the submission")
    if "refit" in graded:
        found[ALL_ROWS] = HiddenScore(graded["refit"], None, cv, "trained on all rows; its validation is the folds' CV")
    return found


def _told(fits: int) -> str:
    return f"each fold's model alone, mean ± sd (ddof=1) of {fits} fits" if fits > 1 else "the model of the only fit"


def text(run: Path) -> str:
    """The scores of a graded run for a terminal."""
    bounds = next(iter(read_json(run / "metrics.json").values()))["bounds"]
    lines = [table(COLUMNS, _rows(found := scores(run), bounds))]
    lines += [f"{model}: {each.told}" for model, each in found.items()]
    return "\n".join(lines)


def section(run: Path) -> str:
    """Markdown on the refit and on the hidden labels; empty if there is neither."""
    parts = [f"{refit_facts(read_json(run / REFIT, dict))}."] if (run / REFIT).exists() else []
    if found := scores(run):
        bounds = next(iter(read_json(run / "metrics.json").values()))["bounds"]
        parts.append(table(COLUMNS, _rows(found, bounds)))
        parts.append("\n".join(f"- {model}: {each.told}." for model, each in found.items()))
        if BEST in found:
            parts.append("The best fold was selected, so its validation score is optimistic: report the others.")
    return "\n\n".join(parts)


def _rows(found: Mapping[str, HiddenScore], bounds: Sequence[float]) -> list[list[str]]:
    rows = []
    for model, each in found.items():
        apart = each.score - each.validation
        difference = change(apart, relative_change(apart, each.validation), bounds)
        rows.append([model, score_text(each), number(each.validation), difference])
    return rows


def score_text(found: HiddenScore) -> str:
    """The score with its sd, if it has one."""
    return number(found.score) + ("" if found.sd is None else f" ± {number(found.sd)}")


def refit_facts(facts: Mapping[str, Any]) -> str:
    """One sentence on a refit, without its full stop. facts: of refit.json."""
    lengths = ", ".join(f"{count(epochs, 'epoch')} of {stage}" for stage, epochs in facts["epochs"].items())
    rule = {"median": ", the median of the folds", "same-steps": ", as many steps as in a fold"}
    trained = f" for {lengths}{rule.get(facts['epochs_by'], '')}" if lengths else ""
    own = f"Trained on all {facts['rows']:,} rows{trained}, with seeds {plain(facts['seeds'])}"
    together = ", combined with the models of the folds" if facts["with_folds"] else ""
    return f"{own}{together}; no row was held out, so its CV is that of the folds"
