"""Audits of single columns: one that tells the target, that drifts to the test rows, or that says nothing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from goldfold.trust import associations
from goldfold.trust.associations import Association
from goldfold.trust.audits.findings import Finding, FindingKind, first_three
from goldfold.trust.table_columns import Column, Target

ALARMS = 0.001  # highest rate of false alarms of an audit on a table without the fault, over all its columns
TELLS_CLASS, TELLS_NUMBER = 0.98, 0.99  # AUROC and |Spearman's rho| beyond which a column gives the target away
DRIFT = 0.1  # distance of two distributions, in [0, 1], below which a drift is not worth a warning
FLAT = 1e-3  # share of the typical sd of a block of features, below which one is constant; sd of log-norms

TARGET_IN_COLUMN = FindingKind(
    code="target_in_column",
    topic="Leakage",
    levels=("warning",),
    found="a single column that tells the target",
    seen="One column alone separates the classes with an AUROC above 0.98, or orders a target of numbers with a "
    "Spearman correlation beyond 0.99. What is learned of a column (values, intervals, whether it is missing) is "
    "judged on other rows, and chance explains it in less than 1 of 1,000 tables, whatever their number of columns.",
    misleads="The column is made from the target or comes after it (a treatment, a closing date), so that it will be "
    "missing, or mean something else, where the score counts.",
    cure="Drop the column in `load()` unless it is known before the target is; then the task is that easy.",
    example="column 'boat' tells the target 'survived' alone (AUROC 0.994): ...",
)
DRIFTING_COLUMN = FindingKind(
    code="drifting_column",
    topic="Folds and test rows",
    levels=("warning",),
    found="columns whose test values are distributed otherwise",
    seen="The distributions of a column in the train and in the test table differ by 0.1 or more (Kolmogorov-Smirnov "
    "statistic of numbers, total variation of categories), with a p-value below 0.001 after Bonferroni's correction "
    "for the number of columns. Of declared groups, one row each is compared.",
    misleads="Folds are drawn from the train table alone, so their score tells less about the test rows.",
    cure="Look how the tables were divided. Use the column as a difference or rank, drop it, or draw folds along it.",
    example="1 of 12 columns is distributed otherwise in the test table, 'age' (distance 0.41, ...): ...",
)
CONSTANT_FEATURE = FindingKind(
    code="constant_feature",
    topic="Data and rules",
    levels=("warning", "note"),
    found="columns or features that are the same for every row",
    seen="A column of the table has one value in all train rows (a note); a feature's sd over the rows is below 1/1000 "
    "of the typical sd in its block (a warning); or all vectors of a block have one length, the sd of their log-norms "
    "being below 0.001 (a note: it matters where a recipe uses the length). In training, a feature that a loss "
    "compares or joins with others has an sd below 1e-6 over the samples of each epoch's first batch (a warning), as "
    "the texts of CLIP's text tower have at the start token, or the logarithm of a column without gradient has one "
    "below 0.001, as that of the lengths of normalized features.",
    misleads="An input that never changes adds nothing, and an ablation of it proves nothing.",
    cure="Drop it, or look why it is constant: read from the wrong place or token, or normalized before.",
    example="1 of 40 columns of the train table has one value, 'site': ...",
)


def target_in_column(
    columns: Sequence[Column], targets: Sequence[Target], halves: tuple[np.ndarray, np.ndarray], rows: np.ndarray
) -> list[Finding]:
    """Report columns of which each tells a target by itself.

    halves: row positions that share no group. rows: those that are independent of one another.
    """
    binned = {column.name: associations.bins(column.train, halves[0], column.categories) for column in columns}
    ranked = {column.name: associations.ranks(column.train[rows]) for column in columns if not column.categories}
    findings = []
    for target in targets:
        told = []
        for column in columns:
            found = _told(target, binned[column.name], ranked.get(column.name), halves, rows)
            least = TELLS_CLASS if target.classes else TELLS_NUMBER
            if found.strength > least and found.p_value * 2 * len(columns) * len(targets) < ALARMS:
                told.append((found.strength, column.name))
        if told:
            what = "AUROC" if target.classes else "|Spearman's rho|"
            names = [f"'{name}' ({what} {strength:.3f})" for strength, name in sorted(told, key=_strength)]
            message = (
                f"{len(told)} of {len(columns)} columns tell the target '{target.name}' alone, {first_three(names)}: "
                "made from the target or after it, a column gives a score that new rows will not reach. Drop it in "
                "load() unless it is known before the target is"
            )
            findings.append(TARGET_IN_COLUMN(message, "train"))
    return findings


def _told(
    target: Target,
    binned: np.ndarray,
    ranked: np.ndarray | None,
    halves: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray,
) -> Association:
    """The stronger of two tests: by the order of a column's values, and by what half of the rows teaches of them."""
    if target.classes:
        learned = associations.class_told(binned, target.values, halves)
        if len(target.classes) > 2 or ranked is None:
            return learned
        return max(learned, associations.auroc(ranked, target.values[rows] == 1))
    learned = associations.number_told(binned, target.values, halves)
    if ranked is None:
        return learned
    return max(learned, associations.spearman(ranked, associations.ranks(target.values[rows])))


def drifting_columns(
    columns: Sequence[Column], train_rows: np.ndarray, test_rows: np.ndarray, train_size: int
) -> list[Finding]:
    """Report columns that are distributed otherwise in the test table.

    train_rows, test_rows: positions of rows that are independent of one another. Columns that name or count the rows
    are left out: nearly all their values differ, or they rise from row to row.
    """
    compared = [column for column in columns if not names_rows(column, train_size)]
    apart = []
    for column in compared:
        found = associations.drifted(column.train[train_rows], column.test[test_rows], column.categories)
        if found.strength >= DRIFT and found.p_value * len(compared) < ALARMS:
            apart.append((found.strength, column.name))
    if not apart:
        return []
    names = [f"'{name}' (distance {strength:.2f})" for strength, name in sorted(apart, key=_strength)]
    message = (
        f"{len(apart)} of {len(compared)} columns are distributed otherwise in the test table, {first_three(names)}, "
        "of 1 at most: folds are drawn from the train table alone, so their score tells less about the test rows. Look "
        "how the tables were divided, and use such a column as a difference or rank, or drop it"
    )
    return [DRIFTING_COLUMN(message, "test")]


def _strength(found: tuple[float, Hashable]) -> float:
    return -found[0]


def names_rows(column: Column, size: int) -> bool:
    """Whether a column has a name or a number for each row rather than a property of it."""
    if column.categories:
        return len(np.unique(column.train)) > size / 2
    return column.whole and bool((np.diff(column.train) > 0).all())


def constant_columns(columns: Sequence[Column]) -> list[Finding]:
    """Report columns with one value in all train rows; a missing value is one, too."""
    flat = [column.name for column in columns if _one_value(column.train)]
    if not flat:
        return []
    names = first_three([f"'{name}'" for name in flat])
    message = (
        f"{len(flat)} of {len(columns)} columns of the train table have one value, {names}: what never changes adds "
        "nothing, and leaving it out proves nothing. Drop them, or look why they were read so"
    )
    return [CONSTANT_FEATURE(message, "train", "note")]


def _one_value(values: np.ndarray) -> bool:
    missing = np.isnan(values)
    return bool(missing.all() or (not missing.any() and (values == values[0]).all()))


def constant_features(features: np.ndarray, name: str) -> list[Finding]:
    """Report features of a block, float (n, d), that are constant, and vectors of one length. name: of the block."""
    values = np.asarray(features, np.float64).reshape(len(features), -1)
    sd, lengths = values.std(0), np.linalg.norm(values, axis=1)
    flat = np.flatnonzero(sd <= FLAT * np.median(sd))
    faults = [f"{len(flat)} of {len(sd)} have an sd below {FLAT:g} of the typical {np.median(sd):.3g}"] * bool(
        len(flat)
    )
    spread = np.log(np.maximum(lengths, np.finfo(np.float64).tiny)).std()
    if len(values) > 1 and values.shape[1] > 1 and spread < FLAT:
        faults.append(f"all vectors have the length {lengths.mean():.4g} (sd of its logarithm {spread:.1g})")
    if not faults:
        return []
    message = (
        f"of the features of {name} (mean {values.mean():.3g}, typical sd {np.median(sd):.3g}, range "
        f"{values.min():.3g} to {values.max():.3g}), {', and '.join(faults)}: such an input says nothing of a row. "
        "Leave it out, or look why it is constant"
    )
    return [CONSTANT_FEATURE(message, name, "warning" if len(flat) else "note")]
