"""Columns and targets of a competition's tables as numbers, for audits that judge them one by one."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldfold.io.seeding import derive

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.competition import Competition

FILES = ("path", "mask_path")
MOST_CLASSES = 30  # distinct values of a target, from which numbers count as numbers and texts are no classes


@dataclass(frozen=True)
class Column:
    """A column of both tables.

    categories: whether the values are codes of texts rather than numbers. train, test: float64, NaN where missing.
    whole: whether all values are categories or whole numbers, so that they can name something.
    """

    name: Hashable
    categories: bool
    train: np.ndarray
    test: np.ndarray
    whole: bool


@dataclass(frozen=True)
class Target:
    """A target column: codes from 0 of its classes, int64 (n,), or float64 numbers."""

    name: str
    values: np.ndarray
    classes: tuple[Any, ...] = ()


def features(competition: Competition, train: DataFrame, test: DataFrame) -> list[Column]:
    """The columns that both tables have and a model can read, without id, files, targets and cells that are arrays."""
    return list(columns(train, test, {"id", *FILES, *competition.targets}))


def columns(train: DataFrame, test: DataFrame, left_out: Collection[str]) -> Iterator[Column]:
    """Each column of both tables but those left out."""
    for name in train.columns:
        if name in test and name not in left_out:
            column = _column(name, train[name], test[name])
            if column is not None:
                yield column


def _column(name: Hashable, train: Series, test: Series) -> Column | None:
    both = pd.concat([train, test], ignore_index=True)
    if pd.api.types.is_datetime64_any_dtype(both):
        values = nanoseconds(both)
        return Column(name, False, values[: len(train)], values[len(train) :], whole=False)
    if pd.api.types.is_numeric_dtype(both):
        values = both.to_numpy(np.float64, na_value=np.nan)
        known = values[np.isfinite(values)]
        whole = bool((known == np.round(known)).all())
        return Column(name, False, values[: len(train)], values[len(train) :], whole)
    if _holds_many(both):
        return None
    codes = pd.factorize(both.astype(str).where(both.notna()))[0].astype(np.float64)
    codes[codes < 0] = np.nan
    return Column(name, True, codes[: len(train)], codes[len(train) :], whole=True)


def nanoseconds(times: Series) -> np.ndarray:
    """Dates as float64 (n,), NaN where missing."""
    return np.where(times.isna(), np.nan, times.to_numpy("datetime64[ns]").astype(np.int64))


def _holds_many(values: Series) -> bool:
    """Whether a cell is an array, a list or the like."""
    return values.dtype == object and any(isinstance(cell, np.ndarray | list | tuple | dict | set) for cell in values)


def targets(competition: Competition, train: DataFrame) -> tuple[list[Target], list[str]]:
    """The targets that can be judged, and why each of the others cannot."""
    judged, others = [], []
    for name in competition.targets:
        target = target_of(train[name])
        if target is None:
            others.append(f"target '{name}' is neither numbers nor up to {MOST_CLASSES} classes")
        elif len(target.classes) == 1:
            others.append(f"target '{name}' has one value")
        else:
            judged.append(target)
    return judged, others


def target_of(values: Series) -> Target | None:
    """A target as classes or as numbers; None if it is neither."""
    if _holds_many(values):
        return None
    name, distinct = str(values.name), values.nunique()
    numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if distinct <= MOST_CLASSES:
        codes, classes = pd.factorize(values, sort=True)
        return Target(name, codes.astype(np.int64), tuple(classes))
    finite = numbers and np.isfinite(values.to_numpy(np.float64)).all()
    return Target(name, values.to_numpy(np.float64)) if finite else None


def one_per_group(groups: Series | None, rows: int) -> np.ndarray:
    """The first row of each group, or all rows without groups: rows of one group are not independent."""
    return np.arange(rows) if groups is None else np.flatnonzero(~groups.duplicated().to_numpy())


def halves(groups: Series | None, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Two random halves of the rows, the same every time; no group is in both."""
    draw = np.random.default_rng(derive(0, "halves of audits"))
    if groups is None:
        order = draw.permutation(rows)
        return np.sort(order[: rows // 2]), np.sort(order[rows // 2 :])
    codes, names = pd.factorize(groups)
    first = draw.permutation(len(names)) < len(names) // 2
    return np.flatnonzero(first[codes]), np.flatnonzero(~first[codes])


def group_columns(competition: Competition) -> Sequence[str]:
    """The columns by which rows belong together, as the competition declares them."""
    close = competition.neighbors
    return [name for name in (competition.group, close.sequence if close else None) if name]
