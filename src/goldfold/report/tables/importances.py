"""Importance of the features of a table, over the fits of a run: a table, a picture and a section of the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.data import csv_tables
from goldfold.experiment.fits import Fit
from goldfold.io.formatting import number, shortened, shortened_apart
from goldfold.report.plotting.markdown import table as markdown
from goldfold.report.plotting.style import FOLDS, INK, figure, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

TABLE = "importances.csv"
PICTURE = "importances.png"
KINDS = {
    "permutation": "score lost where the feature is shuffled",
    "gain": "share of the gain of all splits",
    "contribution": "mean absolute SHAP value",
}
DRAWN, LISTED, NAME = 20, 20, 32  # features of the picture and of the record; characters of a name
ROW, EDGES = 0.22, 1.1  # inches of the picture


def table(fits: Sequence[Fit]) -> DataFrame:
    """A row per feature, the most important first; without rows if no fit measured importances.

    Columns: feature, `<kind>` and `<kind>_sd` of each of `KINDS` that was measured, mean and standard deviation (ddof
    1; missing for one fit) over fits, and fits, the number of fits that have the feature.
    """
    measured = [fit.importances for fit in fits if fit.importances]
    kinds = [kind for kind in KINDS if any(kind in each for each in measured)]
    if not kinds:
        return pd.DataFrame()
    found = {kind: pd.DataFrame([each.get(kind, {}) for each in measured]) for kind in kinds}
    columns: dict[str, pd.Series] = {}
    for kind, values in found.items():
        columns |= {kind: values.mean(), f"{kind}_sd": values.std(ddof=1)}
    whole = pd.DataFrame(columns).assign(fits=found[kinds[0]].notna().sum())
    whole.insert(0, "feature", whole.index)
    return whole.sort_values([kinds[0], "feature"], ascending=[False, True], ignore_index=True)


@styled()
def picture(features: DataFrame) -> bytes:
    """A PNG with a bar per feature and kind of importance, and its standard deviation over fits."""
    shown, kinds = features.head(DRAWN), [kind for kind in KINDS if kind in features]
    names = shortened_apart(shown["feature"].tolist(), lambda name: shortened(name, NAME))
    drawn = figure(EDGES + ROW * len(shown))
    panels = drawn.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind, color in zip(panels, kinds, FOLDS, strict=False):
        _bars(axes, shown[kind].to_numpy(), shown[f"{kind}_sd"].to_numpy(), color)
        axes.set_xlabel(KINDS[kind], fontsize=8)
    panels[0].set_yticks(range(len(shown)), names, fontsize=8)
    panels[0].invert_yaxis()
    count = int(features["fits"].max())
    left_out = f", {len(shown)} of {len(features)} features" if len(shown) < len(features) else ""
    spread = f", mean ± sd over {count} fits" if count > 1 else ", of one fit"
    drawn.suptitle(f"Importance of features{spread}{left_out}", fontsize=10, x=0.01, ha="left")
    return png(drawn)


def _bars(axes: Axes, means: np.ndarray, spreads: np.ndarray, color: str) -> None:
    places = np.arange(len(means))
    axes.barh(places, means, color=color, height=0.7, alpha=0.8)
    axes.errorbar(means, places, xerr=np.nan_to_num(spreads), fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(visible=False, axis="y")


def section(run: Path) -> str:
    """The section of the record: the most important features; empty without them."""
    if not (run / TABLE).exists():
        return ""
    found = csv_tables.read(run / TABLE, id_column="feature")
    kinds = [kind for kind in KINDS if kind in found]
    lines = [
        [str(row["feature"]), *(_cell(row[kind], row[f"{kind}_sd"]) for kind in kinds)]
        for _, row in found.head(LISTED).iterrows()
    ]
    more = f", the first {LISTED} of {len(found)} features" if len(found) > LISTED else ""
    told = "; ".join(f"{kind}: {KINDS[kind]}" for kind in kinds)
    intro = f"Mean ± standard deviation over {int(found['fits'].max())} fits{more}. {told[0].upper()}{told[1:]}."
    return f"{intro}\n\n{markdown(['feature', *kinds], lines, left=1)}"


def _cell(mean: float, spread: float) -> str:
    return number(mean) if np.isnan(spread) else f"{number(mean)} ± {number(spread)}"
