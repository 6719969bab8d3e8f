"""From the files of windows to prepared features, and the scaler of a fold's training windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images.reading import content_hashes
from goldfold.sequences import joints, preparation, scaler, windows
from goldfold.sequences.parameters import WindowParams
from goldfold.sequences.scaler import Scaler
from goldfold.sequences.windows import Window

if TYPE_CHECKING:
    from pandas import DataFrame


def prepare(window: Window, params: WindowParams) -> np.ndarray:
    """The features of a window before they are scaled, float64 (T, F): pack, moving average, its own z-score."""
    features = joints.pack(window, params.pack)
    smooth = preparation.moving_average(features, window.valid, params.smoothing)
    return preparation.z_scored(smooth, window.valid) if params.zscore == "per_file" else smooth


def width(path: str | Path, params: WindowParams) -> int:
    """The number of features of a window."""
    return joints.pack(windows.read(path), params.pack).shape[1]


def check_width(found: int, wanted: int, path: str | Path) -> None:
    """Raise GoldfoldError `feature_counts_differ` if a window has another number of features than the others."""
    if found != wanted:
        raise GoldfoldError(
            "feature_counts_differ",
            f"'{path}' has {found} features, but the first training window has {wanted}: save all windows with the "
            "same features",
        )


def fold_scaler(
    params: WindowParams, counts: np.ndarray, means: np.ndarray, sds: np.ndarray, paths: Sequence[str | Path]
) -> Scaler | None:
    """The scaler of a fold: fitted on its training windows, or loaded; None unless zscore is global.

    counts, means, sds: valid frames and statistics of the training windows, as `scaler.fit` takes them.
    """
    if params.zscore != "global":
        return None
    if params.scaler:
        return scaler.check_width(scaler.load(params.scaler), means.shape[1], params.scaler)
    return scaler.fit(counts, means, sds, tuple(content_hashes(paths)))


def check_tables(params: WindowParams, train: DataFrame, test: DataFrame) -> None:
    """Check a recipe's parameters before training.

    Raises:
        GoldfoldError: `smoothing_even`; `scaler_leaks`, the scaler was fitted on windows of the train table, on which
            folds are scored; those of `scaler.load` and `scaler.check_width`; those of the first window.
    """
    first = train["path"].iloc[0]
    found = prepare(windows.read(first), params).shape[1]
    if not params.scaler:
        return
    loaded = scaler.check_width(scaler.load(params.scaler), found, params.scaler)
    shared = set(loaded.contents) & set(content_hashes(train["path"].tolist()))
    if shared:
        raise GoldfoldError(
            "scaler_leaks",
            f"scaler '{params.scaler}' was fitted on {len(shared)} windows of the train table, so folds would be "
            "scaled by their own validation windows: leave scaler out, and each fold fits its own",
        )
