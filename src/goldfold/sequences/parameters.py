"""Parameters of how windows are prepared, which every recipe for windows has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from goldfold.params import Needs, Params
from goldfold.sequences.joints import Pack

ZScore = Literal["global", "per_file", "none"]


class WindowParams(Params):
    """Features of a window, and their preparation in this order: pack, smoothing, z-score."""

    pack: Pack = Field(
        "features",
        description="features of the file; or of its joints: light (coordinates, confidence), full (also velocities), "
        "pairwise (also distances of all pairs)",
    )
    smoothing: int = Field(1, ge=1, description="frames of the moving average over valid frames, odd; 1: none")
    zscore: ZScore = Field(
        "global",
        description="standardize features by training windows (global), by each window itself (per_file), or not",
    )
    scaler: Annotated[str, Needs(zscore="global")] = Field(
        "", description="a fit's scaler.json, whose windows are not in the train table; empty: each fold fits its own"
    )
