"""What pictures call a row by: its known answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame


def labels(rows: DataFrame, targets: Sequence[str]) -> list[str]:
    """The targets of each row that are words; where none is, the first one's name and value; nothing without any.

    A path to a mask is no word, and columns that the rows lack are left out.

    >>> from pandas import DataFrame
    >>> rows = DataFrame({"defect": [0, 1], "kind": ["good", "crack"]})
    >>> labels(rows, ["defect", "kind"]), labels(rows, ["defect"])
    (['good', 'crack'], ['defect 0', 'defect 1'])
    """
    known = [name for name in targets if name in rows and name != "mask_path"]
    words = [name for name in known if rows[name].map(type).eq(str).all()]
    if words:
        return [", ".join(line) for line in zip(*(rows[name] for name in words), strict=True)]
    return [f"{known[0]} {value}" for value in rows[known[0]]] if known else [""] * len(rows)
