"""A scaler of features: mean and sd over the valid frames of training windows, kept as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json
from goldfold.sequences.preparation import LEAST_SD


@dataclass(frozen=True)
class Scaler:
    """Mean and sd per feature; an sd below 1e-6 is 1.

    contents: sorted hashes of the files it was fitted on, so that nobody scales a fold by its own validation windows.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    frames: int
    contents: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `load` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


def fit(counts: np.ndarray, means: np.ndarray, sds: np.ndarray, contents: tuple[str, ...]) -> Scaler:
    """Fit a scaler from the statistics of windows, which gives the mean and sd over all their valid frames.

    counts: (n,) valid frames of each window. means, sds: (n, F), with ddof 0. The sd over all frames follows from the
    sds within windows and the spread of their means.

    Raises GoldfoldError `no_valid_frame` if no window has one.
    """
    frames = int(counts.sum())
    if not frames:
        raise GoldfoldError(
            "no_valid_frame",
            f"none of {len(counts)} training windows has a valid frame, so there is nothing to fit a scaler on: check "
            "the masks",
        )
    share = counts[:, None] / frames
    mean = (share * means).sum(0)
    sd = np.sqrt((share * (sds**2 + (means - mean) ** 2)).sum(0))
    steady = np.where(sd < LEAST_SD, 1.0, sd)
    return Scaler(tuple(mean.tolist()), tuple(steady.tolist()), frames, tuple(sorted(set(contents))))


def load(path: str | Path) -> Scaler:
    """Load a scaler that a run kept as `scaler.json` in the folder of a fit.

    Raises:
        GoldfoldError: the file is absent or is not JSON; `scaler_invalid`, its values are not those of a scaler.
    """
    kept = read_json(Path(path))
    try:
        mean, sd = (np.asarray(kept[name], np.float64) for name in ("mean", "sd"))
        contents = tuple(map(str, kept["contents"]))
        whole = mean.ndim == 1 and mean.shape == sd.shape and np.isfinite([mean, sd]).all() and (sd > 0).all()
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise GoldfoldError(
            "scaler_invalid",
            f"'{path}' must hold mean and sd, a number per feature and each sd above 0, and contents: take the "
            "scaler.json of a fit",
        )
    return Scaler(tuple(mean.tolist()), tuple(sd.tolist()), int(kept.get("frames", 0)), contents)


def check_width(scaler: Scaler, features: int, source: str) -> Scaler:
    """Return the scaler; raises GoldfoldError `scaler_width_differs` if it has another number of features."""
    if len(scaler.mean) != features:
        raise GoldfoldError(
            "scaler_width_differs",
            f"scaler '{source}' has {len(scaler.mean)} features, but windows have {features}: use the pack it was "
            "fitted with, or leave scaler out",
        )
    return scaler
