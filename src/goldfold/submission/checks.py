"""Rules for one column of a submission, for `Submission.checks`: values in, what is wrong with them out.

Every rule is a function (values, the ids beside them, test rows) -> one clause about what is wrong, or None. Missing
values are refused before a rule sees the column, unless it is in `Submission.may_be_empty`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.errors import GoldfoldError
from goldfold.submission import rle as coding

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    Check = Callable[[Series, Series, DataFrame], str | None]


def between(low: float, high: float) -> Check:
    """Numbers in [low, high]."""

    def check(values: Series, ids: Series, test: DataFrame) -> str | None:
        wrong = ~pd.to_numeric(values, errors="coerce").between(low, high)
        return f"must lie in [{low}, {high}], {broken_by(wrong, ids, values)}" if wrong.any() else None

    return check


def one_of(*options: Hashable) -> Check:
    """Values out of `options`; where all are int, the column must be of an integer type, or 1 is written as 1.0."""
    whole = all(type(option) is int for option in options)
    names = ", ".join(map(str, options))

    def check(values: Series, ids: Series, test: DataFrame) -> str | None:
        wrong = ~values.isin(options)
        if wrong.any():
            return f"must be one of {names}, {broken_by(wrong, ids, values)}"
        if whole and values.dtype.kind not in "iu":
            return f"must be one of {names}, written as an integer, but is of type {values.dtype}"
        return None

    return check


def number() -> Check:
    """Finite numbers."""

    def check(values: Series, ids: Series, test: DataFrame) -> str | None:
        wrong = ~np.isfinite(pd.to_numeric(values, errors="coerce"))
        return f"must be finite numbers, {broken_by(wrong, ids, values)}" if wrong.any() else None

    return check


def run_lengths(size: Callable[[DataFrame], Mapping[Hashable, tuple[int, int]]]) -> Check:
    """Run lengths that decode inside their image, where no two objects of one image share a pixel.

    size: test rows -> id -> (height, width). An image without objects has no runs: name the column in
    `Submission.may_be_empty`.
    """

    def check(values: Series, ids: Series, test: DataFrame) -> str | None:
        sizes = size(test)
        images = _places(ids.tolist(), list(sizes))
        faulty = _unsound(values, images, sizes)[images]
        if not faulty.any():
            return None
        count, among = len(np.unique(images[faulty])), len(np.unique(images))
        row = int(faulty.argmax())
        id_, texts = ids.iloc[row], values[images == images[row]].astype(object)
        fault = _fault(texts.where(texts.notna(), None).tolist(), sizes.get(id_))
        return f"must decode inside its image, broken by {count:,} of {among:,}, first id {id_}: {fault}"

    return check


def broken_by(wrong: Series | np.ndarray, ids: Series, values: Series | None = None) -> str:
    """How many rows break a rule, and the first of them with its line in the file, where the header is line 1."""
    row = int(np.asarray(wrong).argmax())
    found = "" if values is None else f", found {values.iloc[row]}"
    rows = f"{np.count_nonzero(wrong):,} of {len(ids):,} rows"
    return f"broken by {rows}, first in line {row + 2} (id {ids.iloc[row]}{found})"


def _places(ids: list[Hashable], known: list[Hashable]) -> np.ndarray:
    """Where among `known` each id is, (ids,) int64; ids that are not there have places past its end."""
    if ids == known:
        return np.arange(len(ids))
    places = {id_: place for place, id_ in enumerate(known)}
    return np.array([places.setdefault(id_, len(places)) for id_ in ids], np.int64)


def _unsound(values: Series, images: np.ndarray, sizes: Mapping[Hashable, tuple[int, int]]) -> np.ndarray:
    """Which images cannot be decoded, (images,) bool; `images` are places in `sizes`, those past its end unknown."""
    pixels = np.fromiter((height * width for height, width in sizes.values()), np.int64, len(sizes))
    told = np.flatnonzero((values.notna() & (values != "")).to_numpy(bool) & (images < len(sizes)))
    if (np.diff(images[told]) < 0).any():
        told = told[np.argsort(images[told], kind="stable")]
    texts = values.to_numpy(object)[told].tolist()
    if values.dtype != "str":
        texts = list(map(str, texts))
    unknown = np.ones(max(0, images.max(initial=-1) + 1 - len(sizes)), bool)
    return np.append(coding.unsound(texts, images[told], pixels), unknown)


def _fault(texts: list[str | float | None], size: tuple[int, int] | None) -> str | None:
    if size is None:
        return "its height and width are unknown"
    try:
        coding.instance_runs(texts, *size)
    except GoldfoldError as error:
        return str(error)
    return None
