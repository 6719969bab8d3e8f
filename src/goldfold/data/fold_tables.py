"""Folds as a table that can be saved (`folds.csv` of a run) and read again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from goldfold.competition import Fold
from goldfold.data.fold_checks import verified
from goldfold.errors import GoldfoldError


def folds_to_table(ids: Sequence, folds: Sequence[Fold]) -> pd.DataFrame:
    """Return a table with `id` and `fold`, the number of the fold that validates on the row, -1 if there is none.

    A fold that does not train on all other rows (time order, guards) has a bool column `train_<fold>` with its training
    rows.
    """
    table = pd.DataFrame({"id": pd.Series(ids).reset_index(drop=True), "fold": np.int64(-1)})
    for number, fold in enumerate(folds):
        table.loc[fold.validation, "fold"] = number
        if len(fold.train) + len(fold.validation) < len(table):
            table[f"train_{number}"] = np.isin(np.arange(len(table)), fold.train)
    return table


def folds_from_table(table: pd.DataFrame, ids: Sequence) -> list[Fold]:
    """Return the folds that `folds_to_table` wrote, for rows in the order of `ids`; ids are compared as text.

    Read a CSV file with `dtype=str`, or an id such as 007 loses its zeros.

    Raises:
        GoldfoldError: `fold_ids_mismatch`, the table does not list every id exactly once; `folds_unreadable`, it has no
            column of fold numbers; as `fold_checks.verified`.
    """
    if not {"id", "fold"} <= set(table.columns) or not table["fold"].astype(str).str.fullmatch(r"-?\d+").all():
        raise GoldfoldError(
            "folds_unreadable", "a table of folds needs the columns id and fold, a whole number a row: draw them again"
        )
    wanted, listed = pd.Index(ids).astype(str), pd.Index(table["id"]).astype(str)
    if not listed.is_unique or len(wanted.symmetric_difference(listed)):
        repeated = listed[listed.duplicated()]
        example = repeated[0] if len(repeated) else wanted.symmetric_difference(listed)[0]
        raise GoldfoldError(
            "fold_ids_mismatch",
            f"the folds must list every id of the train table once, which fails for id {example!r}: draw them again",
        )
    table = table.set_index(listed).loc[wanted]
    numbers = table["fold"].to_numpy(np.int64)
    folds = []
    for number in range(numbers.max() + 1):
        column = f"train_{number}"
        train = table[column].astype(str) == "True" if column in table else numbers != number
        folds.append(Fold(np.flatnonzero(train), np.flatnonzero(numbers == number)))
    return verified(folds, len(table), covering=False)
