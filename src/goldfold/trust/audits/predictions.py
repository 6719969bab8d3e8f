"""Audits of predictions: rows whose prediction depends on their companions, and labels that they contradict most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldfold.trust.audits.columns import ALARMS
from goldfold.trust.audits.findings import Finding, FindingKind, name_of

if TYPE_CHECKING:
    from pandas import Series

SAME = 0.01  # share of the predictions' sd by which rounding in batches of another size may change one
SURE = 0.95  # probability from which a prediction contradicts another label
LISTED = 10  # ids that a message names

BATCH_DEPENDENT_PREDICTIONS = FindingKind(
    code="batch_dependent_predictions",
    topic="Scores",
    levels=("error",),
    found="predictions of a row that depend on the rows predicted with it",
    seen="The validation rows of a fold were predicted again in two halves, and predictions differ from those of all "
    "rows together by more than 1 % of their sd: a BatchNorm in train mode, a scaler or a rank fitted to the rows that "
    "are predicted. `make audit RUN=` checks it; training does not.",
    misleads="The score holds for this set of rows alone. In another batch, or one at a time, rows get other "
    "predictions.",
    cure="Fit everything on training rows in `finish`, and predict in eval mode. Where it is meant (a transductive "
    "recipe), declare it in the config: `accept: [batch_dependent_predictions]`.",
    example="predictions of 40 of 80 rows change, by up to 0.21, if the rows are predicted in two halves: ...",
)
DOUBTFUL_LABELS = FindingKind(
    code="doubtful_labels",
    topic="Scores",
    levels=("note",),
    found="labels that confident out-of-fold predictions contradict",
    seen="Out-of-fold predictions give 0.95 or more to another class than the label's, in more rows than these "
    "probabilities themselves allow (Poisson, p below 0.001). The ids are listed by their loss, -log of the label's "
    "probability, the highest first.",
    misleads="Wrong labels bound every score and punish the better model. An overconfident model shows the same.",
    cure="Look at the rows named, and correct the labels that are wrong.",
    example="12 of 300 labels are contradicted with probability 0.95 or more, and 1.1 would be expected: ids ...: ...",
)
UNALIGNED_REFERENCES = FindingKind(
    code="unaligned_references",
    topic="Scores",
    levels=("warning",),
    found="images that could not be aligned with their reference image",
    seen="A `patch_library` with `reference` found no transform within `largest_shift` that makes an image and its "
    "reference alike (correlation of details of at least 0.5). Their difference was taken without alignment. The ids "
    "are listed, those of train rows first.",
    misleads="Such a difference shows edges that moved, so these images score as anomalous whether or not they have a "
    "defect.",
    cure="Look at one of them beside its reference: it may be of another object, turned (`alignment: euclidean`) or "
    "farther away than `largest_shift`.",
    example="12 of 300 train images were compared with their reference without alignment, ids ...: ...",
)


def batch_dependent_predictions(whole: np.ndarray, in_halves: np.ndarray, where: str) -> list[Finding]:
    """Report predictions that change if rows are predicted in two halves. Both are (n, ...), or records with fields."""
    if whole.dtype.names:
        kinds = (batch_dependent_predictions(whole[name], in_halves[name], where) for name in whole.dtype.names)
        return next((found for found in kinds if found), [])
    first, second = (part.reshape(len(part), -1).astype(np.float64) for part in (whole, in_halves))
    apart = np.abs(first - second).max(axis=1)
    changed = ~(apart <= SAME * first.std())
    if not changed.any():
        return []
    message = (
        f"predictions of {changed.sum():,} of {len(whole):,} rows change, by up to {apart.max():.3g} (their sd is "
        f"{first.std():.3g}), if the rows are predicted in two halves: the score holds for this set of rows alone. Fit "
        "everything on training rows and predict in eval mode, or declare it in the config"
    )
    return [BATCH_DEPENDENT_PREDICTIONS(message, where)]


def doubtful_labels(probabilities: np.ndarray, labels: np.ndarray, ids: Series) -> list[Finding]:
    """List the labels that out-of-fold predictions contradict most.

    probabilities: (n, classes). labels: int64 (n,), the columns of the labels.
    """
    from scipy import stats

    top = probabilities.max(axis=1)
    own = probabilities[np.arange(len(labels)), labels]
    against = np.flatnonzero((probabilities.argmax(axis=1) != labels) & (top >= SURE))
    expected = float((1 - top[top >= SURE]).sum())
    if not len(against) or stats.poisson.sf(len(against) - 1, expected) >= ALARMS:
        return []
    worst = against[np.argsort(own[against], kind="stable")]
    names = ", ".join(f"{name_of(ids, row)!r} ({-np.log(max(own[row], 1e-12)):.1f})" for row in worst[:LISTED])
    more = f" and {len(worst) - LISTED:,} more" if len(worst) > LISTED else ""
    message = (
        f"{len(against):,} of {len(labels):,} labels are contradicted by out-of-fold predictions with probability "
        f"{SURE} or more, and {expected:.1f} would be expected, ids (loss) {names}{more}: wrong labels bound every "
        "score. Look at these rows; an overconfident model shows the same"
    )
    return [DOUBTFUL_LABELS(message, "train")]


def unaligned_references(aligned: np.ndarray, ids: Series, where: str) -> list[Finding]:
    """Report images that were compared with their reference without alignment.

    aligned: (n,), the share of fits that aligned it; the same for every fit, since nothing of it is fitted.
    """
    rows = np.flatnonzero(aligned < 1)
    if not len(rows):
        return []
    names = ", ".join(repr(name_of(ids, row)) for row in rows[:LISTED])
    more = f" and {len(rows) - LISTED:,} more" if len(rows) > LISTED else ""
    message = (
        f"{len(rows):,} of {len(ids):,} {where} images were compared with their reference without alignment, ids "
        f"{names}{more}: they score as anomalous whether or not they have a defect. Look at one beside its reference, "
        "and raise largest_shift or choose alignment=euclidean if it is moved or turned"
    )
    return [UNALIGNED_REFERENCES(message, where)]
