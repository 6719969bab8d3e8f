"""Captions of rows in pictures: their known targets as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame


def labels(rows: DataFrame, targets: Sequence[str]) -> list[str]:
    """Label each row by its text targets, or by name and value of the first target if none is text.

    Columns that the rows lack and `mask_path` are ignored; without any target the labels are empty.

    >>> from pandas import DataFrame
    >>> rows = DataFrame({"defect": [0, 1], "kind": ["good", "crack"]})
    >>> labels(rows, ["defect", "kind"]), labels(rows, ["defect"])
    (['good', 'crack'], ['defect 0', 'defect 1'])
    """
    known = [name for name in targets if name in rows and name != "mask_path"]
    texts = [name for name in known if all(type(value) is str for value in rows[name])]
    if texts:
        return [", ".join(values) for values in zip(*(rows[name] for name in texts), strict=True)]
    return [f"{known[0]} {value}" for value in rows[known[0]]] if known else [""] * len(rows)


def label_sets(names: Sequence[str], known: np.ndarray) -> list[str]:
    """Label each row by the names of its labels, separated by commas. known: bool (rows, names).

    >>> import numpy as np
    >>> label_sets(["cat", "dog"], np.array([[True, True], [False, False]]))
    ['cat, dog', '']
    """
    return [", ".join(name for name, on in zip(names, own, strict=True) if on) for own in known]
