"""Dialects of run-length encoding, and the check of a column of run lengths against one of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.submission import rle
from goldfold.submission.checks import wrong_rows

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    Sizes = Mapping[str, tuple[int, int]]
    Text = str | float | None

SHOWN = 30  # masks that are drawn to tell the order of pixels
CLEAR = 2.0  # times as much boundary in one order of pixels as in the other shows that the order is the other one
FEWEST = 60  # boundary pixels; of fewer nothing is told


@dataclass(frozen=True)
class Dialect:
    """How a host writes masks as "start length start length ...".

    order: "column", down the columns as in the Data Science Bowl 2018, or "row", along the rows. first: the number of
        the upper left pixel, 0 or 1. none: the text of an empty mask, "" or such as "-1".
    """

    order: Literal["column", "row"] = "column"
    first: Literal[0, 1] = 1
    none: str = ""

    def __str__(self) -> str:
        return f"{self.order}-major, counted from {self.first}"

    def encode(self, mask: np.ndarray) -> str:
        """Encode a (height, width) mask; raises as `rle.encode`.

        >>> Dialect(order="row", first=0, none="-1").encode(np.array([[0, 1, 1], [1, 0, 0]]))
        '1 3'
        """
        return rle.encode(self._turned(mask), self.first) or self.none

    def encode_instances(self, instances: np.ndarray) -> list[str]:
        """Encode every object of a (height, width) map, one text each; a map without objects gives `[none]`."""
        return rle.encode_instances(self._turned(instances), self.first) or [self.none]

    def decode(self, text: Text, height: int, width: int) -> np.ndarray:
        """Decode a text to a (height, width) bool mask; raises as `rle.decode`."""
        size = (height, width) if self.order == "column" else (width, height)
        return self._turned(rle.decode(self.plain(text), *size, self.first))

    def fault(self, texts: Sequence[Text], size: tuple[int, int]) -> str | None:
        """What is wrong with the texts of one image, none of which may share a pixel with another; None if nothing."""
        try:
            rle.instance_runs([self.plain(text) for text in texts], *size, self.first)
        except GoldfoldError as error:
            return error.message
        return None

    def plain(self, text: Text) -> Text:
        """The run lengths of a text, empty for an empty mask."""
        return "" if isinstance(text, str) and text.strip() == self.none else text

    def _turned(self, image: np.ndarray) -> np.ndarray:
        return image if self.order == "column" else np.asarray(image).T


@dataclass(frozen=True)
class RunLengths:
    """Check of a column of run lengths, for `Submission.checks`; it also compares the dialect with the sample's.

    size: test rows -> {id: (height, width)}, ids compared as text. Where a mask may be empty text, name the column in
        `Submission.may_be_empty`.
    overlap: whether rows of one image may share pixels, as those of different classes may with some hosts.
    """

    size: Callable[[DataFrame], Mapping[Hashable, tuple[int, int]]]
    dialect: Dialect = Dialect()
    overlap: bool = False

    def __call__(self, values: Series, ids: Series, test: DataFrame) -> str | None:
        """Say in one clause what is wrong with the values, or None."""
        sizes, names, texts = self._sizes(test), ids.astype(str).to_numpy(object), _texts(values)
        wrong = self._invalid(texts, names, sizes)
        if wrong.any():
            fault = self._fault(int(wrong.argmax()), texts, names, sizes)
            guess = _guessed(self._plain_rows(texts, names, sizes), self.dialect)
            return f"must decode inside its image ({self.dialect}); {wrong_rows(wrong, ids)}: {fault}{guess}"
        told = _other_order(self._plain_rows(texts, names, sizes), self.dialect)
        return f"must be {self.dialect}, but {told}" if told else None

    def against_sample(self, values: Series, ids: Series, test: DataFrame) -> str | None:
        """Say in one clause which other dialect the sample submission shows, or None."""
        told = _guessed(
            self._plain_rows(_texts(values), ids.astype(str).to_numpy(object), self._sizes(test)), self.dialect
        )
        return f"is declared as {self.dialect}, but the sample submission shows another dialect{told}" if told else None

    def _sizes(self, test: DataFrame) -> Sizes:
        return {str(id_): size for id_, size in self.size(test).items()}

    def _invalid(self, texts: list[str], names: np.ndarray, sizes: Sizes) -> np.ndarray:
        """Which rows have no size, do not decode, or share a pixel with another row of their image, bool (n,)."""
        if not sizes:
            return np.ones(len(texts), bool)
        place = {name: at for at, name in enumerate(sizes)}
        images = np.array([place.get(name, -1) for name in names.tolist()], np.int64)
        units = np.arange(len(texts)) if self.overlap else images
        pixels = np.array([height * width for height, width in sizes.values()], np.int64)
        given = np.flatnonzero(
            np.array([text.strip() not in ("", self.dialect.none) for text in texts]) & (images >= 0)
        )
        given = given[np.argsort(units[given], kind="stable")]
        of_unit = pixels[images] if self.overlap else pixels
        found = rle.invalid_images([texts[at] for at in given], units[given], of_unit, self.dialect.first)
        return (images < 0) | found[units] if len(found) else images < 0

    def _fault(self, row: int, texts: list[str], names: np.ndarray, sizes: Sizes) -> str:
        if names[row] not in sizes:
            return "its height and width are unknown"
        alike = [row] if self.overlap else np.flatnonzero(names == names[row]).tolist()
        return self.dialect.fault([texts[at] for at in alike], sizes[names[row]]) or ""

    def _plain_rows(self, texts: list[str], names: np.ndarray, sizes: Sizes) -> list[tuple[str, tuple[int, int]]]:
        """Texts with runs, and the size of their image."""
        none = ("", self.dialect.none)
        return [(text, sizes[id_]) for text, id_ in zip(texts, names, strict=True) if id_ in sizes and text not in none]


def other_dialect(check: object, values: Series, ids: Series, test: DataFrame) -> str | None:
    """What `RunLengths.against_sample` says of the sample's column; None for other checks."""
    return check.against_sample(values, ids, test) if isinstance(check, RunLengths) else None


def _texts(values: Series) -> list[str]:
    return values.astype(object).where(values.notna(), "").map(str).tolist()


def _guessed(rows: Sequence[tuple[str, tuple[int, int]]], declared: Dialect) -> str:
    """A clause that names the dialect that the texts show, if it is not the declared one; else empty."""
    starts = _other_first(rows, declared)
    order = "" if starts else _other_order(rows, declared)
    return f": {starts or order}" if starts or order else ""


def _other_first(rows: Sequence[tuple[str, tuple[int, int]]], declared: Dialect) -> str:
    """A clause that says that pixels are counted from the other number, if all texts fit that and one needs it."""
    other = Dialect(declared.order, 0 if declared.first else 1, declared.none)
    looked = rows[:1000]
    texts, pixels = [str(declared.plain(text)) for text, _ in looked], np.array([h * w for _, (h, w) in looked])
    own, as_other = (rle.invalid_images(texts, np.arange(len(texts)), pixels, each.first) for each in (declared, other))
    if not own.any() or as_other.any():
        return ""
    text, (height, width) = looked[int(own.argmax())]
    seen = "a run starts at pixel 0" if declared.first else f"a run ends at pixel {height * width:,}, the last from 1"
    return f"{seen} ('{text[:20]}'), so that pixels look counted from {other.first}"


def _other_order(rows: Sequence[tuple[str, tuple[int, int]]], declared: Dialect) -> str:
    """A clause that says that pixels look numbered in the other order, if masks are far more compact in it.

    Square images tell nothing, since there the other order is the transposed mask.
    """
    other = Dialect("row" if declared.order == "column" else "column", declared.first, declared.none)
    oblong = [(text, size) for text, size in rows if size[0] != size[1] and text.count(" ") > 2]
    shown = oblong[:: max(1, len(oblong) // SHOWN)][:SHOWN]
    try:
        own, turned = (
            sum(_boundary(dialect.decode(text, *size)) for text, size in shown) for dialect in (declared, other)
        )
    except GoldfoldError:
        return ""
    if own < FEWEST or own < CLEAR * turned:
        return ""
    height, width = shown[0][1]
    return (
        f"masks have {own / turned:.1f} times less boundary read in {other.order}-major order, so that their runs look "
        f"cut to the image's {'width' if other.order == 'row' else 'height'} (first image {width} x {height} pixels)"
    )


def _boundary(mask: np.ndarray) -> int:
    """Number of pairs of neighbors (of 4) of which one is in the mask."""
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())
