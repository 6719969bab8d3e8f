"""Precision-recall curves of hash codes by Hamming radius, as a table and as a picture in a run's record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.experiment.fits import Experiment, Fit
from goldfold.report.plotting.style import INK, MUTED, figure, fold_color, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TABLE, PICTURE = "hash_curves.csv", "hash_curves.png"
HELD_OUT, TRAINING = "held-out rows", "training rows"


def table(experiment: Experiment, fits: Sequence[Fit]) -> DataFrame:
    """The curves of every fit by the competition's first metric of hash codes of each database; empty without one.

    Columns: database (held-out rows, or the training rows of the fit), fold, seed, radius, precision, recall, empty
        (share of queries with no row within the radius), chance.
    """
    from goldfold.retrieval.hashing.radius_curves import radius_curve

    found = []
    for fit in fits:
        for database, (items, relevant) in _counts(experiment, fit):
            curve = radius_curve(items, relevant)._asdict()
            known = {"database": database, "fold": fit.fold, "seed": fit.seed, "radius": np.arange(items.shape[1])}
            found.append(DataFrame(known | curve | {"chance": curve["precision"][-1]}))
    return pd.concat(found, ignore_index=True) if found else DataFrame()


def _counts(experiment: Experiment, fit: Fit) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Database -> gallery rows and relevant ones at each distance of each validation row."""
    held, train = fit.validation.dtype.names or (), experiment.tables.train
    validation, training = (train.iloc[part].reset_index(drop=True) for part in reversed(experiment.folds[fit.fold]))
    options = [each.options for each in experiment.competition.also if each.options.field in (None, *held)]
    own = next((each.by_distance for each in options if each.by_distance), None)
    if own is not None:
        yield HELD_OUT, own(validation, fit.validation)
    public = next((each.training_database for each in options if each.training_database), None)
    if public is not None and fit.index:
        yield TRAINING, public.by_distance(validation, fit.validation, training, fit.index)


@styled()
def picture(curves: DataFrame) -> bytes:
    """A PNG with a panel for each database: the curve of each fit, their mean by radius, and the chance level.

    curves: from `table`, not empty.
    """
    names = curves["database"].unique().tolist()
    drawn = figure(3.6)
    panels = drawn.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        _draw(axes, name, curves[curves["database"] == name])
    panels[0].set_ylabel("precision")
    panels[0].set_ylim(0, 1)
    handles = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    drawn.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return png(drawn)


def _draw(axes: Axes, name: str, curves: DataFrame) -> None:
    for (fold, _), own in curves.groupby(["fold", "seed"]):
        axes.plot(own["recall"], own["precision"], color=fold_color(int(fold)), linewidth=0.9, label=f"fold {fold}")
    mean = curves.groupby("radius")[["recall", "precision", "chance"]].mean()
    axes.plot(mean["recall"], mean["precision"], "o-", color=INK, markersize=2.5, label="mean, a dot per radius")
    chance = mean["chance"].iloc[0]
    axes.axhline(chance, color=MUTED, linestyle="--", linewidth=1, label="chance: share of relevant rows")
    axes.set_xlim(0, 1)
    axes.set_title(f"database: {name}, chance {chance:.3f}", fontsize=9, loc="left")
    axes.set_xlabel("recall")
