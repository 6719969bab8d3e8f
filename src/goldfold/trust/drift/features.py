"""What a classifier may tell test rows from train rows by: columns of both tables, statistics of texts and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from goldfold.competition import Competition
from goldfold.data.column_values import LARGEST
from goldfold.io.formatting import count
from goldfold.trust import table_columns
from goldfold.trust.audits.columns import names_rows
from goldfold.trust.audits.findings import first_three
from goldfold.trust.table_columns import Column

MOST_CATEGORIES = 100  # of a column; the rarest ones are one category
FEW_VALUES = 20  # distinct texts, up to which a column holds categories whatever its length
REPEATED = 5  # rows per distinct text, from which a column of more holds categories


@dataclass(frozen=True, eq=False)
class Features:
    """Features of the train rows, followed by those of the test rows.

    values: float64 (n, d), categories as codes from 0, NaN where missing; no infinite ones. names: of the d features.
    is_category: bool (d,). linear: whether they are embeddings of a backbone, which a linear model reads. levels: name
    of a categorical feature -> the text of each code.
    """

    values: np.ndarray
    names: tuple[str, ...]
    is_category: np.ndarray
    linear: bool = False
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def take(self, rows: np.ndarray) -> Features:
        """The features of some rows."""
        return replace(self, values=self.values[rows])


def of_tables(competition: Competition, train: pd.DataFrame, test: pd.DataFrame) -> tuple[Features, list[str]]:
    """Features of the columns that both tables have, and remarks on columns that are left out or were changed.

    Numbers stay, and texts that repeat are categories. Other texts become statistics: characters, words, digits,
    capitals, and the number of rows with that text. Declared groups are left out, since classifiers keep them together;
    so are targets, ids, files, columns that count or name the rows, and those with one value in all rows.
    """
    declared = table_columns.group_columns(competition)
    every = table_columns.features(competition, train, test)
    remarks = [f"left out: '{name}', whose rows belong together" for name in declared if name in train and name in test]
    found: dict[str, tuple[np.ndarray, tuple[str, ...] | None]] = {}
    infinite = []
    for column in every:
        if column.name in declared:
            continue
        values = np.concatenate([column.train, column.test])
        if column.categories:
            texts = pd.concat([train[column.name], test[column.name]], ignore_index=True)
            found |= _of_texts(str(column.name), values, texts)
        elif names_rows(column, len(train)) and not _looks_like_time(column):
            remarks.append(f"left out: '{column.name}', which counts the rows")
        else:
            if np.isinf(values).any():
                infinite.append(f"'{column.name}' ({count(int(np.isinf(values).sum()), 'row')})")
            found[str(column.name)] = np.clip(values, -LARGEST, LARGEST), None
    if infinite:
        remarks.append(f"infinite values were read as the largest number: {first_three(infinite)}")
    flat = [name for name, (values, _) in found.items() if _one_value(values)]
    if flat:
        remarks.append(f"left out: {first_three([repr(name) for name in flat])} with one value in all rows")
    kept = {name: each for name, each in found.items() if name not in flat}
    return _stacked(kept, len(train) + len(test)), remarks


def of_images(statistics: np.ndarray, names: Sequence[str]) -> Features:
    """Features of image statistics, float (n, d), without those that are one value in all rows.

    Bytes per pixel are left out, too, where all images have one size: file bytes tell the same.
    """
    changing = [at for at in range(len(names)) if not _one_value(statistics[:, at])]
    if not {"height", "width"} & {names[at] for at in changing}:
        changing = [at for at in changing if names[at] != "bytes per pixel"]
    kept = tuple(f"image: {names[at]}" for at in changing)
    return Features(statistics[:, changing].astype(np.float64), kept, np.zeros(len(kept), bool))


def joined(first: Features, second: Features) -> Features:
    """Both features of the same rows side by side."""
    return Features(
        np.hstack([first.values, second.values]),
        (*first.names, *second.names),
        np.concatenate([first.is_category, second.is_category]),
        levels={**first.levels, **second.levels},
    )


def _looks_like_time(column: Column) -> bool:
    from goldfold.trust.audits.order import TIMES

    return bool(TIMES.search(str(column.name)))


def _of_texts(name: str, codes: np.ndarray, texts: pd.Series) -> dict[str, tuple[np.ndarray, tuple[str, ...] | None]]:
    """A column of texts as categories, or as statistics if most texts are rare. codes: NaN where missing."""
    known = ~np.isnan(codes)
    counts = np.bincount(codes[known].astype(np.int64), minlength=1)
    if len(counts) > FEW_VALUES and len(counts) * REPEATED > known.sum():
        return _statistics(name, codes, counts, texts)
    names = texts[known].astype(str).value_counts(sort=True)
    frequent = names.index[np.lexsort([names.index, -names.to_numpy()])][:MOST_CATEGORIES].tolist()
    rank = {text: float(at) for at, text in enumerate(frequent)}
    ranked = np.full(len(codes), np.nan)
    ranked[known] = [rank.get(text, float(len(frequent))) for text in texts[known].astype(str)]
    return {name: (ranked, (*frequent, "(rarer)"))}


def _statistics(
    name: str, codes: np.ndarray, counts: np.ndarray, texts: pd.Series
) -> dict[str, tuple[np.ndarray, tuple[str, ...] | None]]:
    missing, written = np.isnan(codes), texts.astype(str)
    measured = {
        "characters": written.str.len(),
        "words": written.str.split().str.len(),
        "digits": written.str.count(r"\d"),
        "capitals": written.str.count(r"[A-Z]"),
        "rows with it": pd.Series(counts[np.where(missing, 0, codes).astype(np.int64)]),
    }
    return {
        f"{name}: {what}": (np.where(missing, np.nan, values.to_numpy(np.float64)), None)
        for what, values in measured.items()
    }


def _one_value(values: np.ndarray) -> bool:
    missing = np.isnan(values)
    return bool(missing.all() or (not missing.any() and (values == values[0]).all()))


def _stacked(found: Mapping[str, tuple[np.ndarray, tuple[str, ...] | None]], rows: int) -> Features:
    values = [each for each, _ in found.values()]
    matrix = np.stack(values, axis=1) if values else np.empty((rows, 0))
    levels = {name: texts for name, (_, texts) in found.items() if texts is not None}
    return Features(matrix, tuple(found), np.array([name in levels for name in found], bool), levels=levels)
