"""The finding that test rows differ from train rows, and what to do about it in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldfold.trust.audits.findings import Finding, FindingKind
from goldfold.trust.drift.classifier import Separation
from goldfold.trust.drift.columns import DriftingColumn

ALARMS = 0.001  # highest rate of false alarms on randomly divided tables
WEAK = 0.05  # p-value above which nothing is shown
WORTH = 0.55  # AUROC of a classifier below which a difference is not worth a warning
APPARENT = 0.6  # AUROC from which it is told where there is no p-value
AS_FAR = 0.05  # AUROC by which a fold's validation rows may be nearer than the test rows and count as far
FEW_COLUMNS = 3  # that differ surely, up to which dropping the first one is worth trying
STRONG = 0.65  # AUROC of a column alone, from which it is the first thing to look at

TRAIN_AND_TEST_DIFFER = FindingKind(
    code="train_and_test_differ",
    topic="Folds and test rows",
    levels=("warning", "note"),
    found="test rows that a classifier tells from train rows",
    seen="`make drift` (adversarial validation): a cross-validated classifier tells test rows from train rows with an "
    "AUROC of 0.55 or more, and its permutation p-value or that of a column alone is below 0.001, all tests counted "
    "(Bonferroni). Without a p-value, since test rows have no groups, with 0.6 or more. A note where it tells the "
    "validation rows of the competition's own folds as well from their training rows (AUROC at most 0.05 lower).",
    misleads="Folds are drawn from the train table, so their score is of other rows than those of the leaderboard, "
    "unless they hold out rows that differ as much.",
    cure="Drop the column or use it as a difference or rank, validate on the most test-like rows, or draw folds as the "
    "tables were divided; then run `make drift` again.",
    example="a classifier tells test from train rows with AUROC 0.81 [0.78, 0.84] (p 2e-12), first by 'year': ...",
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Train rows against test rows by one classifier.

    by: the features in words. separation: of the test rows. folds_auroc: mean AUROC of the same classifier between the
    validation and the training rows of the competition's folds; None if it was not measured. columns: the surest first;
    empty for embeddings.
    """

    by: str
    separation: Separation
    folds_auroc: float | None = None
    columns: tuple[DriftingColumn, ...] = ()

    @property
    def like_folds(self) -> bool:
        """Whether the folds hold out rows that differ as much as the test rows do."""
        return self.folds_auroc is not None and self.folds_auroc >= self.separation.auroc - AS_FAR

    @property
    def first(self) -> DriftingColumn | None:
        """The column that tells the tables apart most surely, unless chance explains it."""
        surest = self.columns[0] if self.columns else None
        return surest if surest and (surest.p_value is None or surest.p_value < ALARMS) else None

    def differs(self, comparisons: int) -> bool:
        """Whether the finding is told. comparisons: number of classifiers."""
        found = self.separation
        if found.p_value is None:
            return found.auroc >= APPARENT
        known = [found.p_value, *(each.p_value for each in self.columns[:1] if each.p_value is not None)]
        return found.auroc >= WORTH and 2 * comparisons * min(known) < ALARMS


def findings(compared: Sequence[Comparison]) -> list[Finding]:
    """A finding for each classifier that tells the tables apart."""
    return [_finding(each) for each in compared if each.differs(len(compared))]


def _finding(found: Comparison) -> Finding:
    first = f", first by '{found.first.name}' (AUROC {found.first.auroc:.3f} alone)" if found.first else ""
    folds = "" if found.folds_auroc is None else f", which differ less (AUROC {found.folds_auroc:.3f})"
    why = f"the score is of the folds' validation rows{folds}. {advice(found)}"
    if found.like_folds:
        why = (
            f"it tells the validation rows of a fold as well (AUROC {found.folds_auroc:.3f}), so the folds hold out "
            "rows that differ as much. Keep them"
        )
    message = (
        f"a classifier by {found.by} tells test from train rows with AUROC {auroc_text(found.separation)}{first}: {why}"
    )
    return TRAIN_AND_TEST_DIFFER(message, "test", "note" if found.like_folds else "warning")


def auroc_text(found: Separation) -> str:
    """An AUROC with its interval and p-value.

    >>> auroc_text(Separation(0.5123, (0.48, 0.5446), 0.21)), auroc_text(Separation(0.9, None, 1e-9))
    ('0.512 [0.480, 0.545] (p 0.21)', '0.900 (no interval, p 1e-09)')
    """
    edges = f" [{found.interval[0]:.3f}, {found.interval[1]:.3f}]" if found.interval else ""
    p_value = "no p-value" if found.p_value is None else f"p {found.p_value:.2g}"
    return f"{found.auroc:.3f}{edges} ({'' if found.interval else 'no interval, '}{p_value})"


def next_step(compared: Sequence[Comparison]) -> str:
    """What to do, in one sentence, by the classifier that tells the tables apart best."""
    apart = [each for each in compared if each.differs(len(compared))]
    if not apart:
        known = [each.separation.p_value for each in compared if each.separation.p_value is not None]
        if any(each < WEAK for each in known):
            return (
                "The evidence for a difference is weak: look at the first columns, and validate on the folds as they "
                "are unless you know why they differ."
            )
        return "Test rows cannot be told from train rows: validate on the folds as they are."
    worst = max(apart, key=lambda each: (not each.like_folds, each.separation.auroc))
    if worst.like_folds:
        return "Keep the folds: they hold out rows that differ from their training rows as much as the test rows do."
    return advice(worst)


def advice(found: Comparison) -> str:
    """What to do about a difference that the folds do not have."""
    sure = [each for each in found.columns if each.p_value is not None and each.p_value < ALARMS]
    if 0 < len(sure) <= FEW_COLUMNS and sure[0].auroc >= STRONG:
        return (
            f"Drop '{sure[0].name}' in load() or use it as a difference or rank, or draw folds along it; then run make "
            "drift again."
        )
    return (
        "Look at the out-of-fold score of the most test-like train rows too, or weight training rows by their density "
        "ratio: both are in likeness.csv."
    )
