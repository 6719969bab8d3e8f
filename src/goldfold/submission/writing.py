"""A submission is checked against the sample submission, then written whole with its provenance beside it."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_bytes, write_json
from goldfold.submission.checks import broken_by

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.competition import Submission


def check(frame: DataFrame, sample: DataFrame, test: DataFrame, submission: Submission) -> None:
    """Raise a GoldfoldError for the first rule that `frame` breaks; the first column of `sample` holds the ids.

    The rules, in this order: the sample's columns in its order; its ids, each once and in its order (with
    `many_per_id`: each at least once, in any order); no missing value, except in columns that `may_be_empty`; the
    sample's kinds of values (numbers, text, booleans); no infinity; the competition's own checks.
    """
    _check_columns(list(frame.columns), list(sample.columns))
    key = sample.columns[0]
    _check_ids(frame[key], sample[key], submission.many_per_id)
    for column in sample.columns[1:]:
        own = submission.checks.get(column)
        _check_values(frame[column], sample[column], frame[key], column in submission.may_be_empty)
        complaint = own and own(frame[column], frame[key], test)
        if complaint:
            raise _broken(f"column '{column}' {complaint}")


def write(frame: DataFrame, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write `path` (CSV, utf-8) and then `<path>.json`: provenance, sha256 of the CSV, rows.

    Each appears by rename and the JSON last: where it is, the CSV is whole. Floats read back as they were.
    """
    beside = path.with_name(f"{path.name}.json")
    data = frame.to_csv(index=False, lineterminator="\n").encode("utf-8")
    beside.unlink(missing_ok=True)  # it describes the file that is about to be replaced
    write_bytes(path, data)
    write_json(beside, {**provenance, "sha256": hashlib.sha256(data).hexdigest(), "rows": len(frame)})


def refuse_edited(path: Path) -> None:
    """Raise GoldfoldError where `path` is no longer the file its run wrote: its score would not be the run's."""
    beside = path.with_name(f"{path.name}.json")
    if not (path.exists() and beside.exists()):
        return
    if hashlib.sha256(path.read_bytes()).hexdigest() != read_json(beside)["sha256"]:
        raise GoldfoldError(f"{path} was changed since its run wrote it: undo that, or train the run again")


def read(path: Path, sample: DataFrame) -> DataFrame:
    """A submission from disk with text where `sample` has text, so that an id `007` stays one; only an empty field is
    missing, so that `NA` and `None` stay names of classes. Raises GoldfoldError where there is no readable CSV."""
    text = {column: str for column in sample.columns if _kind(sample[column]) == "text"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would lose a field
            return pd.read_csv(
                path,
                dtype=text,
                index_col=False,
                keep_default_na=False,
                na_values=[""],
                encoding="utf-8",
            )
    except FileNotFoundError:
        raise GoldfoldError(f"there is no submission {path}: train a run first, it writes one") from None
    except (ValueError, OSError, pd.errors.ParserWarning) as error:
        raise GoldfoldError(f"{path} is not a CSV file in utf-8 ({error}): write it again from its run") from error


def _check_columns(found: list[str], wanted: list[str]) -> None:
    faults = {
        "lacks column": [column for column in wanted if column not in found],
        "has a column the sample has not,": [column for column in found if column not in wanted],
        "repeats column": [column for column in wanted if found.count(column) > 1],
        "has columns in another order than the sample, first": [
            a for a, b in zip(found, wanted, strict=False) if a != b
        ],
    }
    for fault, columns in faults.items():
        if columns:
            names = ", ".join(map(str, wanted[:9])) + (", ..." if len(wanted) > 9 else "")
            raise GoldfoldError(f"the submission {fault} '{columns[0]}' ({len(columns)} such): write {names}")


def _check_ids(ids: Series, wanted: Series, many_per_id: bool) -> None:
    if _missing(ids).any():
        raise _broken(f"an id must not be empty, {broken_by(_missing(ids), ids)}")
    if _kind(ids) != _kind(wanted) and len(ids):
        raise _broken(f"ids must be {_kind(wanted)} as in the sample ({wanted.dtype}), not {_kind(ids)} ({ids.dtype})")
    if _as_the_sample(ids, wanted, many_per_id):
        return
    codes, names = pd.factorize(pd.concat([wanted, ids], ignore_index=True))
    want, have = codes[: len(wanted)], codes[len(wanted) :]
    absent = np.bincount(have, minlength=len(names))[want] == 0
    if absent.any():
        raise _broken(f"every id of the sample must be there, {broken_by(absent, wanted)} of the sample")
    extra = have > want.max(initial=-1)
    if extra.any():
        raise _broken(f"every id must be one of the sample, {broken_by(extra, ids)}")
    if many_per_id:
        return
    again = pd.Series(have).duplicated()
    if again.any():
        raise _broken(f"an id must be there once, {broken_by(again, ids)}")
    moved = have != want
    if moved.any():
        raise _broken(f"ids must have the order of the sample, {broken_by(moved, wanted, ids)}")


def _as_the_sample(ids: Series, wanted: Series, many_per_id: bool) -> bool:
    """Whether they are its ids one by one, which is sooner seen than what is wrong with others."""
    one, other = ids.to_numpy(object).tolist(), wanted.to_numpy(object).tolist()
    return one == other and (many_per_id or len(set(one)) == len(one))


def _check_values(values: Series, sample: Series, ids: Series, may_be_empty: bool) -> None:
    missing = _missing(values)
    if missing.any() and not may_be_empty:
        raise _broken(f"column '{values.name}' must have no missing value, {broken_by(missing, ids)}")
    if missing.all() or _missing(sample).all():
        return
    if _kind(values).removeprefix("whole ") != _kind(sample).removeprefix("whole "):
        no_number = ~missing & pd.to_numeric(values, errors="coerce").isna()
        strange = no_number if no_number.any() else ~missing
        types = f"must be {_kind(sample)} as in the sample ({sample.dtype}), not {_kind(values)} ({values.dtype})"
        raise _broken(f"column '{values.name}' {types}, {broken_by(strange, ids, values)}")
    infinite = values.isin([np.inf, -np.inf])
    if infinite.any():
        raise _broken(f"column '{values.name}' must be finite, {broken_by(infinite, ids, values)}")


def _missing(values: Series) -> Series:
    """What a CSV file cannot tell from an empty field."""
    return values.isna() | (values == "") if _kind(values) == "text" else values.isna()


def _kind(values: Series) -> str:
    names = {"i": "whole numbers", "u": "whole numbers", "f": "numbers", "b": "booleans", "O": "text"}
    return names.get(values.dtype.kind, str(values.dtype))


def _broken(rule: str) -> GoldfoldError:
    return GoldfoldError(f"the submission is not valid: {rule}; correct what the competition's submission.py writes")
