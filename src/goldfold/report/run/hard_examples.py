"""Hard examples of a run: training rows with the largest losses, as a table, a picture and a section of the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.audio.checks import are_sounds
from goldfold.data import csv_tables
from goldfold.data.image_checks import are_images
from goldfold.experiment.fits import Experiment, Fit, fit_folder
from goldfold.io.formatting import number, shortened, shortened_apart
from goldfold.optional_parts import LabelColumns
from goldfold.report.plotting import photographs
from goldfold.report.plotting.markdown import table
from goldfold.report.plotting.style import FOLDS, INK, figure, png, styled
from goldfold.training import hard_examples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame, Series

TABLE = "hard_examples.csv"
PICTURE = "hard_examples.png"
DRAWN = len(FOLDS)  # rows of the picture, each in a color of its own
ACROSS = 5  # thumbnails side by side
SIDE = 160  # pixels of a thumbnail
CURVES, TILE = 3.2, 1.9  # inches: height of the curves, and of a line of thumbnails
NAME = 16  # characters of an id or label
LISTED = 20  # rows in the record


def losses(experiment: Experiment, fits: Sequence[Fit], run: Path) -> list[np.ndarray]:
    """The losses of the train rows in each fit, float32 (epochs, rows); NaN for rows that a fit does not train on.

    Fits without losses of rows are left out.
    """
    found = []
    for fit in fits:
        own = hard_examples.read(fit_folder(run, fit.fold, fit.seed))
        if len(own):
            found.append(np.full((len(own), len(experiment.tables.train)), np.nan, np.float32))
            found[-1][:, experiment.folds[fit.fold].train] = own
    return found


def hardest(experiment: Experiment, found: Sequence[np.ndarray]) -> DataFrame:
    """The rows with the largest losses, as many as `hard_examples` lists, the largest first, equal ones by id.

    found: of `losses`. Columns: row (its position), id, label, loss (after the last epoch, mean over the fits that
    trained on the row), fits (their number), listed (fits whose last list holds the row).
    """
    train, count = experiment.tables.train, experiment.loop.hard_examples
    ids, last = [str(each) for each in train["id"]], [each[-1] for each in found]
    mean, fits = _mean(last), np.isfinite(last).sum(axis=0)
    rows, *lists = (_largest(each, ids, count) for each in (mean, *last))
    columns = {
        "row": rows,
        "id": [ids[row] for row in rows],
        "label": [_label(train.iloc[row], experiment) for row in rows],
        "loss": mean[rows],
        "fits": fits[rows],
        "listed": [sum(row in own for own in lists) for row in rows],
    }
    return pd.DataFrame(columns)


def _largest(losses: np.ndarray, ids: Sequence[str], count: int) -> list[int]:
    """Positions of the largest losses of rows that have any."""
    known = np.flatnonzero(np.isfinite(losses))
    return [int(known[at]) for at in hard_examples.largest(losses[known], [ids[int(row)] for row in known], count)]


def curves(found: Sequence[np.ndarray], rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each of `rows`, and the median over all rows, after each epoch: (rows, epochs) and (epochs,).

    Means over the fits that trained on a row for so many epochs; NaN if there are none.
    """
    means = [_mean([own[epoch] for own in found if len(own) > epoch]) for epoch in range(max(map(len, found)))]
    return np.array([mean[list(rows)] for mean in means]).T, np.array([np.nanmedian(mean) for mean in means])


def _mean(fits: Sequence[np.ndarray]) -> np.ndarray:
    """The mean over the fits that trained on a row, float64 (rows,); NaN if none did."""
    known = np.isfinite(fits).sum(axis=0)
    return np.where(known > 0, np.nansum(fits, axis=0, dtype=float) / np.maximum(known, 1), np.nan)


def _label(row: Series, experiment: Experiment) -> str:
    """The label of a row, or the names of those that it has."""
    labels = experiment.recipe.labels
    if isinstance(labels, LabelColumns):
        return ", ".join(column for column in labels.columns if row[column]) or "no label"
    return str(row[labels.column if labels else experiment.competition.targets[0]])


@styled()
def picture(experiment: Experiment, found: Sequence[np.ndarray], examples: DataFrame) -> bytes:
    """A PNG with the losses of the hardest rows over the epochs, and below it their images, if rows have any.

    found: of `losses`. examples: of `hardest`. Of private images only the ids are shown.

    Raises:
        GoldfoldError: an image cannot be read.
    """
    shown = examples.head(DRAWN)
    names = shortened_apart(shown["id"].tolist(), lambda name: shortened(name, NAME))
    images = _images(experiment, shown)
    lines = -(-len(images) // ACROSS)
    drawn = figure(CURVES + lines * TILE)
    heights = [CURVES, lines * TILE] if images else [CURVES]
    parts = drawn.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    _draw_curves(parts[0].subplots(), *curves(found, shown["row"].tolist()), names)
    if images:
        panels = parts[1].subplots(lines, ACROSS, squeeze=False).ravel()
        for axes in panels[len(images) :]:
            axes.set_axis_off()
        for axes, image, name, label, loss, color in zip(
            panels, images, names, shown["label"], shown["loss"], FOLDS, strict=False
        ):
            _draw_image(axes, image, color, f"{name}\nlabel {shortened(label, NAME)}, loss {loss:.2f}")
    return png(drawn)


def _images(experiment: Experiment, shown: DataFrame) -> list[np.ndarray]:
    """The images of the rows; none if their files are neither images nor sounds."""
    train = experiment.tables.train
    if not are_images(train) and not are_sounds(train):
        return []
    paths = train["path"].iloc[shown["row"]].tolist()
    private = experiment.competition.private_images
    return photographs.read_all(paths, shown["id"].tolist(), private=private, side=SIDE)


def _draw_curves(axes: Axes, lines: np.ndarray, median: np.ndarray, names: Sequence[str]) -> None:
    """Draw the losses (rows, epochs) over the epochs, and the median of all rows."""
    from matplotlib.ticker import MaxNLocator

    epochs = np.arange(1, len(median) + 1)
    for line, name, color in zip(lines, names, FOLDS, strict=False):
        axes.plot(epochs, line, color=color, linewidth=1.3, marker="o", markersize=3, label=name)
    axes.plot(epochs, median, color=INK, linestyle="--", linewidth=1.3, label="median of all rows")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss of a training row")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_title("Training rows with the largest losses after the last epoch", fontsize=10, loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _draw_image(axes: Axes, image: np.ndarray, color: str, caption: str) -> None:
    """Draw an image in a frame of the color of its line."""
    axes.imshow(image)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=color, linewidth=2.5)
    axes.set_xlabel(caption, fontsize=7)


def section(run: Path) -> str:
    """The section of the record: the rows with the largest losses; empty without them."""
    if not (run / TABLE).exists():
        return ""
    found = csv_tables.read(run / TABLE, text=("label",), na_is_missing=False).head(LISTED)
    lines = [
        [row["id"], row["label"], number(row["loss"]), str(row["fits"]), str(row["listed"])]
        for _, row in found.iterrows()
    ]
    intro = (
        "Training rows with the largest losses after the last epoch, mean over the fits that trained on them: look "
        f"here for wrong labels. `{hard_examples.FOLDER}/` in the folder of a fit has losses and list of each epoch."
    )
    return f"{intro}\n\n{table(list(found), lines, left=2)}"
