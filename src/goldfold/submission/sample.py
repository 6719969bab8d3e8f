"""The sample submission as its file spells it, whatever load() made of its ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from goldfold.data.csv_tables import ONLY_EMPTY, written
from goldfold.submission import sample_checks, writing

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Submission


def from_file(public: Path, loaded: DataFrame, submission: Submission) -> DataFrame:
    """Return the sample submission of the CSV file in `public` that load() read, keys as text.

    The file is known by its columns and its ids, and `loaded` is returned if there is none. Columns that load() reads
    as text stay text, the kinds of other columns are pandas' guess.

    loaded: `Tables.sample_submission`. submission: says which columns are keys, see `sample_checks.key_columns`.
    """
    for path in sorted(public.glob("*.csv"), key=lambda path: (path.name != "sample_submission.csv", path.name)):
        if _is_read_from(path, loaded):
            text = pd.read_csv(path, dtype=str, **ONLY_EMPTY)
            keys = sample_checks.key_columns(text, submission)
            return writing.read(path, loaded.assign(**{key: text[key].to_numpy() for key in keys}))
    return loaded


def _is_read_from(path: Path, loaded: DataFrame) -> bool:
    """Return whether a file has the columns and ids of `loaded`, some of which may have been read as numbers or NaN."""
    try:
        if list(pd.read_csv(path, nrows=0).columns) != list(loaded.columns):
            return False
        ids = pd.read_csv(path, dtype=str, usecols=[0], **ONLY_EMPTY).iloc[:, 0]
    except (OSError, ValueError):
        return False
    own = loaded.iloc[:, 0].reset_index(drop=True)
    if len(ids) != len(own):
        return False
    other = written(own) != ids
    equal = pd.to_numeric(ids[other], errors="coerce") == pd.to_numeric(own[other], errors="coerce")
    return bool((equal | own[other].isna()).all())
