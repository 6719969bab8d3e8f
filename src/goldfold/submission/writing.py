"""Check a submission against the sample submission; write it atomically with its provenance; read it."""

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
from goldfold.submission.checks import wrong_rows

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.competition import Submission


def check(frame: DataFrame, sample: DataFrame, test: DataFrame, submission: Submission) -> None:
    """Check `frame` against `sample`, whose first column holds the ids, and against the competition's own checks.

    The rules, in this order: the same columns in the same order; the same ids, each once and in the same order (with
    `many_per_id` each at least once, in any order); no missing values, except in columns that `may_be_empty`; the same
    kinds of values (numbers, text, booleans); no infinite values; the checks of the competition.

    Raises:
        GoldfoldError: the first broken rule, with a code that starts with `submission_`.
    """
    _check_columns(list(frame.columns), list(sample.columns))
    key = sample.columns[0]
    _check_ids(frame[key], sample[key], submission.many_per_id)
    for column in sample.columns[1:]:
        own = submission.checks.get(column)
        _check_values(frame[column], sample[column], frame[key], column in submission.may_be_empty)
        complaint = own and own(frame[column], frame[key], test)
        if complaint:
            raise _invalid("submission_value_invalid", f"column '{column}' {complaint}")


def write(frame: DataFrame, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write `path` (CSV, UTF-8) and then `<path>.json`: the provenance, sha256 of the CSV and its number of rows.

    Both are written atomically, the JSON last: if it exists, the CSV is complete. Floats are written exactly.
    """
    beside = path.with_name(f"{path.name}.json")
    data = frame.to_csv(index=False, lineterminator="\n").encode("utf-8")
    beside.unlink(missing_ok=True)  # it describes the file that is replaced next
    write_bytes(path, data)
    write_json(beside, {**provenance, "sha256": hashlib.sha256(data).hexdigest(), "rows": len(frame)})


def check_unchanged(path: Path) -> None:
    """Check that `path` is still the file that its run wrote; otherwise its score would not be the run's.

    Raises:
        GoldfoldError: `submission_changed`.
    """
    beside = path.with_name(f"{path.name}.json")
    if not (path.exists() and beside.exists()):
        return
    if hashlib.sha256(path.read_bytes()).hexdigest() != read_json(beside)["sha256"]:
        raise GoldfoldError(
            "submission_changed", f"{path} was changed since its run wrote it: restore it, or train the run again"
        )


def read(path: Path, sample: DataFrame) -> DataFrame:
    """Read a submission; columns that are text in `sample` are read as text, so that an id 007 keeps its zeros.

    Only empty fields count as missing, so that classes may be called NA or None.

    Raises:
        GoldfoldError: `submission_missing`; `submission_unreadable`, the file is not CSV in UTF-8.
    """
    text = {column: str for column in sample.columns if _kind(sample[column]) == "text"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # else rows longer than the header lose a field
            return pd.read_csv(
                path,
                dtype=text,
                index_col=False,
                keep_default_na=False,
                na_values=[""],
                encoding="utf-8",
            )
    except FileNotFoundError:
        raise GoldfoldError(
            "submission_missing", f"there is no submission {path}: train a run first, which writes one"
        ) from None
    except (ValueError, OSError, pd.errors.ParserWarning) as error:
        raise GoldfoldError(
            "submission_unreadable", f"{path} is not a CSV file in UTF-8 ({error}): write it again from its run"
        ) from error


def _check_columns(found: list[str], wanted: list[str]) -> None:
    faults = {
        "lacks column": [column for column in wanted if column not in found],
        "has an extra column": [column for column in found if column not in wanted],
        "repeats column": [column for column in wanted if found.count(column) > 1],
        "has columns in another order than the sample, first at": [
            a for a, b in zip(found, wanted, strict=False) if a != b
        ],
    }
    for fault, columns in faults.items():
        if columns:
            names = ", ".join(map(str, wanted[:9])) + (", ..." if len(wanted) > 9 else "")
            raise GoldfoldError(
                "submission_columns_differ",
                f"the submission {fault} '{columns[0]}' ({len(columns)} in all): the columns must be {names}",
            )


def _check_ids(ids: Series, wanted: Series, many_per_id: bool) -> None:
    if _missing(ids).any():
        raise _invalid("submission_id_missing", f"ids must not be empty; {wrong_rows(_missing(ids), ids)}")
    if _kind(ids) != _kind(wanted) and len(ids):
        types = f"{_kind(wanted)} as in the sample ({wanted.dtype}), not {_kind(ids)} ({ids.dtype})"
        raise _invalid("submission_id_type_differs", f"ids must be {types}")
    if _as_the_sample(ids, wanted, many_per_id):
        return
    codes, names = pd.factorize(pd.concat([wanted, ids], ignore_index=True))
    want, have = codes[: len(wanted)], codes[len(wanted) :]
    absent = np.bincount(have, minlength=len(names))[want] == 0
    if absent.any():
        raise _invalid(
            "submission_ids_absent", f"all ids of the sample are needed; {wrong_rows(absent, wanted)} of the sample"
        )
    extra = have > want.max(initial=-1)
    if extra.any():
        raise _invalid("submission_ids_unknown", f"every id must be in the sample; {wrong_rows(extra, ids)}")
    if many_per_id:
        return
    repeated = pd.Series(have).duplicated()
    if repeated.any():
        raise _invalid("submission_ids_repeated", f"every id must appear once; {wrong_rows(repeated, ids)}")
    moved = have != want
    if moved.any():
        raise _invalid(
            "submission_ids_reordered", f"ids must be in the order of the sample; {wrong_rows(moved, wanted, ids)}"
        )


def _as_the_sample(ids: Series, wanted: Series, many_per_id: bool) -> bool:
    """Return whether the ids equal the sample's one by one: a fast path before the detailed checks."""
    one, other = ids.to_numpy(object).tolist(), wanted.to_numpy(object).tolist()
    return one == other and (many_per_id or len(set(one)) == len(one))


def _check_values(values: Series, sample: Series, ids: Series, may_be_empty: bool) -> None:
    missing = _missing(values)
    if missing.any() and not may_be_empty:
        raise _invalid(
            "submission_value_missing",
            f"column '{values.name}' must have no missing values; {wrong_rows(missing, ids)}",
        )
    if missing.all() or _missing(sample).all():
        return
    if _kind(values).removeprefix("whole ") != _kind(sample).removeprefix("whole "):
        no_number = ~missing & pd.to_numeric(values, errors="coerce").isna()
        wrong = no_number if no_number.any() else ~missing
        types = f"must be {_kind(sample)} as in the sample ({sample.dtype}), not {_kind(values)} ({values.dtype})"
        raise _invalid(
            "submission_value_type_differs", f"column '{values.name}' {types}; {wrong_rows(wrong, ids, values)}"
        )
    infinite = values.isin([np.inf, -np.inf])
    if infinite.any():
        raise _invalid(
            "submission_value_infinite",
            f"column '{values.name}' must be finite; {wrong_rows(infinite, ids, values)}",
        )


def _missing(values: Series) -> Series:
    """Return which values a CSV file writes as empty fields."""
    return values.isna() | (values == "") if _kind(values) == "text" else values.isna()


def _kind(values: Series) -> str:
    names = {"i": "whole numbers", "u": "whole numbers", "f": "numbers", "b": "booleans", "O": "text"}
    return names.get(values.dtype.kind, str(values.dtype))


def _invalid(code: str, rule: str) -> GoldfoldError:
    return GoldfoldError(code, f"invalid submission: {rule}. Fix `write` in the competition's submission.py.")
