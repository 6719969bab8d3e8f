"""Which classes are taken for which, where a row has one label of three or more: a table, a picture, a section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldfold.io.formatting import count, number, shortened, shortened_apart
from goldfold.report.plotting.markdown import escaped, table
from goldfold.report.plotting.style import INK, WIDTH, figure, png, styled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from pandas import DataFrame

CONFUSION = "confusion.csv"
PICTURE = "confusion.png"
FEWEST = 3  # classes of a table worth drawing
MOST = 100  # classes of a picture
SHOWN_OF_MORE = 40
SHARES, COUNTS = 12, 40  # up to so many classes a cell tells its share, or at least its count
LISTED = 10  # confusions in the record
RIGHT, WRONG = (0.0, 0.45, 0.7), (0.84, 0.37, 0.0)  # blue and vermilion of Okabe and Ito
DARK = 0.55  # share of a cell from which its text is white


def matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count rows by true class and predicted class, int64 (classes, classes); both are class indices (n,)."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def as_table(counts: np.ndarray, classes: Sequence[Any]) -> DataFrame:
    """List the cells that hold rows, in the order of the classes.

    Columns: true, predicted, rows, share_of_true (of the rows of the true class), share_of_predicted.
    """
    true, predicted = np.nonzero(counts)
    rows = counts[true, predicted]
    names = np.array([str(each) for each in classes], dtype=object)
    return pd.DataFrame(
        {
            "true": names[true],
            "predicted": names[predicted],
            "rows": rows,
            "share_of_true": rows / counts.sum(axis=1)[true],
            "share_of_predicted": rows / counts.sum(axis=0)[predicted],
        }
    )


@styled()
def picture(counts: np.ndarray, classes: Sequence[Any]) -> bytes:
    """A PNG of the confusion matrix, a row per true class: shares of the row as colors, with counts where they fit.

    counts: from `matrix`. Of more than 100 classes the 40 of the most frequent confusions are drawn.
    """
    kept = _drawn_classes(counts)
    shown = counts[np.ix_(kept, kept)]
    shares = shown / np.maximum(counts.sum(axis=1)[kept], 1)[:, None]
    names = shortened_apart([str(classes[at]) for at in kept], lambda name: shortened(name, _longest(len(kept))))
    drawn = figure(_height(len(kept)))
    axes = drawn.subplots()
    axes.imshow(_colors(shares), interpolation="nearest", aspect="equal")
    _name_axes(axes, names)
    if len(kept) <= COUNTS:
        _write_cells(axes, shown, shares)
    which = (
        "" if len(kept) == len(classes) else f"; drawn: the {len(kept)} of {len(classes)} classes most often confused"
    )
    wrong, rows = counts.sum() - counts.trace(), counts.sum()
    drawn.suptitle(
        f"{wrong:,} of {rows:,} out-of-fold rows have a wrong class{which}",
        fontsize=10,
        x=0.01,
        horizontalalignment="left",
    )
    drawn.supxlabel(
        "blue: right, orange: wrong; a darker cell holds a larger share of the true class's rows (square root)",
        fontsize=8,
    )
    return png(drawn)


def _drawn_classes(counts: np.ndarray) -> np.ndarray:
    """Positions of the classes to draw, ascending."""
    if len(counts) <= MOST:
        return np.arange(len(counts))
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    cells = np.argsort(-wrong, axis=None, kind="stable")[: SHOWN_OF_MORE**2]
    pairs = np.stack(np.unravel_index(cells, wrong.shape), axis=1).ravel()
    return np.sort(np.array(list(dict.fromkeys(pairs.tolist()))[:SHOWN_OF_MORE]))


def _longest(classes: int) -> int:
    return 20 if classes <= SHARES else 14 if classes <= COUNTS else 10


def _height(classes: int) -> float:
    """Inches: a square of the page's width for many classes, less for few."""
    return min(WIDTH, 2.0 + 0.5 * classes) + 0.4


def _colors(shares: np.ndarray) -> np.ndarray:
    """Colors (k, k, 3) in [0, 1]: white for nothing; the square root shows shares of one percent, too."""
    full = np.where(np.eye(len(shares), dtype=bool)[..., None], RIGHT, WRONG)
    return 1 - np.sqrt(shares)[..., None] * (1 - full)


def _name_axes(axes: Axes, names: Sequence[str]) -> None:
    size = 8 if len(names) <= SHARES else 7 if len(names) <= COUNTS else 4.6
    upright = len(names) > SHARES or max(map(len, names)) > 6
    at = np.arange(len(names))
    axes.set_xticks(at, names, rotation=90 if upright else 0, fontsize=size)
    axes.set_yticks(at, names, fontsize=size)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    for edge in np.arange(len(names) + 1) - 0.5:
        axes.axhline(edge, color="white", linewidth=0.4, in_layout=False)
        axes.axvline(edge, color="white", linewidth=0.4, in_layout=False)


def _write_cells(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    with_share = len(counts) <= SHARES
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = f"\n{shares[row, column]:.1%}" if with_share else ""
        dark = np.sqrt(shares[row, column]) > DARK
        size = 7.5 if with_share else 4.5 if counts[row, column] > 999 else 5.5
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}{share}",
            color="white" if dark else INK,
            fontsize=size,
            horizontalalignment="center",
            verticalalignment="center",
            in_layout=False,  # a cell's text lies within the axes: measuring each one takes as long as drawing it
        )


def section(run: Path) -> str:
    """The section of the record: the most frequent confusions, and all classes, worst first; empty without a table."""
    if not (run / CONFUSION).exists():
        return ""
    text = {"true": str, "predicted": str}
    cells = pd.read_csv(run / CONFUSION, dtype=text, keep_default_na=False)  # a class may be called NA
    wrong = cells[cells["true"] != cells["predicted"]].sort_values("rows", ascending=False, kind="stable")
    rows, missed = int(cells["rows"].sum()), int(wrong["rows"].sum())
    told = f"{missed:,} of {rows:,} pooled out-of-fold rows have a wrong class"
    if not missed:
        return f"{told}."
    header = ["true class", "predicted class", "rows", "share of true", "share of predicted"]
    lines = [
        [
            escaped(each.true),
            escaped(each.predicted),
            f"{each.rows:,}",
            f"{each.share_of_true:.1%}",
            f"{each.share_of_predicted:.1%}",
        ]
        for each in wrong.head(LISTED).itertuples()
    ]
    many = len(wrong) > LISTED
    listed = f"the {LISTED} most frequent of {count(len(wrong), 'confusion')}" if many else "all confusions"
    return f"{told}: {listed}.\n\n{table(header, lines, left=2)}\n\n{_by_class(cells)}"


def _by_class(cells: DataFrame) -> str:
    """Recall, precision and F1 of the classes with the lowest F1."""
    right = cells[cells["true"] == cells["predicted"]].set_index("true")["rows"]
    true, predicted = (cells.groupby(side, sort=False)["rows"].sum() for side in ("true", "predicted"))
    names = list(dict.fromkeys([*true.index, *predicted.index]))
    found = pd.DataFrame({"true": true, "predicted": predicted, "right": right}).reindex(names).fillna(0)
    found["f1"] = 2 * found["right"] / (found["true"] + found["predicted"])
    worst = found.sort_values("f1", kind="stable").head(COUNTS)
    lines = [
        [
            escaped(str(name)),
            f"{int(each['true']):,}",
            number(each["right"] / each["true"]) if each["true"] else "-",
            number(each["right"] / each["predicted"]) if each["predicted"] else "-",
            number(each["f1"]),
        ]
        for name, each in worst.iterrows()
    ]
    which = "" if len(worst) == len(found) else f" The {len(worst)} of {len(found)} classes with the lowest F1:"
    note = f"The class with the largest probability is predicted; F1 is of one class against the others.{which}"
    return f"{note}\n\n{table(['class', 'rows', 'recall', 'precision', 'F1'], lines)}"
