"""Histograms of the cosine similarity of relevant and irrelevant gallery rows to their queries, and their overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.report.plotting.style import FOLDS, INK, figure, png, styled
from goldfold.trust.retrieval_comparisons import histogram_overlap

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from goldfold.retrieval.cosines import SimilarityHistogram

RELEVANT, IRRELEVANT = FOLDS[2], FOLDS[5]
PANEL = 1.2  # inches, height of a panel
EMPTY = 3  # empty bins shown below the lowest pair


@styled()
def histogram(found: Mapping[str, SimilarityHistogram]) -> bytes:
    """A PNG with a panel for each name: histograms of the cosines of relevant and irrelevant pairs.

    found: name of a fold or run -> its counts. All panels have the same axis. Each panel shows the medians and the
    overlap of both histograms, see `overlap`.

    Raises:
        GoldfoldError: there is nothing to draw.
    """
    if not found:
        raise GoldfoldError("nothing_to_draw", "a picture of similarities needs at least one fold or run, got none")
    drawn = figure(0.8 + PANEL * len(found))
    panels = drawn.subplots(len(found), sharex=True, squeeze=False)[:, 0]
    for axes, (name, counts) in zip(panels, found.items(), strict=True):
        _draw(axes, name, counts)
    panels[-1].set_xlim(_lowest(found), 1.0)
    panels[-1].set_xlabel("cosine similarity to the query")
    drawn.legend(handles=_legend(), loc="outside lower center", ncols=4)
    return png(drawn)


def median(counts: np.ndarray, edges: np.ndarray) -> float:
    """The median of binned values, spread evenly within their bins; NaN if there are none.

    counts: (bins,). edges: (bins + 1,), ascending.

    >>> median(np.array([0, 2, 2, 0]), np.array([-1, -0.5, 0, 0.5, 1]))
    0.0
    """
    if not counts.sum():
        return math.nan
    return float(np.interp(0.5, np.concatenate([[0], np.cumsum(counts)]) / counts.sum(), edges))


def overlap(found: SimilarityHistogram) -> float:
    """The overlap of both histograms, each of area 1: 0 is disjoint, 1 is equal; NaN if one is empty.

    >>> from types import SimpleNamespace
    >>> overlap(SimpleNamespace(relevant=np.array([0, 1, 3]), irrelevant=np.array([8, 8, 0])))
    0.25
    """
    return histogram_overlap(found.relevant, found.irrelevant)


def _lowest(found: Mapping[str, SimilarityHistogram]) -> float:
    """The left end of the axis, a little below the lowest pair."""
    edges = next(iter(found.values())).edges
    counts = sum(each.relevant + each.irrelevant for each in found.values())
    first = int(np.argmax(counts > 0)) if counts.any() else 0
    return float(edges[max(0, first - EMPTY)])


def _legend() -> list[Artist]:
    """Legend entries of areas and lines."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(color=RELEVANT, alpha=0.45, linewidth=0, label="relevant pairs"),
        Line2D([], [], color=RELEVANT, linewidth=1.2, label="median of relevant"),
        Line2D([], [], color=IRRELEVANT, linewidth=1.6, label="irrelevant pairs"),
        Line2D([], [], color=IRRELEVANT, linewidth=1.2, linestyle="--", label="median of irrelevant"),
    ]


def _draw(axes: Axes, name: str, found: SimilarityHistogram) -> None:
    """Draw relevant pairs filled and irrelevant ones as a line, so that they differ without colors too."""
    facts = []
    for side, counts, color in (("relevant", found.relevant, RELEVANT), ("irrelevant", found.irrelevant, IRRELEVANT)):
        filled, middle = side == "relevant", median(counts, found.edges)
        style: dict[str, Any] = {"fill": filled, "color": color, "alpha": 0.45 if filled else 1}
        style |= {"linewidth": 0 if filled else 1.6, "zorder": 2 if filled else 3}
        axes.stairs(counts / max(1, counts.sum()), found.edges, **style)
        facts.append(f"{counts.sum():,} {side}")
        if not math.isnan(middle):
            axes.axvline(middle, color=color, linestyle="-" if filled else "--", linewidth=1.2)
            facts[-1] += f", median {middle:.3f}"
    shared = overlap(found)
    facts += [] if math.isnan(shared) else [f"overlap {100 * shared:.0f} %"]
    axes.set_title(f"{name}: {'; '.join(facts)}", fontsize=8, loc="left", color=INK)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("share of pairs")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.locator_params(axis="y", nbins=4)
