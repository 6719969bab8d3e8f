"""Check a competition's tables once, so that recipes can rely on them; remove targets; hash the contents."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.data import columns, csv_tables
from goldfold.data.column_values import check_one_kind
from goldfold.data.fold_checks import codes_of
from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.competition import Competition, Tables


def check(competition: Competition, tables: Tables) -> None:
    """Check that the tables are complete and free of target leakage.

    Raises:
        GoldfoldError: a table has no rows or two columns of one name, or ids are missing or repeated; a target is
            missing in a train row or is in the test table; a column that the competition names does not exist; the
            group has gaps; a target or the group mixes numbers and text; a file in `path` or `mask_path` is absent; the
            sample submission asks for ids that the test table lacks, or looks damaged.
    """
    if isinstance(competition.targets, str):
        raise GoldfoldError(
            "targets_not_a_tuple",
            f"targets must be a tuple of column names, got {competition.targets!r}: write targets="
            f"({competition.targets!r},)",
        )
    for name, rows in (("train", tables.train), ("test", tables.test)):
        check_ids(name, rows)
        for column in ("path", "mask_path"):
            _check_files(name, rows, column)
    _check_sample(tables.sample_submission, tables, competition.targets)
    for target in competition.targets:
        _check_target(tables, target)
    if competition.group is not None:
        columns.require(tables.train, competition.group, "group column in the train table")
        _check_complete(tables.train, competition.group, "group")
        codes_of(tables.train[competition.group], f"group '{competition.group}'")
    _check_named(competition, tables)


def _check_named(competition: Competition, tables: Tables) -> None:
    """Check the columns that both tables must have, but for targets."""
    close = competition.neighbors
    named = [("object_class", competition.object_class)] if competition.object_class is not None else []
    named += [("sequence", close.sequence), ("time", close.time)] if close else []
    for what, column in named:
        columns.require(tables.train, column, f"{what} column in the train table")
        if column not in competition.targets:
            columns.require(tables.test, column, f"{what} column in the test table")


def check_ids(name: str, rows: DataFrame) -> None:
    """Check that a table has rows, columns of different names, and unique ids; `name` is told in errors."""
    if not len(rows):
        raise GoldfoldError("table_empty", f"the {name} table has no rows: check which file load() reads")
    doubled = rows.columns[rows.columns.duplicated()].tolist()
    if doubled:
        raise GoldfoldError(
            "columns_not_unique",
            f"the {name} table has {len(doubled)} columns of a name it already has, first {doubled[0]!r}: rename "
            "or drop them in load()",
        )
    if "id" not in rows:
        columns = ", ".join(map(str, rows.columns[:8]))
        raise GoldfoldError(
            "id_column_missing", f"the {name} table has no column 'id', only {columns}: rename the id column in load()"
        )
    if rows["id"].isna().any():
        count = rows["id"].isna().sum()
        raise GoldfoldError(
            "id_missing",
            f"the {name} table has {count} rows without an id: drop them in load(), or read ids as text if one is NA",
        )
    repeated = rows["id"][csv_tables.written(rows["id"]).duplicated()].tolist()  # files do not tell 1 from "1"
    if repeated:
        raise GoldfoldError(
            "ids_not_unique",
            f"ids must be unique, but the {name} table repeats {len(repeated)}, first {repeated[0]!r}: "
            "drop the duplicates in load(), or number them",
        )


def _check_files(name: str, rows: DataFrame, column: str) -> None:
    """Check that the files of a column exist; `image_checks` decodes them."""
    absent = [path for path in rows.get(column, ()) if not _is_file(path)]
    if absent:
        raise GoldfoldError(
            "unreadable_image",
            f"{len(absent)} of {len(rows)} files in {column} of the {name} table do not exist, first '{absent[0]}'"
            f"{_near(absent[0])}: prepare or download the data again",
        )


def _near(path: object) -> str:
    """The file of the most similar name in the folder of an absent one, as masks are often named otherwise."""
    if not isinstance(path, str | Path) or not os.path.isdir(Path(path).parent):
        return ""
    near = difflib.get_close_matches(Path(path).name, sorted(os.listdir(Path(path).parent))[:5000], n=1)
    return f" (its folder has '{near[0]}')" if near else ""


def _is_file(path: object) -> bool:
    return isinstance(path, str | Path) and os.path.isfile(path)  # False for text that cannot be a path, too


def _check_sample(sample: DataFrame, tables: Tables, targets: Sequence[str]) -> None:
    """Check header and ids: the test table has all sample ids or none (a row may ask for a pair of images, say)."""
    known = [str(name) for table in (tables.test, tables.train) for name in table.columns]
    for at, name in enumerate(map(str, sample.columns)):
        plain = name.strip(" \t\"'\ufeff")
        if not name.isprintable() or not plain or (plain != name and (at == 0 or plain in targets)):
            near = difflib.get_close_matches(plain, known, n=1, cutoff=0.8)
            told = f" where the tables have {near[0]!r}" if near and near[0] != name else ""
            raise _sample_damaged(f"its column {at + 1} is called {name!r}{told}")
    ids, wanted = csv_tables.written(tables.test["id"]), csv_tables.written(sample.iloc[:, 0])
    absent = wanted[~wanted.isin(ids)]
    if not len(absent):
        return
    for name in sample.columns[1:]:
        if len(absent) == len(sample) and csv_tables.written(sample[name]).isin(ids).all():
            raise _sample_damaged(f"the ids of the test table are in its column {name!r}, not in the first")
    stripped = absent[absent.str.strip(" \t\r\n\"'\ufeff").isin(ids)].tolist()
    if stripped:
        raise _sample_damaged(
            f"{len(stripped)} of its ids have other characters around those of load()'s, {stripped[0]!r}"
        )
    if len(absent) < len(wanted):
        respelled = pd.to_numeric(absent, errors="coerce").isin(pd.to_numeric(ids, errors="coerce").dropna())
        first = absent[respelled].tolist()[:1] or absent.tolist()
        hint = "read ids as text, as goldfold.data.csv_tables.read does" if respelled.any() else "read all test rows"
        raise GoldfoldError(
            "sample_ids_unknown",
            f"the sample submission asks for {len(absent)} ids that the test table lacks, first {first[0]!r}: "
            f"{hint} in load()",
        )


def _sample_damaged(fault: str) -> GoldfoldError:
    return GoldfoldError(
        "sample_damaged", f"the sample submission looks damaged: {fault}. Download it again, or mend it in load()."
    )


def _check_target(tables: Tables, target: str) -> None:
    columns.require(tables.train, target, "target column in the train table")
    if target in tables.test:
        raise GoldfoldError(
            "target_in_test", f"the test table holds the target '{target}', which leaks labels: drop it in load()"
        )
    _check_complete(tables.train, target, "target")
    check_one_kind(tables.train[target], f"target '{target}'")


def _check_complete(train: DataFrame, column: str, what: str) -> None:
    gaps = train.loc[train[column].isna(), "id"].tolist()
    if gaps:
        raise GoldfoldError(
            "values_missing",
            f"{what} '{column}' is missing in {len(gaps)} train rows, first id {gaps[0]!r}: drop them in load()",
        )


def without_targets(rows: DataFrame, targets: Sequence[str]) -> DataFrame:
    """Return the rows as `Plan.predict` gets them: without target columns, index renumbered from 0."""
    present = [target for target in targets if target in rows]
    return (rows.drop(columns=present) if present else rows).reset_index(drop=True)


def content_hashes(rows: DataFrame, targets: Sequence[str]) -> Series:
    """Hash the features of each row: the bytes of its file, or all columns except id and targets.

    Rows with equal hashes are duplicates. The index is that of `rows`.
    """
    if "path" in rows:
        return pd.Series(_file_hashes(rows["path"]), index=rows.index)
    features = without_targets(rows, targets)
    if len(features.columns) > 1:  # rows of a table with ids only differ by their ids
        features = features.drop(columns="id")
    features = features.map(lambda cell: cell.tobytes() if isinstance(cell, np.ndarray) else _hashable(cell))
    return pd.Series(pd.util.hash_pandas_object(features, index=False).to_numpy(), index=rows.index)


def _hashable(cell: object) -> object:
    return repr(cell) if isinstance(cell, (list, tuple, dict, set, frozenset)) else cell


def _file_hashes(paths: Series) -> list[str]:
    from goldfold.images import reading

    return reading.content_hashes(paths.tolist())


def data_hash(tables: Tables, train_contents: Series, test_contents: Series) -> str:
    """Return the SHA-256 of all tables (without `path`) and of the contents of their files.

    train_contents, test_contents: as `content_hashes` returns them.
    """
    digest = hashlib.sha256()
    parts = [(tables.train, train_contents), (tables.test, test_contents)]
    if tables.extra is not None:  # what it adds to the hash leaves that of tables without it alone
        parts.append((tables.extra, content_hashes(tables.extra, ())))
    for rows, content in parts:
        plain = rows.drop(columns="path", errors="ignore").astype(str)
        for column in [c for c in plain if str(c).endswith("path") and _is_file(plain[c].iloc[0])]:
            plain[column] = _file_hashes(plain[column])  # such as masks, which `content_hashes` does not cover
        digest.update(pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes())
        digest.update("\n".join(map(str, content)).encode())
    return digest.hexdigest()
