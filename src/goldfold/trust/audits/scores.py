"""Audits of scores: against chance, an untrained baseline and luck, and what they were selected and measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.io.formatting import interval, number, signed_interval
from goldfold.trust.audits.findings import Finding, Level
from goldfold.trust.comparisons import difference
from goldfold.trust.permutations import MANY

if TYPE_CHECKING:
    from goldfold.competition import Metric
    from goldfold.optional_parts import PermutationTest

FEW = 10  # rows of the rarest class below which a score is always reported
FEWEST_EPOCHS = 3  # scored, from which the best one tells anything
SHOWN = 5  # fits whose choice is told
FEW_FOLDS = 3  # below this, the variance between folds is hardly known
SIGNIFICANCE = 0.05
ROUNDING = 1e-9


def worse_than_chance(name: str, summary: Mapping[str, Any]) -> list[Finding]:
    """Report a score that is not better than chance: below it, with chance inside its 95 % interval, or out of reach.

    summary: of the metric `name`, as in metrics.json. One or two folds are judged by how rows vary within them, since
    two scores do not tell how much folds do.
    """
    chance, mean, sign = summary["chance"], summary["mean"], 1 if summary["higher_is_better"] else -1
    best = summary.get("best_possible", summary["bounds"][summary["higher_is_better"]])
    if sign * (best - chance) <= ROUNDING:
        message = (
            f"{name} has the chance level {number(chance)}, which is the best possible score: any model reaches it on "
            "these rows, so it decides nothing. Judge by another metric, or by a larger gallery"
        )
        return [Finding("chance_is_best", "note", message, "all folds")]
    if sign * (mean - chance) <= 0:
        message = (
            f"{name} {mean:.4f} is no better than the chance level {chance:.4f}: a model that knows nothing does as "
            "well. Look for swapped labels, a wrong positive class, or training that did not happen"
        )
        return [Finding("worse_than_chance", "warning", message, "all folds")]
    edges, over = summary["interval_95"], "interval"
    if summary["n"] < FEW_FOLDS:
        edges, over = summary.get("interval_95_within_folds"), "interval over rows"
    if edges and edges[0] <= chance <= edges[1]:
        message = (
            f"{name} {number(mean)} is not significantly better than the chance level {number(chance)}: its 95 % "
            f"{over} is {interval(edges)}. Do not build on it before more folds, seeds or rows confirm it"
        )
        return [Finding("at_chance", "warning", message, "all folds")]
    return []


def training_rows_in_database(metric: Metric, summary: Mapping[str, Any]) -> list[Finding]:
    """Report a score of retrieval whose database holds the rows that the model trained on.

    summary: of the metric, as in metrics.json.
    """
    if metric.options.training_database is None:
        return []
    message = (
        f"{metric.name} is {number(summary['mean'])}, where queries search the rows that their model trained on, as in "
        "papers on hashing: compare it with papers alone, and judge the codes by the same metric of held-out rows"
    )
    return [Finding("training_rows_in_database", "note", message, "all folds")]


def pooled_apart(name: str, summary: Mapping[str, Any]) -> list[Finding]:
    """Report a pooled score outside the interval of the mean over folds, which lies outside the pooled score's, too.

    summary: of the metric `name`, as in metrics.json.
    """
    pooled, mean = summary.get("pooled"), summary["mean"]
    of_mean, of_pooled = summary["interval_95"], summary.get("pooled_interval_95")
    if pooled is None or not of_mean or not of_pooled:
        return []
    if of_mean[0] <= pooled <= of_mean[1] or of_pooled[0] <= mean <= of_pooled[1]:
        return []
    message = (
        f"{name} is {number(mean)} on average within folds and {number(pooled)} over all rows pooled, each outside the "
        "other's 95 % interval: predictions of different folds are not on one scale, so one threshold, a blend or a "
        "ranking across folds works less well than each fold says. Calibrate the predictions or blend them by ranks"
    )
    return [Finding("pooled_apart", "warning", message, "all folds")]


OWN_START = "the model it started from"  # as the reference of `below_untrained`


def below_untrained(
    name: str, summary: Mapping[str, Any], references: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """Report a trained run that is worse than a run without training, a warning, or not shown to differ, a note.

    With three folds or more the interval of the paired difference over folds decides, with fewer that over rows or
    groups (`row_gain_interval_95`), else the means: a note if the mean is not above.

    name: of the trained run. summary: of one metric, as in metrics.json. references: name -> summary of the same metric
        for each run without training.
    """
    findings = []
    for reference, own in references.items():
        verdict, how = _against_reference(summary, own)
        if verdict == "better":
            continue
        scores = f"its mean score {summary['mean']:.4f}", f"{own['mean']:.4f} of {reference}, which was not trained"
        message = f"{scores[0]} is not shown to differ from {scores[1]} ({how}): training may have gained nothing"
        level: Level = "note"
        if verdict == "worse":
            message = f"{scores[0]} is worse than {scores[1]} ({how}): training took something away"
            level = "warning"
        message += ". Use the untrained model, or lower the learning rate and check which pairs count as positive"
        findings.append(Finding("below_untrained", level, message, name))
    return findings


def _against_reference(summary: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[str, str]:
    """Whether a run is better or worse than a reference or not shown to differ, and by which interval."""
    found, of_rows = difference(summary, own), own.get("row_gain_interval_95")
    if found.folds >= FEW_FOLDS and found.interval:
        return found.verdict, f"95 % interval over {found.folds} folds {signed_interval(found.interval)}"
    if of_rows:
        how = f"95 % interval of what a row's error fell by {signed_interval(of_rows)}"
        return "better" if of_rows[0] > 0 else "worse" if of_rows[1] < 0 else "not shown to differ", how
    above = (summary["mean"] - own["mean"]) * (1 if summary["higher_is_better"] else -1) > 0
    few = "1 fold says" if found.folds == 1 else f"{found.folds} folds say"
    return "better" if above else "not shown to differ", f"{few} nothing of the spread over folds"


def selected_on_scored_fold(
    fits: Iterable[tuple[Sequence[Mapping[str, Any]], int]],
    higher_is_better: bool,
    by_hand: bool = False,
    averaged: Sequence[float] = (),
) -> list[Finding]:
    """Report epochs that were selected by the score they are reported with, and the difference to the last epoch.

    fits: histories, each with the number of the epoch that predicts. by_hand: whether the config names that number.
    averaged: the scores of the fits, if they predict with averages of several epochs.
    """
    gains = []
    for place, (history, epoch) in enumerate(fits):
        rows = [row for row in history if row["stage"] == history[-1]["stage"] and row["metric"] is not None]
        chosen = next((row["metric"] for row in rows if row["epoch"] == epoch), None)
        chosen = averaged[place] if averaged and rows else chosen
        if chosen is not None:
            gains.append(chosen - rows[-1]["metric"] if higher_is_better else rows[-1]["metric"] - chosen)
    if not gains and not by_hand:
        return []
    how = "each fold's epoch was selected by the score it is reported with"
    if averaged:
        how = "the epochs to average were selected by the score that is reported"
    if by_hand:
        what = "the epochs to average were" if averaged else "the epoch was"
        how = f"{what} named by hand, probably after the score on these folds was seen"
    difference = ""
    if gains:
        direction = "worse" if np.mean(gains) >= 0 else "better"
        difference = f" (the last epochs score {abs(np.mean(gains)):.4f} {direction} on average)"
    message = (
        f"{how}, so the score is optimistic{difference}: report select: last, selection by a monitored value, or a "
        "hold-out score"
    )
    return [_on_scored_fold(message)]


def chosen_on_scored_fold(chosen: Sequence[Mapping[str, Any]], higher_is_better: bool) -> list[Finding]:
    """Report a number that each fold chose by the score it is reported with, and by how much that flatters the score.

    chosen: of each fit, `Fit.chosen`; without entries if nothing was chosen. The other score is of the same model with
    the number that training rows chose.
    """
    if not any(chosen):
        return []
    gains = np.array([each["score"] - each["own_score"] for each in chosen]) * (1 if higher_is_better else -1)
    spread = f", sd {gains.std(ddof=1):.4f}" if len(gains) > 1 else ""
    first = chosen[0]
    numbers = ", ".join(f"{each['number']} instead of {each['own']}" for each in chosen[:SHOWN])
    more = ", ..." if len(chosen) > SHOWN else ""
    message = (
        f"each fold's {first['what']} was chosen by the score it is reported with ({numbers}{more}), which flatters it "
        f"by {gains.mean():.4f} on average over {len(gains)} fits{spread}: set {first['instead']}"
    )
    return [_on_scored_fold(message)]


def _on_scored_fold(message: str) -> Finding:
    return Finding("selected_on_scored_fold", "note", message, "all folds")


def first_epoch_best(
    name: str, histories: Iterable[Sequence[Mapping[str, Any]]], higher_is_better: bool
) -> list[Finding]:
    """Report a metric that is better after the first epoch than after any later one, in at least half of the fits.

    name: of the metric. histories: of the fits; those with fewer than three scored epochs of their last stage, or
        without a score of its first, are left out.
    """
    gaps, scored = [], 0
    for history in histories:
        rows = [row for row in history if row["stage"] == history[-1]["stage"] and row["metric"] is not None]
        if len(rows) < FEWEST_EPOCHS or rows[0]["epoch"] != 1:
            continue
        scored += 1
        first, *later = (row["metric"] if higher_is_better else -row["metric"] for row in rows)
        gaps += [first - later[-1]] if first > max(later) else []
    if not gaps or 2 * len(gaps) < scored:
        return []
    message = (
        f"in {len(gaps)} of {scored} fits {name} is best after epoch 1, and {number(float(np.mean(gaps)))} worse after "
        "the last: what later epochs learn does not help with rows that they have not seen. Lower the learning rate, "
        "regularize, or look for what only the training rows have"
    )
    return [Finding("first_epoch_best", "warning", message, "all folds")]


def tiny_sample(
    name: str, score: float, tested: PermutationTest | None, tries: int, where: str = "all folds"
) -> list[Finding]:
    """Report a score that rests on so few rows that luck may explain it.

    It is reported below 10 rows of the rarest class, and below 30 if the p-value, corrected for the number of `tries`
    by Bonferroni's bound (p x tries), exceeds 5 %.

    score: of all rows pooled, as it was tested. tested: its permutation test; None reports nothing. tries: runs x
        epochs x scores that were looked at before this one was reported.
    """
    if tested is None:
        return []
    corrected = min(1.0, tested.p_value * tries)
    if tested.smallest_class >= (MANY if corrected > SIGNIFICANCE else FEW):
        return []
    odds = f"once in {1 / tested.p_value:,.0f}" if tested.p_value > 1e-6 else "less than once in a million"
    message = (
        f"{name} {score:.4f} rests on {tested.smallest_class} rows of the rarest class: random predictions score as "
        f"well {odds}, and the best of {tries:,} (runs x epochs x scores looked at) with probability up to "
        f"{corrected:.2g}. Label more rows before this score decides anything"
    )
    return [Finding("tiny_sample", "warning", message, where)]


def proxy_only(metric: Metric) -> list[Finding]:
    """Report that the competition's own metric is computed on synthetic defects alone."""
    if not metric.options.proxy:
        return []
    message = (
        f"runs are ranked by {metric.name}, which is measured on synthetic defects alone: real ones may rank them "
        "otherwise. Label some real defects, or wait for the leaderboard"
    )
    return [Finding("proxy_validation", "warning", message, "all folds")]
