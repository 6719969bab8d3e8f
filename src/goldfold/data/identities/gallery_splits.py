"""Query/gallery splits for re-identification: a random photograph of each identity is the gallery, others are queries.

The protocol of published studies repeats the draw and reports the mean over splits. Splits are a column of text, so
that tables, solutions and files hold them: a letter for each split, `g` for a row in its gallery, `q` for a query.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from goldfold.data.fold_checks import codes_of
from goldfold.io import seeding

ROLES = {"g": "gallery", "q": "query"}


def draw(identities: Sequence, splits: int, seed: int) -> list[str]:
    """Draw one row of each identity into the gallery of each split; equal seeds draw equally.

    Returns a text of `splits` letters for each row. An identity of one photograph is in every gallery and never a
    query. Raises GoldfoldError for missing identities.

    >>> sorted(draw(["a", "a", "b"], 4, seed=0)[2:])
    ['gggg']
    """
    codes, _ = codes_of(identities, "identity")
    letters = np.full((splits, len(codes)), "q")
    for split, own in enumerate(letters):
        order = np.random.default_rng(seeding.derive(seed, "gallery", split)).permutation(len(codes))
        own[order[np.unique(codes[order], return_index=True)[1]]] = "g"
    return ["".join(own) for own in letters.T]


def is_query(roles: pd.Series, split: int) -> np.ndarray:
    """Return which rows are queries of a split, bool (n,); the others are its gallery."""
    return (roles.str[split] == "q").to_numpy()


def table(ids: Sequence, roles: Sequence[str]) -> pd.DataFrame:
    """Return splits as a table with a row for each split and row of data: split (from 0), role, id."""
    per_split = [
        pd.DataFrame({"split": split, "role": [ROLES[letter] for letter in letters], "id": list(ids)})
        for split, letters in enumerate(zip(*roles, strict=True))
    ]
    return pd.concat(per_split, ignore_index=True).sort_values(["split", "role"], kind="stable", ignore_index=True)
