"""Several labels per row: sets of labels as columns of 0 and 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from goldfold.errors import GoldfoldError, unknown


def indicator_columns(sets: Iterable, labels: Sequence[str] | None = None, *, separator: str = "|") -> pd.DataFrame:
    """Turn one column of label sets into a column of 0 and 1 (int64) per label, for `load()`.

    sets: text such as "Drama|Comedy", or a list, tuple or set of labels, one per row. A missing value, an empty text
        and an empty list are rows without labels. Labels are stripped of spaces, and a repeated one counts once.
    labels: the columns in their order; by default all labels that occur, sorted.

    The index is that of `sets` if it is a Series, else 0, 1, 2 ...

    >>> indicator_columns(["Drama|Comedy", "", ["Drama"]]).to_dict("list")
    {'Comedy': [1, 0, 0], 'Drama': [1, 0, 1]}

    Raises:
        GoldfoldError: `unknown_label`, a label that is not among `labels`; `label_set_invalid`, a value that is neither
            text nor a list.
    """
    series = sets if isinstance(sets, pd.Series) else pd.Series(list(sets), dtype=object)
    rows = [_members(value, separator) for value in series.tolist()]
    order = list(labels) if labels is not None else sorted({label for row in rows for label in row})
    place = {label: at for at, label in enumerate(order)}
    found = np.zeros((len(rows), len(order)), np.int64)
    for number, row in enumerate(rows):
        for label in row:
            if label not in place:
                raise unknown("label", label, map(str, order), code="unknown_label")
            found[number, place[label]] = 1
    return pd.DataFrame(found, index=series.index, columns=order)


def _members(value: Any, separator: str) -> list[str]:
    if isinstance(value, str):
        value = value.split(separator)
    elif value is None or (np.ndim(value) == 0 and not isinstance(value, (set, frozenset)) and pd.isna(value)):
        return []
    elif not isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        raise GoldfoldError(
            "label_set_invalid",
            f"a set of labels must be text such as 'Drama{separator}Comedy' or a list, got {value!r}: convert it in "
            "load()",
        )
    return [label for each in value if (label := str(each).strip())]
