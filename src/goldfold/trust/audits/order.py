"""Audits of order: rows or ids that predict the target by their place, and folds that mix the times they must part."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.trust import associations
from goldfold.trust.associations import NONE, Association
from goldfold.trust.audits.columns import ALARMS
from goldfold.trust.audits.findings import Finding, FindingKind, Level, first_three
from goldfold.trust.table_columns import Column, Target, nanoseconds

if TYPE_CHECKING:
    from pandas import Series

    from goldfold.competition import Fold

ORDER = 0.2  # strength from which an order is reported: 2 |AUROC - 0.5|, |rho|, or correlation of adjacent rows
LATER = 0.99  # share of pairs of a test and a train row of which the test row is later
FEWEST = 20  # rows on each side, below which times are not compared
TIMES = re.compile(r"(?:^|_)(?:date|time|timestamp|datetime|year|month|week|day|hour|when|at)(?:$|_)", re.IGNORECASE)
DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?([T ].*)?$|\d{4}/\d{2}/\d{2}")

ORDER_TELLS_TARGET = FindingKind(
    code="order_tells_target",
    topic="Leakage",
    levels=("warning", "note"),
    found="the row order, or a number in the id, that predicts the target",
    seen="The place of a row in the train table, or the number in its id, is associated with a target (p-value below "
    "0.001 after correction, strength 0.2 or more of 1), or rows next to each other have like targets. A warning where "
    "the ids of the test rows are numbered among those of the train rows, so that the order is there for them too; "
    "else a note. Of declared groups, one row each counts.",
    misleads="A model that reads the number scores well without having learned anything, and folds of consecutive rows "
    "differ in their targets.",
    cure="Keep the id out of the features, and shuffle rows before they are divided.",
    example="the number in the id predicts the target 'y' (AUROC 0.83, p 1e-30): ...",
)
TIME_BEHIND_FOLDS = FindingKind(
    code="time_behind_folds",
    topic="Folds and test rows",
    levels=("warning",),
    found="test rows that are later than train rows, and folds that mix times",
    seen="A column of times (by its type, its values or its name) says that the test rows come after the train rows, "
    "and folds validate on rows that are not later than those they train on.",
    misleads="Folds predict the past from the future, which the test rows do not allow, so the score is too high.",
    cure="Validate on later rows than those trained on: `goldfold.data.folds.time_ordered`.",
    example="test rows are later than train rows by 'date' and folds mix times ...: ...",
)


def order_tells_target(targets: Sequence[Target], ids: Series, test_ids: Series, rows: np.ndarray) -> list[Finding]:
    """Report an order of rows or ids that predicts a target.

    rows: ascending positions of rows that are independent of one another.
    """
    numbers = _numbers(ids)
    orders = {"the place in the train table": np.arange(len(rows), dtype=np.float64)}
    rising = numbers is not None and bool((np.diff(numbers[rows]) > 0).all())
    if numbers is not None and not rising:
        orders["the number in the id"] = numbers[rows]
    tests, findings = 2 * len(orders) * max(1, len(targets)), []
    for name, order in orders.items():
        level = _level(ids, test_ids) if rising or "id" in name.split() else "note"
        by_order, told = np.argsort(order, kind="stable"), []
        for target in targets:
            found = _ordered(target, target.values[rows][by_order])
            if found.strength >= ORDER and found.p_value * tests < ALARMS:
                told.append(f"'{target.name}' (strength {found.strength:.2f} of 1, p {found.p_value:.1g})")
        if told:
            also = " and test ids are numbered among them" if level == "warning" else ""
            message = (
                f"{name} predicts {first_three(told)}{also}: a model that reads the order scores without having "
                "learned anything, and folds of consecutive rows differ. Keep ids out of the features, and shuffle the "
                "rows before folds of consecutive rows are drawn"
            )
            findings.append(ORDER_TELLS_TARGET(message, "train", level))
    return findings


def _ordered(target: Target, values: np.ndarray) -> Association:
    """How strongly the places of rows tell their targets: by trend, or by likeness of adjacent rows."""
    place = np.arange(1.0, len(values) + 1)
    if not target.classes:
        ranked = associations.ranks(values)
        return _surest(associations.spearman(place, ranked), _adjacent(ranked))
    present = np.unique(values)
    trends = [associations.auroc(place, values == each) for each in present]
    surest = min(trends, key=lambda found: found.p_value, default=NONE)
    trend = Association(2 * surest.strength - 1, min(1.0, surest.p_value * len(present)))
    return _surest(trend, _equal_neighbors(values))


def _surest(*found: Association) -> Association:
    """The stronger of those that chance does not explain."""
    return max(found, key=lambda one: (one.p_value < ALARMS, one.strength))


def _adjacent(ranked: np.ndarray) -> Association:
    """Correlation of each row with the next; its standard error without any is 1 / sqrt(n)."""
    from scipy import stats

    if len(ranked) < 4 or not ranked.std():
        return NONE
    centered = ranked - ranked.mean()
    r = float((centered[1:] * centered[:-1]).sum() / (centered**2).sum())
    return Association(max(0.0, r), float(stats.norm.sf(r * np.sqrt(len(ranked)))))


def _equal_neighbors(classes: np.ndarray) -> Association:
    """Cohen's kappa of adjacent rows: how much more often than by chance they are of one class."""
    from scipy import stats

    n = len(classes)
    share = np.bincount(classes) / n
    by_chance = float((share**2).sum())
    if n < 4 or by_chance >= 1:
        return NONE
    equal = float((classes[1:] == classes[:-1]).mean())
    variance = (by_chance + 2 * float((share**3).sum()) - 3 * by_chance**2) / (n - 1)
    variance = max(variance, by_chance * (1 - by_chance) / (n - 1))
    kappa = (equal - by_chance) / (1 - by_chance)
    return Association(max(0.0, kappa), float(stats.norm.sf((equal - by_chance) / np.sqrt(variance))))


def _numbers(ids: Series) -> np.ndarray | None:
    """The last number in each id, float64 (n,); None unless every id has one of at most 15 digits."""
    found = ids.astype(str).str.extract(r"(\d{1,15})\D*$")[0]
    return None if found.isna().any() else found.to_numpy(np.float64)


def _level(ids: Series, test_ids: Series) -> Level:
    """A warning if most test ids have numbers between the lowest and the highest of the train ids."""
    numbers, others = _numbers(ids), _numbers(test_ids)
    if numbers is None or others is None:
        return "note"
    among = (others > numbers.min()) & (others < numbers.max()) & ~np.isin(others, numbers)
    return "warning" if among.mean() > 0.5 else "note"


def times(columns: Sequence[Column], train: pd.DataFrame, test: pd.DataFrame) -> dict[Hashable, tuple[np.ndarray, ...]]:
    """Columns of times -> their train and test values as float64: dates by type or spelling, numbers by their name."""
    found: dict[Hashable, tuple[np.ndarray, ...]] = {}
    for column in columns:
        values = train[column.name]
        if pd.api.types.is_datetime64_any_dtype(values) or (not column.categories and TIMES.search(str(column.name))):
            found[column.name] = column.train, column.test
        elif column.categories and values.dropna().astype(str).str.match(DATE).all() and values.notna().any():
            parsed = [pd.to_datetime(part[column.name], errors="coerce", utc=True) for part in (train, test)]
            found[column.name] = tuple(map(nanoseconds, parsed))
    return found


def time_behind_folds(named: dict[Hashable, tuple[np.ndarray, ...]], folds: Sequence[Fold]) -> list[Finding]:
    """Report folds that mix times where the test rows are later. named: as `times` returns it."""
    findings = []
    for name, (train, test) in named.items():
        if _later(test, train) < LATER:
            continue
        mixed = [_later(train[fold.validation], train[fold.train]) for fold in folds]
        if np.mean(mixed) < LATER:
            message = (
                f"test rows are later than train rows by '{name}' (in {_later(test, train):.0%} of pairs), and "
                f"validation rows are later than training rows in {np.mean(mixed):.0%} of pairs only: folds predict "
                "the past from the future, so their score is too high. Split with "
                "goldfold.data.folds.time_ordered"
            )
            findings.append(TIME_BEHIND_FOLDS(message, "folds"))
    return findings


def _later(values: np.ndarray, than: np.ndarray) -> float:
    """The share of pairs in which a value is higher, equal ones by half; 0.5 where there are too few."""
    from scipy import stats

    values, than = values[~np.isnan(values)], than[~np.isnan(than)]
    if min(len(values), len(than)) < FEWEST:
        return 0.5
    ranked = stats.rankdata(np.concatenate([values, than]))
    return float((ranked[: len(values)].sum() - len(values) * (len(values) + 1) / 2) / (len(values) * len(than)))
