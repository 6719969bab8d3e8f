"""Pictures of adversarial validation: both distributions of the worst columns, rows most like the other table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goldfold.io.formatting import shortened
from goldfold.report.plotting import canvas, photographs
from goldfold.report.plotting.canvas import HEADING, PAGE, TITLE, hstack, text_line, vstack
from goldfold.report.plotting.style import FOLDS, MUTED, figure, png, styled
from goldfold.trust.drift.columns import DriftingColumn
from goldfold.trust.drift.features import Features

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS, ACROSS, ROW, EDGES = 6, 3, 2.3, 0.5  # columns drawn, beside each other; inches
BINS, TAIL = 30, 0.005  # of a histogram; share of the rows at either end that are drawn in its outer bins
MOST_LEVELS, LEVEL, TEXT = 8, 14, 34  # categories of a column, characters of their names and of the column's
TRAIN, TEST = FOLDS[0], FOLDS[5]
TILE, GAP = 96, 8  # pixels
IMAGES = (PAGE - GAP) // (TILE + GAP)  # beside each other


@styled()
def columns(features: Features, is_test: np.ndarray, worst: Sequence[DriftingColumn]) -> bytes:
    """A PNG with a panel for each of the first six columns: share of train and of test rows by value."""
    shown = list(worst[:COLUMNS])
    lines = -(-len(shown) // ACROSS)
    drawn = figure(EDGES + ROW * lines)
    panels = drawn.subplots(lines, ACROSS, squeeze=False).ravel()
    for axes, column in zip(panels, shown, strict=False):
        values = features.values[:, features.names.index(column.name)]
        if column.name in features.levels:
            _bars(axes, values, is_test, features.levels[column.name])
        else:
            _histograms(axes, values, is_test)
        p_value = "" if column.p_value is None else f", p {column.p_value:.1g}"
        axes.set_title(f"{shortened(column.name, TEXT)}\nAUROC {column.auroc:.3f}{p_value}", fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    panels[0].legend(["train", "test"], fontsize=7)
    drawn.supylabel("share of the rows", fontsize=8)
    return png(drawn)


def _histograms(axes: Axes, values: np.ndarray, is_test: np.ndarray) -> None:
    """Outlines of two histograms; missing values are told below, since they are no number."""
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, (TAIL, 1 - TAIL))
    if low == high:
        low, high = float(known.min()), float(known.max())
    distinct = np.unique(np.clip(known, low, high))
    few = len(distinct) <= BINS
    edges = np.concatenate([distinct - 1e-9, [distinct[-1] + 1e-9]]) if few else np.linspace(low, high, BINS + 1)
    missing = []
    for side, color in ((False, TRAIN), (True, TEST)):
        part = values[is_test == side]
        missing.append(float(np.isnan(part).mean()))
        share = np.histogram(np.clip(part[~np.isnan(part)], low, high), edges)[0] / len(part)
        if few:
            _line(axes, distinct, share, color)
        else:
            axes.stairs(share, edges, color=color, fill=True, alpha=0.45, edgecolor=color)
    if max(missing) >= 0.005:
        axes.set_xlabel(f"missing: train {missing[0]:.0%}, test {missing[1]:.0%}", fontsize=7, color=MUTED)


def _line(axes: Axes, distinct: np.ndarray, share: np.ndarray, color: str) -> None:
    axes.plot(distinct, share, color=color, marker="o", markersize=3, linewidth=1)


def _bars(axes: Axes, values: np.ndarray, is_test: np.ndarray, levels: Sequence[str]) -> None:
    """The most frequent categories, the others together, and the missing ones."""
    shown = min(len(levels), MOST_LEVELS)
    codes = np.where(np.isnan(values), shown + 1, np.minimum(values, shown)).astype(np.int64)
    names = [*(shortened(level, LEVEL) for level in levels[:shown]), "(others)", "(missing)"]
    present = [at for at in range(shown + 2) if (codes == at).any()]
    places = np.arange(len(present))
    for side, color, shift in ((False, TRAIN, -0.2), (True, TEST, 0.2)):
        share = np.bincount(codes[is_test == side], minlength=shown + 2) / (is_test == side).sum()
        axes.bar(places + shift, share[present], width=0.4, color=color)
    axes.set_xticks(places, [names[at] for at in present], rotation=45, ha="right")


def rows(images: Mapping[str, Sequence[tuple[Path, str, float]]], *, private: bool) -> bytes:
    """A PNG of images: a strip per heading, each image with its id and its likeness to test rows.

    images: heading -> path, id and likeness of each row. private: tiles with ids stand in the place of images.

    Raises:
        GoldfoldError: an image cannot be read.
    """
    parts = []
    for heading, shown in images.items():
        paths, ids, likeness = zip(*shown[:IMAGES], strict=True)
        pictures = photographs.read_all(paths, ids, private=private, side=TILE)
        told = canvas.apart(ids, TILE)
        tiles = [
            vstack([picture, text_line(name, TILE), text_line(f"{value:.2f}", TILE, color=MUTED)], gap=2)
            for picture, name, value in zip(pictures, told, likeness, strict=True)
        ]
        parts.append(vstack([text_line(heading, PAGE, size=HEADING), hstack(tiles, gap=GAP)], gap=6))
    title = text_line("Rows that look like the other table, with their likeness to test rows", PAGE, size=TITLE)
    return canvas.png(vstack([title, *parts], gap=14))
