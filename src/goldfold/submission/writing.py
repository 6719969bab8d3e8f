"""Check a submission against the sample submission; write it atomically with its provenance; read it."""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections.abc import Mapping
from io import BytesIO, StringIO
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldfold.data import csv_tables
from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_bytes, write_json
from goldfold.submission import mask_runs, sample_checks

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Submission


def check(frame: DataFrame, sample: DataFrame, test: DataFrame, submission: Submission) -> None:
    """Check `frame` as a reader of its file gets it, against `sample` and the competition's own checks.

    The rules, in this order: the same columns in the same order; a file that is read as it was written; the same ids,
    or keys of several columns, each once and in the same order (with `many_per_id` each at least once, in any order);
    no missing values, except in columns that `may_be_empty`; the same kinds of values (numbers, text, booleans); no
    infinite values; the checks of the competition.

    Raises:
        GoldfoldError: the first broken rule, with a code that starts with `submission_`.
    """
    sample_checks.check_frame(frame)
    sample_checks.check_columns(list(frame.columns), list(sample.columns))
    check_read(read_back(frame, sample), sample, test, submission)


def read_back(frame: DataFrame, sample: DataFrame) -> DataFrame:
    """What a reader of the file of `frame` gets.

    Raises:
        GoldfoldError: it is not what is written there (`submission_not_read_back`).
    """
    data = _encode(frame)
    try:
        if (again := _encode(_parse(data, dtype=str))) == data:
            return _parse(data, dtype=_text_columns(sample))
        pairs = zip_longest(data.split(b"\n"), again.split(b"\n"))
        fault = (
            f"it has other values in line {next(line for line, (one, other) in enumerate(pairs, 1) if one != other)}"
        )
    except (ValueError, pd.errors.ParserWarning) as error:
        fault = str(error)
    raise sample_checks.invalid("submission_not_read_back", f"its file is not read as it was written: {fault}")


def read_checked(path: Path, sample: DataFrame, test: DataFrame, submission: Submission) -> DataFrame:
    """Read a submission and check it; raises as `read` and `check`."""
    frame = read(path, sample)
    check_read(frame, sample, test, submission)
    return frame


def check_read(frame: DataFrame, sample: DataFrame, test: DataFrame, submission: Submission) -> None:
    """Check a frame as `read` returns it; raises as `check`."""
    sample_checks.check_columns(list(frame.columns), list(sample.columns))
    keys = sample_checks.key_columns(sample, submission)
    names = sample_checks.check_keys(frame, sample, keys, submission.many_per_id)
    if submission.many_per_id:
        sample_checks.check_empty_rows(frame[list(sample.columns.drop(keys))], names)
    ids = frame[sample.columns[0]]
    for column in sample.columns.drop(keys):
        own, may_be_empty = submission.checks.get(column), column in submission.may_be_empty
        sample_checks.check_values(frame[column], sample[column], names, own=own is not None, may_be_empty=may_be_empty)
        complaint = own and (
            mask_runs.other_dialect(own, sample[column], sample[sample.columns[0]], test)
            or own(frame[column], ids, test)
        )
        if complaint:
            raise sample_checks.invalid("submission_value_invalid", f"column '{column}' {complaint}")


def write(frame: DataFrame, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write `path` (CSV, UTF-8) and then `<path>.json`: the provenance, sha256 of the CSV and its number of rows.

    Both are written atomically, the JSON last: if it exists, the CSV is complete. Floats are written exactly.
    """
    beside = path.with_name(f"{path.name}.json")
    data = _encode(frame)
    beside.unlink(missing_ok=True)  # it describes the file that is replaced next
    write_bytes(path, data, durable=True)
    write_json(beside, {**provenance, "sha256": hashlib.sha256(data).hexdigest(), "rows": len(frame)})


def check_unchanged(path: Path, run: str) -> None:
    """Check that `path` is still the file that `run` wrote; otherwise its score would not be the run's.

    Raises:
        GoldfoldError: `submission_changed`; `submission_without_provenance`, the JSON beside it is gone.
    """
    beside = path.with_name(f"{path.name}.json")
    if not path.exists():
        return
    if not beside.exists():
        raise GoldfoldError(
            "submission_without_provenance",
            f"{beside} is gone, so nobody can tell whether {path.name} is the file of run '{run}': restore it, or "
            "train the run again",
        )
    known = read_json(beside, dict)
    if hashlib.sha256(path.read_bytes()).hexdigest() != known.get("sha256") or known.get("run", run) != run:
        raise GoldfoldError(
            "submission_changed",
            f"{path} is not what run '{run}' wrote, or was changed since: restore it, or train the run again",
        )


def read(path: Path, sample: DataFrame) -> DataFrame:
    """Read a submission or a solution; ids, and columns that are text in `sample`, are read as text.

    Only empty fields count as missing, so that classes may be called NA or None.

    Raises:
        GoldfoldError: `submission_missing`; `submission_unreadable`, the file is not CSV in UTF-8.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise GoldfoldError(
            "submission_missing", f"there is no submission {path}: train a run first, which writes one"
        ) from None
    except OSError as error:
        raise _unreadable(str(path), error) from error
    return read_data(data, str(path), sample)


def read_data(data: bytes, name: str, sample: DataFrame) -> DataFrame:
    """Read the bytes of a file that messages call `name`; as `read`."""
    try:
        frame = _parse(data, dtype=_text_columns(sample))
        _check_fields(data, len(frame.columns))
        return frame
    except (ValueError, csv.Error, pd.errors.ParserWarning) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> GoldfoldError:
    return GoldfoldError(
        "submission_unreadable", f"{name} is not a CSV file in UTF-8 ({error}): write it again from its run"
    )


def _encode(frame: DataFrame) -> bytes:
    try:
        return csv_tables.to_text(frame).encode("utf-8")
    except UnicodeEncodeError as error:
        place = f"{error.object[: error.start][-20:]!r}"
        raise sample_checks.invalid("submission_not_text", f"half a character after {place} is no UTF-8") from error


def _text_columns(sample: DataFrame) -> dict[str, type[str]]:
    """Return the columns to read as text: the ids, and what is text in the sample."""
    return {column: str for at, column in enumerate(sample.columns) if not at or sample_checks.is_text(sample[column])}


def _parse(data: bytes, dtype: Mapping[str, type[str]] | type[str]) -> DataFrame:
    """Parse CSV; raises ValueError or ParserWarning if a row is longer than the header, or bytes are not text."""
    if b"\0" in data:
        raise ValueError(f"it has a NUL byte at position {data.index(0):,}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # else rows longer than the header lose a field
        return pd.read_csv(
            BytesIO(data), dtype=dtype, index_col=False, encoding="utf-8", low_memory=False, **csv_tables.ONLY_EMPTY
        )


def _check_fields(data: bytes, width: int) -> None:
    """Raise a ValueError if a row has fewer fields than the header, or empty ones beyond, which pandas ignores.

    Text after a closing quote, which pandas appends to the cell, raises a csv.Error.
    """
    if b'"' not in data and b"\r" not in data and data.endswith(b"\n"):  # then each line is a row: no reader is needed
        commas, ends = (np.flatnonzero(np.frombuffer(data, np.uint8) == ord(sign)) for sign in ",\n")
        if (np.diff(np.searchsorted(commas, ends), prepend=0) == width - 1).all():
            return
    csv.field_size_limit(max(csv.field_size_limit(), len(data)))  # run lengths of a large image pass its default
    for number, row in enumerate(csv.reader(StringIO(data.decode("utf-8-sig"), newline=""), strict=True), 1):
        if row and len(row) != width:
            raise ValueError(f"row {number:,} has {len(row)} fields, not {width}")
