"""Checks of folds: positions, coverage, classes and groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from goldfold.competition import Fold
from goldfold.data.column_values import check_one_kind
from goldfold.errors import GoldfoldError

REMEDY = {"class": "merge it with another class", "label": "leave it out of the stratification, leave_out={names}"}


def as_folds(drawn: Iterable[Any]) -> list[Fold]:
    """Return what split() gave as folds; pairs of positions, as scikit-learn's splitters yield them, are folds, too.

    >>> from sklearn.model_selection import KFold
    >>> as_folds(KFold(2).split([[0], [0], [0]]))[0].validation
    array([0, 1])

    Raises:
        GoldfoldError: `folds_malformed`, an element is not a pair of arrays of whole numbers.
    """
    folds = []
    for number, pair in enumerate(drawn):
        parts = [np.asarray(part) for part in pair] if isinstance(pair, Sequence) else []
        if [part.ndim for part in parts] != [1, 1] or any(part.dtype.kind not in "iu" and part.size for part in parts):
            raise GoldfoldError(
                "folds_malformed",
                f"split() must return pairs of row positions, (train, validation), and element {number} is a "
                f"{type(pair).__name__} of {', '.join(f'{part.dtype} {part.shape}' for part in parts) or 'no pair'}: "
                "return Fold(train=..., validation=...) with integer arrays",
            )
        folds.append(Fold(*(part.astype(np.int64) for part in parts)))
    return folds


def check_positions(folds: Sequence[Fold], rows: int) -> np.ndarray:
    """Return how often each of `rows` rows is validated, (rows,) of 0 or 1, after checking the folds' positions.

    Raises:
        GoldfoldError: `fold_part_empty`; `fold_rows_invalid`, positions are repeated or out of range;
            `row_validated_twice`, since its predictions would count twice.
    """
    validated = np.zeros(rows, np.int64)
    for number, fold in enumerate(folds):
        for part, positions in zip(("training", "validation"), fold, strict=True):
            if not len(positions):
                raise GoldfoldError(
                    "fold_part_empty", f"fold {number} has no {part} row: use fewer folds or another seed"
                )
            if positions.min() < 0 or positions.max() >= rows or len(np.unique(positions)) < len(positions):
                raise GoldfoldError(
                    "fold_rows_invalid",
                    f"fold {number} has {part} rows twice or outside 0..{rows - 1}: fix split() of the competition",
                )
        validated[fold.validation] += 1
    if (validated > 1).any():
        raise GoldfoldError(
            "row_validated_twice", f"row {validated.argmax()} is validated in two folds: put it in one of them"
        )
    return validated


def verified(
    folds: list[Fold], rows: int, *, labels: Any = None, groups: Any = None, covering: bool = True
) -> list[Fold]:
    """Return `folds` unchanged after checking them: parts are not empty, and no row is in both parts of a fold.

    rows: number of rows of the train table.
    labels: (rows,) classes; both parts of each fold must hold every class.
    groups: (rows,) groups; none may be in both parts of a fold.
    covering: whether every row must be validated in exactly one fold, not only in at most one.

    Raises:
        GoldfoldError: as `check_positions`; `fold_parts_overlap`; `row_not_validated`; `group_in_both_parts`;
            `fold_lacks_class`. The message names the first fold that fails.
    """
    validated = check_positions(folds, rows)
    for number, (train, validation) in enumerate(folds):
        if len(both := np.intersect1d(train, validation)):
            raise GoldfoldError(
                "fold_parts_overlap", f"fold {number} trains and validates on row {both[0]}: remove it from one part"
            )
    if covering and not validated.all():
        raise GoldfoldError(
            "row_not_validated", f"row {validated.argmin()} is validated in no fold: put it in one of them"
        )
    if groups is not None:
        _check_groups(folds, groups)
    if labels is not None:
        codes, classes = codes_of(labels, "label")
        check_each_present(
            folds, "class", classes, lambda positions: np.bincount(codes[positions], minlength=len(classes))
        )
    return folds


def complete(values: Any, kind: str) -> pd.Series:
    """Return `values` as a Series after checking that none is missing; `kind` names one of them in the error."""
    series = pd.Series(values)
    if missing := int(series.isna().sum()):
        raise GoldfoldError(
            "values_missing", f"every row needs a {kind}, but {missing} of {len(series)} have none: fill or drop them"
        )
    return series


def codes_of(values: Any, kind: str) -> tuple[np.ndarray, list]:
    """Return the position of each value among the sorted distinct values, int64 (n,), and the latter.

    kind: names one value in the message, such as "group".

    Raises:
        GoldfoldError: `values_missing`; `values_mixed`, text among numbers; `values_not_sortable`, lists, for example.
    """
    series = complete(values, kind)
    check_one_kind(series, f"the {kind} of the rows")
    try:
        codes, names = pd.factorize(series, sort=True)
    except TypeError as error:
        raise GoldfoldError(
            "values_not_sortable",
            f"the {kind} of a row must be text, a number, a bool or a date, got {series.iloc[0]!r} first ({error}): "
            "convert it with .astype(str)",
        ) from None
    return codes, names.tolist()


def check_each_present(
    folds: list[Fold], of: str, names: Sequence, count: Callable[[np.ndarray], np.ndarray]
) -> list[Fold]:
    """Return `folds` after checking that both parts hold each name; `count`: positions -> rows of each name."""
    lacking, first = dict[Any, None](), ""
    for number, fold in enumerate(folds):
        for part, positions in zip(("training", "validation"), fold, strict=True):
            absent = [names[at] for at in np.flatnonzero(count(positions) == 0).tolist()]
            lacking.update(dict.fromkeys(absent))
            if absent and not first:
                first = f"fold {number} has no {part} row of {of} {', '.join(map(repr, absent))}"
    if first:
        others = [name for name in lacking if repr(name) not in first]
        told = f", and other folds lack {', '.join(map(repr, others))}" if others else ""
        raise GoldfoldError(
            "fold_lacks_class",
            f"{first}{told}: use fewer folds, another seed, or {REMEDY[of].format(names=list(lacking))}",
        )
    return folds


def _check_groups(folds: list[Fold], groups: Sequence) -> None:
    codes, names = codes_of(groups, "group")
    for number, (train, validation) in enumerate(folds):
        if len(both := np.intersect1d(codes[train], codes[validation])):
            raise GoldfoldError(
                "group_in_both_parts",
                f"fold {number} has group {names[both[0]]!r} in both parts: use `grouped` or `stratified_grouped`",
            )
