"""Checks of a submission against the sample submission: its columns, its keys, the kinds of its values.

The key of a row is its id, or several columns such as image and class. Keys are compared as text, as the two files
spell them; frames are as `writing.read` returns them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.data.csv_tables import written
from goldfold.errors import GoldfoldError
from goldfold.submission.checks import wrong_rows

PLAIN = (str, bytes, bool, int, float, np.generic, date, Decimal)
NUMBER = r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from goldfold.competition import Submission


def key_columns(sample: DataFrame, submission: Submission) -> list[str]:
    """Return the columns that name a row: `Submission.keys`, else the first, else the fewest leading unique ones."""
    columns = list(sample.columns)
    if submission.keys or submission.many_per_id:
        return list(submission.keys) or columns[:1]
    leading = (columns[:count] for count in range(1, len(columns)))
    return next((some for some in leading if not sample.duplicated(some).any()), columns[:1])


def check_frame(frame: object) -> None:
    """Check for a DataFrame of numbers and text; raises `submission_not_a_frame` or `submission_value_not_plain`."""
    if not isinstance(frame, pd.DataFrame):
        what = type(frame).__name__
        raise invalid("submission_not_a_frame", f"`write` must return a DataFrame, and it returned {what}")
    for number, column in enumerate(frame.columns):
        values = frame.iloc[:, number]
        odd = next((each for each in values if not _is_plain(each)), None) if values.dtype == object else None
        if odd is not None:
            raise invalid(
                "submission_value_not_plain",
                f"column '{column}' must have numbers or text, and it has a {type(odd).__name__} (convert a tensor "
                "with .item() or .tolist())",
            )


def _is_plain(value: object) -> bool:
    return value is None or value is pd.NA or isinstance(value, PLAIN)


def check_columns(found: Sequence[str], wanted: Sequence[str]) -> None:
    """Check for the same columns in the same order; raises `submission_columns_differ`."""
    faults = {
        "lacks column": [column for column in wanted if column not in found],
        "has an extra column": [column for column in found if column not in wanted],
        "repeats column": [column for column in wanted if list(found).count(column) > 1],
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


def check_keys(frame: DataFrame, sample: DataFrame, keys: Sequence[str], many: bool) -> Series:
    """Check for the keys of the sample, each once and in its order, with `many` each at least once; returns them.

    Raises:
        GoldfoldError: `submission_id_missing`, or `submission_ids_` with absent, unknown, repeated or reordered.
    """
    for key in keys:
        empty = is_missing(frame[key])
        if empty.any():
            raise invalid(
                "submission_id_missing", f"'{key}' must not be empty; {wrong_rows(empty, written(frame[keys[0]]))}"
            )
    ids, wanted = _names(frame, keys), _names(sample, keys)
    if not _same(ids, wanted, many):
        _refuse_other_keys(ids, wanted, many)
    return ids


def check_empty_rows(values: DataFrame, names: Series) -> None:
    """Check that a row without any value is the only row of its key: beside others it contradicts them.

    values: the columns that are no keys. names: the key of each row.

    Raises:
        GoldfoldError: `submission_value_invalid`.
    """
    empty = np.logical_and.reduce([_blank(values[column]) for column in values.columns])
    wrong = empty & names.duplicated(keep=False).to_numpy(bool) if empty.any() else empty
    if wrong.any():
        rule = "an id with several rows must have no empty row, which would say that there is nothing"
        raise invalid("submission_value_invalid", f"{rule}; {wrong_rows(wrong, names)}")


def _blank(values: Series) -> np.ndarray:
    """Return which values are missing or spaces alone, (n,) bool."""
    missing = is_missing(values).to_numpy(bool)
    return missing | (values.astype(str).str.strip(" ") == "").to_numpy(bool) if _kind(values) == "text" else missing


def _names(rows: DataFrame, keys: Sequence[str]) -> Series:
    """Return the key of each row: text, or a tuple of texts."""
    columns = [written(rows[key]) for key in keys]
    return columns[0] if len(keys) == 1 else pd.Series(list(zip(*columns, strict=True)), dtype=object)


def _same(ids: Series, wanted: Series, many: bool) -> bool:
    """Return whether the keys equal the sample's one by one: a fast path before the detailed checks."""
    one, other = ids.to_numpy(object).tolist(), wanted.to_numpy(object).tolist()
    return one == other and (many or len(set(one)) == len(one))


def _refuse_other_keys(ids: Series, wanted: Series, many: bool) -> None:
    codes, names = pd.factorize(pd.concat([wanted, ids], ignore_index=True).astype(object))
    want, have = codes[: len(wanted)], codes[len(wanted) :]
    absent = np.bincount(have, minlength=len(names))[want] == 0
    if absent.any():
        rule = f"all ids of the sample are needed; {wrong_rows(absent, wanted)} of the sample"
        raise invalid("submission_ids_absent", rule + _respelled(ids, wanted, absent))
    extra = have > want.max(initial=-1)
    if extra.any():
        raise invalid("submission_ids_unknown", f"every id must be in the sample; {wrong_rows(extra, ids)}")
    if many:
        return
    repeated = pd.Series(have).duplicated()
    if repeated.any():
        raise invalid("submission_ids_repeated", f"every id must appear once; {wrong_rows(repeated, ids)}")
    moved = have != want
    if moved.any():
        raise invalid(
            "submission_ids_reordered", f"ids must be in the order of the sample; {wrong_rows(moved, wanted, ids)}"
        )


def _respelled(ids: Series, wanted: Series, absent: np.ndarray) -> str:
    """Say that an id lost its spelling, where the submission has a number of equal value in the absent id's row."""
    row = int(absent.argmax())
    if len(ids) <= row or not same_number(ids.iloc[row], wanted.iloc[row]):
        return ""
    return f", where the submission has {ids.iloc[row]}: read ids as text in load(), see goldfold.data.csv_tables"


def same_number(one: object, other: object) -> bool:
    """Return whether two texts are numbers of equal value."""
    return bool(pd.to_numeric(str(one), errors="coerce") == pd.to_numeric(str(other), errors="coerce"))


def check_values(values: Series, sample: Series, ids: Series, *, own: bool, may_be_empty: bool) -> None:
    """Check a column for gaps, for the kind of the sample's values, and for infinite numbers.

    own: whether the competition checks the column itself. If not, a column of whole numbers in the sample needs whole
    numbers or decimals, not `1.0` for 1, and one that is blank in the sample needs numbers alone or none.

    Raises:
        GoldfoldError: `submission_value_` with missing, type_differs or infinite.
    """
    missing = is_missing(values)
    if missing.any() and not may_be_empty:
        raise invalid(
            "submission_value_missing",
            f"column '{values.name}' must have no missing values; {wrong_rows(missing, ids)}",
        )
    if missing.all():
        return
    blank = is_missing(sample).all()
    rule, wrong = _mixed(values, own) if blank else _wrong_kind(values, sample, own)
    if wrong.any():
        rule = f"column '{values.name}' must be {rule}"
        raise invalid("submission_value_type_differs", f"{rule}; {wrong_rows(wrong, ids, values)}")
    infinite = values.isin([np.inf, -np.inf])
    if infinite.any():
        raise invalid(
            "submission_value_infinite",
            f"column '{values.name}' must be finite; {wrong_rows(infinite, ids, values)}",
        )


def _wrong_kind(values: Series, sample: Series, own: bool) -> tuple[str, Series]:
    """Return of which kind the values must be, as the sample's, and which are not."""
    kind, given, missing = _kind(sample), _kind(values), is_missing(values)
    if kind.removeprefix("whole ") != given.removeprefix("whole "):
        number = pd.to_numeric(values, errors="coerce")
        if kind.endswith("numbers") and given == "text" and _numbers_as_text(values, number):
            return kind, missing & False
        no_number = ~missing & number.isna()
        rule = f"{kind} as in the sample ({sample.dtype}), not {given} ({values.dtype})"
        return rule, no_number if no_number.any() else ~missing
    if kind == "text" and _all_numbers(values[~missing]) and pd.to_numeric(sample, errors="coerce").isna().all():
        return "text as in the sample, not numbers", ~missing
    if (kind, given, own) == ("whole numbers", "numbers", False) and not (values % 1 > 0).any() and not missing.any():
        return (
            "whole numbers as in the sample, such as 1, not 1.0 (or give the column a check, such as number())",
            ~missing,
        )
    return kind, missing & False


def _all_numbers(values: Series) -> bool:
    """Return whether all texts are numbers; few of them are enough to tell that they are not."""
    return all(pd.to_numeric(some, errors="coerce").notna().all() for some in (values[:100], values))


def _numbers_as_text(values: Series, number: Series) -> bool:
    """Return whether text is finite numbers alone, which pandas keeps as text if one has more than 64 bits."""
    beyond = number.abs() >= 2**63
    return bool(beyond.any() and np.isfinite(number).all() and values.astype(str).str.fullmatch(NUMBER).all())


def _mixed(values: Series, own: bool) -> tuple[str, Series]:
    """Return the rule for a column that is blank in the sample, and the values that are no numbers beside numbers."""
    number = pd.to_numeric(values, errors="coerce")
    mixed = _kind(values) == "text" and not own and number.notna().any()
    return "all numbers or all text, since the sample is blank", ~is_missing(values) & number.isna() & mixed


def is_missing(values: Series) -> Series:
    """Return which values a CSV file writes as empty fields."""
    return values.isna() | (values == "") if _kind(values) == "text" else values.isna()


def is_text(values: Series) -> bool:
    """Return whether a column has text, or objects that are written as text."""
    return _kind(values) == "text"


def _kind(values: Series) -> str:
    names = {"i": "whole numbers", "u": "whole numbers", "f": "numbers", "b": "booleans", "O": "text"}
    return names.get(values.dtype.kind, str(values.dtype))


def invalid(code: str, rule: str) -> GoldfoldError:
    """Return the error of an invalid submission."""
    return GoldfoldError(code, f"invalid submission: {rule}. Fix `write` in the competition's submission.py.")
