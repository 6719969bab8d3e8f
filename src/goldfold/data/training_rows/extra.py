"""Rows of `Tables.extra`: every fold trains on those with targets, and no fold validates on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import csv_tables, tables
from goldfold.errors import GoldfoldError
from goldfold.optional_parts import ClassLabels, LabelColumns

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Competition


def check(competition: Competition, data: Tables) -> None:
    """Check extra rows as the train table is checked, and that their ids are new; nothing without extra rows.

    Raises:
        GoldfoldError: as `tables.check`; `extra_columns_differ`, they lack a column of the train table, have another
            one, or a column holds text in one of them and numbers in the other; `extra_ids_known`.
    """
    if data.extra is None:
        return
    _check_columns(data.train, data.extra)
    labeled = with_targets(data.extra, competition.targets)
    try:
        if len(labeled):
            tables.check(competition, replace(data, train=labeled, extra=None))
        else:
            tables.check_ids("extra", data.extra)
    except GoldfoldError as error:
        raise GoldfoldError(error.code, f"Tables.extra: {error.message}") from error
    ids = csv_tables.written(data.extra["id"])
    for name, rows in (("train", data.train), ("test", data.test), ("extra", data.extra)):
        known = ids[ids.duplicated()] if name == "extra" else ids[ids.isin(csv_tables.written(rows["id"]))]
        if len(known):
            raise GoldfoldError(
                "extra_ids_known",
                f"ids of Tables.extra must be new, and {len(known)} are ids of the {name} table, first "
                f"{known.iloc[0]!r}: drop these rows in load(), or give them ids of their own",
            )


def check_classes(labels: ClassLabels | LabelColumns | None, own: DataFrame, every: DataFrame) -> None:
    """Refuse extra rows of a class that no train row has, which no fold could score; raises `unknown_class`.

    labels: `Recipe.labels`. own: the train table. every: the same with the extra rows after it.
    """
    if not isinstance(labels, ClassLabels) or len(own) == len(every) or labels.column not in own:
        return
    added = every[labels.column].iloc[len(own) :]
    other = added[~added.isin(own[labels.column])]
    if len(other):
        raise GoldfoldError(
            "unknown_class",
            f"{len(other)} rows of Tables.extra have a '{labels.column}' that no train row has, first "
            f"{other.iloc[0]!r}: drop them in load()",
        )


def _check_columns(train: DataFrame, extra: DataFrame) -> None:
    absent = [name for name in train.columns if name not in extra]
    added = [name for name in extra.columns if name not in train]
    mixed = [name for name in extra.columns if name in train and _mixed(train[name], extra[name])]
    for names, what in ((absent, "lacks"), (added, "has besides"), (mixed, "has as another kind (text or numbers)")):
        if names:
            raise GoldfoldError(
                "extra_columns_differ",
                f"Tables.extra must have the columns of the train table, and it {what} {names[0]!r}: give both the "
                "same columns in load()",
            )


def _mixed(own: pd.Series, added: pd.Series) -> bool:
    """Whether one of two columns holds numbers and the other does not; a column without values holds neither."""
    filled = own.notna().any() and added.notna().any()
    return bool(filled) and pd.api.types.is_numeric_dtype(own) != pd.api.types.is_numeric_dtype(added)


def with_targets(extra: DataFrame, targets: Sequence[str]) -> DataFrame:
    """The extra rows that have a target, numbered from 0; without target columns all of them."""
    known = extra[list(targets)].notna().any(axis=1).to_numpy() if targets else np.ones(len(extra), bool)
    return extra[known].reset_index(drop=True)


def joined(data: Tables, targets: Sequence[str], wanted: bool) -> Tables:
    """Tables whose train table ends with the extra rows that have targets; `extra` keeps those that have none.

    wanted: whether a config trains on extra rows; without it none is joined.
    """
    if data.extra is None:
        return data
    labeled = with_targets(data.extra, targets)
    unlabeled = data.extra[~data.extra["id"].isin(labeled["id"])].reset_index(drop=True)
    train = data.train
    if wanted and len(labeled):
        alike = {name: _alike(labeled[name], train[name].dtype) for name in train.columns}
        train = pd.concat([train, pd.DataFrame(alike)], ignore_index=True)
    return replace(data, train=train, extra=unlabeled if len(unlabeled) else None)


def _alike(column: pd.Series, dtype: Any) -> pd.Series:
    """A column with the dtype of the train table, if no value changes by it: gaps make floats of whole numbers."""
    if column.dtype == dtype or column.isna().any():
        return column
    try:
        changed = column.astype(dtype)
    except (TypeError, ValueError):
        return column
    return changed if (changed == column).all() else column


def everywhere(folds: Sequence[Fold], own: int, rows: int) -> list[Fold]:
    """Folds of `own` rows that also train on the rows after them, up to `rows` in all.

    >>> everywhere([Fold(np.array([0]), np.array([1]))], 2, 4)[0].train
    array([0, 2, 3])
    """
    added = np.arange(own, rows)
    return [Fold(np.concatenate([fold.train, added]), fold.validation) for fold in folds] if own < rows else [*folds]
