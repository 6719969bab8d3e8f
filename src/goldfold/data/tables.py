"""Checks and views of a competition's tables: what every recipe may rely on is verified once, here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from goldfold.errors import GoldfoldError, unknown

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.competition import Competition, Tables


def check(competition: Competition, tables: Tables) -> None:
    """Refuse tables nobody should train on.

    Raises:
        GoldfoldError: no rows, no or repeated ids, a target that is absent or has gaps, targets in the test table, a
            file in `path` that is absent, empty or no image, ids in the sample submission that the test table lacks.
    """
    for name, rows in (("train", tables.train), ("test", tables.test)):
        _check_ids(name, rows)
        if "path" in rows:
            from goldfold.images import reading as images

            images.check(rows["path"])
    _check_sample(tables.sample_submission, tables.test["id"])
    for target in competition.targets:
        _check_target(tables, target)
    if competition.group is not None:
        if competition.group not in tables.train:
            raise unknown("column in the train table", competition.group, map(str, tables.train.columns))
        _check_complete(tables.train, competition.group, "group")


def _check_ids(name: str, rows: DataFrame) -> None:
    if not len(rows):
        raise GoldfoldError(f"the {name} table has no rows: look at what load() reads")
    if "id" not in rows:
        raise GoldfoldError(
            f"the {name} table needs a column 'id' and has {', '.join(map(str, rows.columns[:8]))}: rename it in load()"
        )
    if rows["id"].isna().any():
        raise GoldfoldError(f"the {name} table has {rows['id'].isna().sum()} rows without an id: drop them in load()")
    repeated = rows["id"][rows["id"].duplicated()].tolist()
    if repeated:
        raise GoldfoldError(
            f"ids must be unique, and the {name} table repeats {len(repeated)}, first {repeated[0]!r}: "
            "drop the copies in load(), or number them"
        )


def _check_sample(sample: DataFrame, ids: Series) -> None:
    """Ids of the two may have nothing in common, where a row asks for a pair, say; some in common are a mistake."""
    asked = sample.iloc[:, 0]
    known = asked.isin(ids)
    if known.any() and not known.all():
        lost = asked[~known].tolist()
        raise GoldfoldError(
            f"the sample submission asks for {len(lost)} ids that the test table lacks, first {lost[0]!r}: "
            "read all test rows in load()"
        )


def _check_target(tables: Tables, target: str) -> None:
    if target not in tables.train:
        raise unknown("target column in the train table", target, map(str, tables.train.columns))
    if target in tables.test:
        raise GoldfoldError(f"the test table holds the target '{target}': drop it in load(), no model may see it")
    _check_complete(tables.train, target, "target")


def _check_complete(train: DataFrame, column: str, what: str) -> None:
    gaps = train.loc[train[column].isna(), "id"].tolist()
    if gaps:
        raise GoldfoldError(
            f"{what} '{column}' is missing in {len(gaps)} train rows, first id {gaps[0]!r}: drop them in load()"
        )


def without_targets(rows: DataFrame, targets: Sequence[str]) -> DataFrame:
    """The rows as prediction sees them: no target columns, positions renumbered from 0."""
    held = [target for target in targets if target in rows]
    return (rows.drop(columns=held) if held else rows).reset_index(drop=True)


def contents(rows: DataFrame, targets: Sequence[str]) -> Series:
    """A hash of what each row shows a model: its file's bytes, or all its columns but id and targets."""
    import numpy as np
    import pandas as pd

    if "path" in rows:
        return pd.Series(_content_hashes(rows["path"]), index=rows.index)
    shown = without_targets(rows, targets)
    if len(shown.columns) > 1:  # else the id is all there is to tell rows apart
        shown = shown.drop(columns="id")
    shown = shown.map(lambda cell: cell.tobytes() if isinstance(cell, np.ndarray) else _hashable(cell))
    return pd.Series(pd.util.hash_pandas_object(shown, index=False).to_numpy(), index=rows.index)


def _hashable(cell: object) -> object:
    return repr(cell) if isinstance(cell, (list, dict, set)) else cell


def _content_hashes(paths: Series) -> list[str]:
    from goldfold.images import reading as images

    return images.content_hashes(paths.tolist())


def data_hash(tables: Tables, train_contents: Series, test_contents: Series) -> str:
    """SHA-256 over both tables (paths aside) and the contents of their files: equal data, equal hash."""
    import pandas as pd

    digest = hashlib.sha256()
    for rows, content in ((tables.train, train_contents), (tables.test, test_contents)):
        plain = rows.drop(columns="path", errors="ignore").astype(str)
        for column in [c for c in plain if str(c).endswith("path") and Path(plain[c].iloc[0]).is_file()]:
            plain[column] = _content_hashes(plain[column])  # masks, say, beside the pictures that `contents` is of
        digest.update(pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes())
        digest.update("\n".join(map(str, content)).encode())
    return digest.hexdigest()
