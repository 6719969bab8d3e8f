"""Audit of groups that nobody declared: a column whose values part train from test, and are on both sides of folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldfold.trust.audits.columns import ALARMS
from goldfold.trust.audits.findings import Finding, FindingKind
from goldfold.trust.table_columns import Column

if TYPE_CHECKING:
    from goldfold.competition import Fold

FEWEST = 5  # values of the train table; fewer cannot be divided into folds

UNDECLARED_GROUP = FindingKind(
    code="undeclared_group",
    topic="Leakage",
    levels=("warning",),
    found="a column of groups that folds share and test rows do not",
    seen="The values of a column (a patient, a site) repeat and are on both sides of folds, and no value of the train "
    "table is in the test table, which chance explains in less than 1 of 1,000 tables.",
    misleads="The test rows are of new groups. A model that recognizes groups scores higher in the folds than on them.",
    cure='Declare it, `group="patient_id"` in `COMPETITION`, and split with `goldfold.data.folds.grouped` or '
    "`stratified_grouped`.",
    example="120 of 300 scored rows share their 'patient_id' with training rows, and no test row does: ...",
)


def undeclared_groups(columns: Sequence[Column], folds: Sequence[Fold], declared: Sequence[str]) -> list[Finding]:
    """Report columns that look like groups. declared: those of the competition's own groups and sequences."""
    findings = []
    judged = [column for column in columns if column.whole and column.name not in declared]
    for column in judged:
        shared = [np.isin(column.train[fold.validation], column.train[fold.train]).sum() for fold in folds]
        scored = sum(len(fold.validation) for fold in folds)
        if sum(shared) and _log_odds(column) < np.log(ALARMS / len(judged)):
            message = (
                f"{sum(shared):,} of {scored:,} scored rows share their '{column.name}' with training rows, and no "
                "test row does: a model that recognizes it scores higher in the folds than on the test rows. If its "
                f"values are groups, declare group='{column.name}' and split with goldfold.data.folds.grouped"
            )
            findings.append(UNDECLARED_GROUP(message, "folds"))
    return findings


def _log_odds(column: Column) -> float:
    """Log-probability that no value of a column is in both tables if rows are dealt out at random; 0 if one is.

    A value of m rows lies in one table with probability q**m + (1 - q)**m, where q is the share of train rows.
    """
    train, test = column.train[~np.isnan(column.train)], column.test[~np.isnan(column.test)]
    rows = [np.unique(part, return_counts=True)[1] for part in (train, test)]
    if len(rows[0]) < FEWEST or not len(test) or np.isin(test, train).any():
        return 0.0
    sizes = np.concatenate(rows)
    q = len(train) / (len(train) + len(test))
    return float(np.log(q**sizes + (1 - q) ** sizes).sum())
