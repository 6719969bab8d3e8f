"""Calibration of a run on its page: the reliability curve as SVG, and its table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from goldfold.experiment.run_folders import CALIBRATION
from goldfold.io.formatting import number
from goldfold.report.plotting.markdown import table
from goldfold.trust.calibration import expected_error

if TYPE_CHECKING:
    from pandas import DataFrame

SIDE, EDGE = 240, 30  # units of the picture
LARGEST = 7  # radius of the point of the fullest bin


def section(run: Path) -> tuple[str, str]:
    """The curve as SVG and the text as Markdown; both empty if the run predicts no probabilities of classes."""
    if not (run / CALIBRATION).exists():
        return "", ""
    found = pd.read_csv(run / CALIBRATION)
    header = ("probability", "rows", "mean probability", "share that was right or positive")
    lines = [
        [f"{each.low:.1f} to {each.high:.1f}", f"{each.rows:,.0f}", number(each.probability), number(each.share)]
        for each in found.itertuples()
    ]
    note = (
        f"Expected calibration error {number(expected_error(found))}: the mean distance of probability and share, "
        "weighted by rows, on pooled out-of-fold predictions. Of two classes the probability of the second is compared "
        "with its share, of more the largest probability with how often that class is right. Below the diagonal it "
        "happens less often than predicted, above it more often."
    )
    return svg(found), f"{note}\n\n{table(header, lines)}"


def svg(found: DataFrame) -> str:
    """Draw the share of each bin above its mean probability; a larger point has more rows."""
    points = [(_x(each.probability), _y(each.share), each) for each in found.itertuples()]
    path = " ".join(f"{x},{y}" for x, y, _ in points)
    most = found["rows"].max()
    dots = "".join(
        f'<circle class="mark" cx="{x}" cy="{y}" r="{2 + (LARGEST - 2) * (each.rows / most) ** 0.5:.1f}"><title>'
        f"{each.rows:,.0f} rows: probability {number(each.probability)}, share {number(each.share)}</title></circle>"
        for x, y, each in points
    )
    return (
        f'<svg viewBox="0 0 {SIDE + 2 * EDGE} {SIDE + 2 * EDGE}" role="img" aria-label="reliability curve">'
        f"{_axes()}"
        f'<polyline class="mark" style="fill: none" points="{path}"/>{dots}</svg>'
    )


def _axes() -> str:
    """The frame, the diagonal of calibrated probabilities and the names of both axes."""
    frame = f'<rect class="rule" style="fill: none" x="{EDGE}" y="{EDGE}" width="{SIDE}" height="{SIDE}"/>'
    diagonal = f'<line class="rule" stroke-dasharray="4" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>'
    ticks = "".join(
        f'<text class="small" x="{_x(at)}" y="{_y(0) + 12}" text-anchor="middle">{at:g}</text>'
        f'<text class="small" x="{EDGE - 4}" y="{_y(at) + 3}" text-anchor="end">{at:g}</text>'
        for at in (0, 0.5, 1)
    )
    names = (
        f'<text class="small" x="{_x(0.5)}" y="{_y(0) + 25}" text-anchor="middle">mean predicted probability</text>'
        f'<text class="small" x="{EDGE}" y="{EDGE - 8}">share that was right or positive</text>'
    )
    return frame + diagonal + ticks + names


def _x(probability: float) -> float:
    return round(EDGE + SIDE * probability, 1)


def _y(share: float) -> float:
    return round(EDGE + SIDE * (1 - share), 1)
