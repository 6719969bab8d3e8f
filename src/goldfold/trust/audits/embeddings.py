"""Audits of embeddings: losses no better than without learning, and near-duplicates that make any model look good."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.data import neighbors
from goldfold.trust.audits.findings import Finding

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Fold
    from goldfold.optional_parts import Neighbors, Pairs

BEYOND = 3  # standard deviations of an epoch's mean by which a loss must be below what it is without learning
ENOUGH = 6  # epochs from which it is told whether a loss stood still
AT_ONCE = 4_000_000  # pairs of a query and an answer looked at together


def did_not_learn(facts: Mapping[str, Any], history: Sequence[Mapping[str, Any]], where: str) -> list[Finding]:
    """Stages whose best epoch cannot be told from one in which nothing has been learned, or whose loss stood still.

    facts: stage -> "untrained_loss", if known: {term: [value, sd]}, the term's mean over an epoch without learning and
    the standard deviation of that mean. history: rows with `stage`, `epoch` and `loss`, {term: mean of the epoch}.
    A term has learned once an epoch's mean lies more than 3 sd below the value, which may be that of random embeddings.
    A network is better than those as it is built, so that of 6 epochs or more the first must also lie above the median
    of the later half by more than 3 sd of their noise, taken from their differences (von Neumann 1941).
    """
    findings = []
    for stage, noted in facts.items():
        rows = [row for row in history if row["stage"] == stage]
        for term, (value, sd) in noted.get("untrained_loss", {}).items() if rows else ():
            told = _no_progress(term, [row["loss"][term] for row in rows], value, sd)
            if told:
                message = f"{told}: look at what counts as alike, at the learning rate and at what is frozen"
                findings.append(Finding("did_not_learn", "warning", message, f"{where}, stage {stage}"))
    return findings


def _no_progress(term: str, losses: Sequence[float], value: float, sd: float) -> str:
    """How a stage's losses, one an epoch, show that nothing was learned; empty where they do not."""
    best, later = int(np.argmin(losses)), np.array(losses[len(losses) // 2 :])
    if not losses[best] < value - BEYOND * sd:
        return (
            f"best {term} {losses[best]:.4f} in epoch {best + 1} of {len(losses)}, and where nothing has been learned "
            f"it is {value:.4f} ± {sd:.4f} (sd of an epoch's mean)"
        )
    if len(losses) < ENOUGH:
        return ""
    noise = math.sqrt(np.mean(np.diff(later) ** 2) / 2)
    if losses[0] - np.median(later) > BEYOND * noise:
        return ""
    return (
        f"{term} stood still, {losses[0]:.4f} in the first epoch and {np.median(later):.4f} in the median of the last "
        f"{len(later)}, which differ by {noise:.4f} (sd) among themselves"
    )


def neighbor_leakage(folds: Sequence[Fold], rows: DataFrame, close: Neighbors) -> list[Finding]:
    """Find validation rows with a near-duplicate among the training rows: of the same sequence, within the guard.

    rows: the train table, to whose positions folds refer, with `id` and the columns that `close` names; a row without
    sequence or time has no neighbors.
    """
    line = neighbors.of_table(rows, close)
    findings = []
    for number, fold in enumerate(folds):
        near = line.windows(close.guard, fold.validation, fold.train)
        leaking = np.flatnonzero(near.any())
        if len(leaking):
            first = fold.validation[leaking[0]]
            twin, _ = line.nearest(first, near.of(leaking[0]))
            message = (
                f"{len(leaking):,} of {len(fold.validation):,} scored rows have a training row within "
                f"{close.guard:g} of their '{close.time}' in the same '{close.sequence}', first id "
                f"{_id(rows, first)!r} beside {_id(rows, twin)!r}: split by '{close.sequence}', or leave a gap"
            )
            findings.append(Finding("neighbor_leakage", "error", message, f"fold {number}"))
    return findings


def neighbor_ranked(pairs: Pairs, rows: DataFrame, close: Neighbors, where: str = "all folds") -> list[Finding]:
    """Find queries that are ranked against a near-duplicate of themselves, or against themselves: any model finds it.

    rows: those whose positions `pairs` names, with `id` and the columns that `close` names.
    """
    near = neighbors.of_table(rows, close).windows(close.guard, pairs.queries, pairs.gallery)
    count, first = 0, None
    for part in _parts(pairs):
        ranked = near.pairs(part) & ~pairs.left_out(part)
        found = np.flatnonzero(ranked.any(axis=1))
        count += len(found)
        if first is None and len(found):
            first = pairs.queries[part][found[0]], pairs.gallery[ranked[found[0]].argmax()]
    if first is None:
        return []
    query, answer = (_id(rows, position) for position in first)
    message = (
        f"{count:,} of {len(pairs.queries):,} queries are ranked against a row within {close.guard:g} of their "
        f"'{close.time}' in the same '{close.sequence}', first id {query!r} with {answer!r}: near-duplicates make any "
        "model look perfect, leave them out of the gallery"
    )
    return [Finding("neighbor_ranked", "error", message, where)]


def below_untrained(
    name: str, summary: Mapping[str, Any], references: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """A trained run, called `name`, whose mean is not above that of a run in which nothing was trained.

    summary: of one metric, as metrics.json has it. references: name -> the same metric's summary of each such run.
    """
    sign = 1 if summary["higher_is_better"] else -1
    findings = []
    for reference, own in references.items():
        if not sign * (summary["mean"] - own["mean"]) > 0:
            message = (
                f"{summary['mean']:.4f} is no better than {own['mean']:.4f} of {reference}, in which nothing was "
                "trained: its training did not pay"
            )
            findings.append(Finding("below_untrained", "warning", message, name))
    return findings


def _parts(pairs: Pairs) -> Iterator[slice]:
    """Slices of the queries, so that each makes few enough pairs."""
    step = max(1, AT_ONCE // max(1, len(pairs.gallery)))
    for start in range(0, len(pairs.queries), step):
        yield slice(start, min(start + step, len(pairs.queries)))


def _id(rows: DataFrame, position: int) -> Any:
    return rows["id"].tolist()[position]
