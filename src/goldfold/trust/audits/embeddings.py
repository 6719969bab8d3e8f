"""Audits of embeddings: losses that say nothing was learned, near-duplicates that make any model look good."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldfold.errors import GoldfoldError, unknown
from goldfold.trust.audits.findings import Finding

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Fold
    from goldfold.optional_parts import Neighbours, Pairs

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


def neighbours(folds: Sequence[Fold], rows: DataFrame, close: Neighbours) -> list[Finding]:
    """Validation rows whose near-duplicates are trained on: rows of the same sequence within the guard.

    rows: the train table, to whose positions folds refer, with `id` and the columns that `close` names; a row whose
    sequence or time is missing has no neighbours.
    """
    sequence, time = _placed(rows, close)
    findings = []
    for number, fold in enumerate(folds):
        distance, nearest = _nearest_trained(sequence, time, fold)
        leaking = np.flatnonzero(distance <= close.guard + _rounding(time))
        if len(leaking):
            first, twin = fold.validation[leaking[0]], nearest[leaking[0]]
            message = (
                f"{len(leaking):,} of {len(fold.validation):,} scored rows have a row that is trained on within "
                f"{close.guard:g} of their '{close.time}' in the same '{close.sequence}', first id "
                f"{_id(rows, first)!r} beside {_id(rows, twin)!r}: split by '{close.sequence}', or leave a gap"
            )
            findings.append(Finding("neighbour_leakage", "error", message, f"fold {number}"))
    return findings


def neighbours_ranked(pairs: Pairs, rows: DataFrame, close: Neighbours, where: str = "all folds") -> list[Finding]:
    """Queries whose answers hold a near-duplicate of themselves, or the query itself: any model finds those.

    rows: those whose positions `pairs` names, with `id` and the columns that `close` names.
    """
    sequence, time = _placed(rows, close)
    guard, count, first = close.guard + _rounding(time), 0, None
    for part in _parts(pairs):
        asking = pairs.queries[part]
        near = _within(sequence, time, asking, pairs.gallery, guard) & ~pairs.left_out(part)
        found = np.flatnonzero(near.any(axis=1))
        count += len(found)
        if first is None and len(found):
            first = asking[found[0]], pairs.gallery[near[found[0]].argmax()]
    if first is None:
        return []
    query, answer = (_id(rows, position) for position in first)
    message = (
        f"{count:,} of {len(pairs.queries):,} queries may answer with a row within {close.guard:g} of their "
        f"'{close.time}' in the same '{close.sequence}', first id {query!r} with {answer!r}: near-duplicates make any "
        "model look perfect, leave them out of the answers"
    )
    return [Finding("neighbour_ranked", "error", message, where)]


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


def _placed(rows: DataFrame, close: Neighbours) -> tuple[np.ndarray, np.ndarray]:
    """Each row's sequence as a code, int64, and its time, float64: nan where one of both is missing.

    Raises:
        GoldfoldError: there is no such column, or times are no numbers.
    """
    for column in (close.sequence, close.time):
        if column not in rows:
            raise unknown("column by which rows are neighbours", column, map(str, rows.columns))
    if rows[close.time].dtype.kind not in "iuf":
        raise GoldfoldError(
            f"the guard of neighbours is a number, and so must be '{close.time}', which is {rows[close.time].dtype}: "
            "turn it into seconds or frame numbers in load()"
        )
    codes, _ = pd.factorize(rows[close.sequence])
    return codes, np.where(codes < 0, np.nan, rows[close.time].to_numpy(np.float64, na_value=np.nan))


def _rounding(time: np.ndarray) -> float:
    """What differences of times may be off by: 0.3 and 0.4 are 0.1 apart, as `retrieval.by_time` has it too."""
    known = np.abs(time[np.isfinite(time)])
    return 4 * float(np.spacing(known.max())) if len(known) else 0.0


def _nearest_trained(sequence: np.ndarray, time: np.ndarray, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """For each validation row how far in time the nearest trained row of its sequence is, inf if none, and which."""
    positions = np.concatenate([fold.train, fold.validation])
    order = np.lexsort((time[positions], sequence[positions]))
    place, trained = np.arange(len(order)), order < len(fold.train)
    before = np.maximum.accumulate(np.where(trained, place, -1))
    after = np.minimum.accumulate(np.where(trained, place, len(order))[::-1])[::-1]
    sequence, time, positions = (each[order] for each in (sequence[positions], time[positions], positions))
    distances, ends = [], []
    for end in (before, after):
        end = end.clip(0, len(order) - 1)
        apart = np.where((sequence[end] == sequence) & trained[end], np.abs(time[end] - time), np.inf)
        distances.append(apart)
        ends.append(positions[end])
    nearest = np.where(distances[1] < distances[0], ends[1], ends[0])
    back = np.empty(len(order), np.int64)
    back[order] = place
    asked = back[len(fold.train) :]
    return np.fmin(*distances)[asked], nearest[asked]


def _parts(pairs: Pairs) -> Iterator[slice]:
    """Slices of the queries, so that each makes few enough pairs."""
    step = max(1, AT_ONCE // max(1, len(pairs.gallery)))
    for start in range(0, len(pairs.queries), step):
        yield slice(start, min(start + step, len(pairs.queries)))


def _within(
    sequence: np.ndarray, time: np.ndarray, asking: np.ndarray, answering: np.ndarray, guard: float
) -> np.ndarray:
    """Which answers lie within the guard of each query, (queries, answers) bool."""
    same = sequence[asking][:, None] == sequence[answering]
    return same & (np.abs(time[asking][:, None] - time[answering]) <= guard)


def _id(rows: DataFrame, position: int) -> Any:
    return rows["id"].tolist()[position]
