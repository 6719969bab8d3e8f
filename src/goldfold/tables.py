"""Checks and views of a competition's tables: what every recipe may rely on is verified once, here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from goldfold.errors import GoldfoldError, unknown

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.competition import Competition, Tables


def check(competition: Competition, tables: Tables) -> None:
    """Refuse tables nobody should train on.

    Raises:
        GoldfoldError: no rows, no or repeated ids, a target that is absent or has gaps, targets in the test table, a
            file in `path` that is absent, empty or no image.
    """
    for name, rows in (("train", tables.train), ("test", tables.test)):
        _check_ids(name, rows)
        if "path" in rows:
            from goldfold import images

            images.check(rows["path"])
    for target in competition.targets:
        _check_target(tables, target)
    if competition.group is not None and competition.group not in tables.train:
        raise unknown("column in the train table", competition.group, tables.train.columns)


def _check_ids(name: str, rows: DataFrame) -> None:
    if not len(rows):
        raise GoldfoldError(f"the {name} table has no rows: look at what load() reads")
    if "id" not in rows:
        raise GoldfoldError(
            f"the {name} table needs a column 'id' and has {', '.join(map(str, rows.columns[:8]))}: rename it in load()"
        )
    repeated = rows["id"][rows["id"].duplicated()]
    if len(repeated):
        raise GoldfoldError(
            f"ids must be unique, and the {name} table repeats {len(repeated)}, first {repeated.iloc[0]!r}: "
            "drop the copies in load(), or number them"
        )
    if rows["id"].isna().any():
        raise GoldfoldError(f"the {name} table has {rows['id'].isna().sum()} rows without an id: drop them in load()")


def _check_target(tables: Tables, target: str) -> None:
    if target not in tables.train:
        raise unknown("target column in the train table", target, map(str, tables.train.columns))
    if target in tables.test:
        raise GoldfoldError(f"the test table holds the target '{target}': drop it in load(), no model may see it")
    gaps = tables.train.loc[tables.train[target].isna(), "id"]
    if len(gaps):
        raise GoldfoldError(
            f"target '{target}' is missing in {len(gaps)} train rows, first id {gaps.iloc[0]!r}: drop them in load()"
        )


def without_targets(rows: DataFrame, targets: Sequence[str]) -> DataFrame:
    """The rows as prediction sees them: no target columns, positions renumbered from 0."""
    return rows.drop(columns=[target for target in targets if target in rows]).reset_index(drop=True)


def contents(rows: DataFrame, targets: Sequence[str]) -> Series:
    """A hash of what each row shows a model: its file's bytes, or all its columns but id and targets."""
    import pandas as pd

    if "path" in rows:
        from goldfold import images

        with ThreadPoolExecutor() as pool:
            return pd.Series(list(pool.map(images.content_hash, rows["path"])), index=rows.index)
    shown = without_targets(rows, targets).drop(columns="id")
    return pd.Series(pd.util.hash_pandas_object(shown, index=False).to_numpy(), index=rows.index)


def data_hash(tables: Tables, train_contents: Series, test_contents: Series) -> str:
    """SHA-256 over both tables (paths aside) and the contents of their files: equal data, equal hash."""
    import pandas as pd

    digest = hashlib.sha256()
    for rows, content in ((tables.train, train_contents), (tables.test, test_contents)):
        plain = rows.drop(columns=[column for column in rows if str(column).endswith("path")]).astype(str)
        digest.update(pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes())
        digest.update("\n".join(map(str, content)).encode())
    return digest.hexdigest()
