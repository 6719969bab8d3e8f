"""Checks of one submission column, for `Submission.checks`.

A check is a function (values, their ids as text, test rows) -> one clause that says what is wrong, or None. Missing
values are errors before a check sees the column, unless the column is in `Submission.may_be_empty`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.errors import GoldfoldError
from goldfold.submission import rle

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    Check = Callable[[Series, Series, DataFrame], str | None]


def between(low: float, high: float) -> Check:
    """Check for numbers in [low, high]."""

    def check(values: Series, ids: Series, test: DataFrame) -> str | None:
        wrong = ~pd.to_numeric(values, errors="coerce").between(low, high)
        return f"must lie in [{low}, {high}]; {wrong_rows(wrong, ids, values)}" if wrong.any() else None

    return check


def one_of(*options: Hashable) -> Check:
    """Check for values among `options`; if all are int, the column needs an integer dtype, or 1 is written as 1.0."""
    whole = all(type(option) is int for option in options)
    names = ", ".join(map(str, options))

    def check(values: Series, ids: Series, test: DataFrame) -> str | None:
        wrong = ~values.isin(options)
        if wrong.any():
            return f"must be one of {names}; {wrong_rows(wrong, ids, values)}"
        if whole and values.dtype.kind not in "iu":
            return f"must be one of {names}, written as an integer, but has the dtype {values.dtype}"
        return None

    return check


def one_of_each(options: Sequence[str], separator: str) -> Check:
    """Check for sets of labels, each among `options`, with `separator` between them; an empty set is an empty value."""
    known = set(options)

    def check(values: Series, ids: Series, test: DataFrame) -> str | None:
        wrong = np.array([bool(set(str(value).split(separator)) - known) for value in values.fillna("")])
        wrong &= (values.fillna("") != "").to_numpy()
        names = f"labels among {len(known)} such as {next(iter(options))!r}, with {separator!r} between them"
        return f"must be {names}; {wrong_rows(wrong, ids, values)}" if wrong.any() else None

    return check


def number() -> Check:
    """Check for finite numbers."""

    def check(values: Series, ids: Series, test: DataFrame) -> str | None:
        wrong = ~np.isfinite(pd.to_numeric(values, errors="coerce"))
        return f"must be finite numbers; {wrong_rows(wrong, ids, values)}" if wrong.any() else None

    return check


def run_lengths(size: Callable[[DataFrame], Mapping[Hashable, tuple[int, int]]]) -> Check:
    """Check for run lengths that decode inside their image, without two objects of an image sharing a pixel.

    size: test rows -> {id: (height, width)}, ids compared as text. An image without objects has an empty value: name
        the column in `Submission.may_be_empty`.
    """

    def check(values: Series, ids: Series, test: DataFrame) -> str | None:
        sizes: dict[Hashable, tuple[int, int]] = {str(id_): pixels for id_, pixels in size(test).items()}
        images = _places(ids.astype(str).tolist(), list(sizes))
        invalid = _invalid_images(values, images, sizes)[images]
        if not invalid.any():
            return None
        count, among = len(np.unique(images[invalid])), len(np.unique(images))
        row = int(invalid.argmax())
        id_, texts = ids.iloc[row], values[images == images[row]].astype(object)
        fault = _fault(texts.where(texts.notna(), None).tolist(), sizes.get(str(id_)))
        return f"must decode inside its image; wrong in {count:,} of {among:,} images, first id {id_}: {fault}"

    return check


def wrong_rows(wrong: Series | np.ndarray, ids: Series, values: Series | None = None) -> str:
    """Say how many rows are wrong, and name the first with its line in the file (the header is line 1)."""
    row = int(np.asarray(wrong).argmax())
    found = "" if values is None else f", found {values.iloc[row]}"
    rows = f"{np.count_nonzero(wrong):,} of {len(ids):,} rows"
    return f"wrong in {rows}, first in line {row + 2} (id {ids.iloc[row]}{found})"


def _places(ids: list[Hashable], known: list[Hashable]) -> np.ndarray:
    """Return the index of each id in `known`, (ids,) int64; unknown ids get indices beyond its end."""
    if ids == known:
        return np.arange(len(ids))
    places = {id_: place for place, id_ in enumerate(known)}
    return np.array([places.setdefault(id_, len(places)) for id_ in ids], np.int64)


def _invalid_images(values: Series, images: np.ndarray, sizes: Mapping[Hashable, tuple[int, int]]) -> np.ndarray:
    """Return which images are invalid, (images,) bool; `images` are indices into `sizes`, unknown beyond its end."""
    pixels = np.fromiter((height * width for height, width in sizes.values()), np.int64, len(sizes))
    given = np.flatnonzero((values.notna() & (values != "")).to_numpy(bool) & (images < len(sizes)))
    if (np.diff(images[given]) < 0).any():
        given = given[np.argsort(images[given], kind="stable")]
    texts = values.to_numpy(object)[given].tolist()
    if values.dtype != "str":
        texts = list(map(str, texts))
    unknown = np.ones(max(0, images.max(initial=-1) + 1 - len(sizes)), bool)
    return np.append(rle.invalid_images(texts, images[given], pixels), unknown)


def _fault(texts: list[str | float | None], size: tuple[int, int] | None) -> str | None:
    if size is None:
        return "its height and width are unknown"
    try:
        rle.instance_runs(texts, *size)
    except GoldfoldError as error:
        return str(error)
    return None
