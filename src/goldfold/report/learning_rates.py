"""The range test of a config as picture: the loss over the learning rate, by seed, with what it suggests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from goldfold.report.plotting.style import INK, figure, fold_color, png, styled
from goldfold.training.learning_rates.range_test import Curve
from goldfold.training.learning_rates.suggestion import Reading, Suggestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 4.0  # inches
MARKS = ("#5b3a8e", "#d55e00")  # steepest fall, a tenth of the minimum


def picture(curves: Sequence[Curve], readings: Sequence[Reading], suggestion: Suggestion, title: str) -> bytes:
    """A PNG: points are the losses of steps, lines the smoothed ones, a color per seed; vertical lines are rates.

    A band shows the range of a suggestion over the seeds. The end of a diverging curve is cut off.
    """
    from matplotlib.ticker import LogFormatter

    with styled():
        drawn = figure(HEIGHT)
        axes = drawn.subplots()
        for number, (curve, reading) in enumerate(zip(curves, readings, strict=True)):
            color = fold_color(number)
            axes.plot(curve.rates, curve.losses, ".", color=color, markersize=3, alpha=0.5)
            axes.plot(curve.rates, reading.smoothed, color=color, linewidth=1.5, label=f"seed {number}")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(LogFormatter())  # without mathematical text
        lows = [min(*curve.losses, *reading.smoothed) for curve, reading in zip(curves, readings, strict=True)]
        highs = [max(reading.smoothed) for reading in readings]
        margin = 0.12 * (max(highs) - min(lows)) or 1.0
        axes.set_ylim(min(lows) - margin, max(highs) + margin)
        _mark(axes, suggestion)
        axes.set_xlabel(f"{suggestion.parameter} (log scale)")
        axes.set_ylabel("training loss of a step")
        axes.legend(loc="lower left")
        drawn.suptitle(title, fontsize=10)
        return png(drawn)


def _mark(axes: Axes, suggestion: Suggestion) -> None:
    """Vertical lines at the config's rate and the two suggested ones."""
    axes.axvline(
        suggestion.present, color=INK, linestyle="--", linewidth=1.2, label=f"config: {suggestion.present:.2g}"
    )
    named = zip(("falls fastest", "minimum / 10"), (suggestion.steepest, suggestion.tenth), MARKS, strict=True)
    for name, found, color in named:
        if found is not None:
            axes.axvspan(found.lowest, found.highest, color=color, alpha=0.15, linewidth=0)
            axes.axvline(found.mean, color=color, linewidth=1.2, label=f"{name}: {found.mean:.2g}")
