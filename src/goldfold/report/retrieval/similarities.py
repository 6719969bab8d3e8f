"""How alike right and wrong answers are to their queries: two histograms, and how far they overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.report.plotting.style import FOLDS, INK, figure, png, styled
from goldfold.trust.retrieval_comparisons import histogram_overlap

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from goldfold.retrieval.cosines import SimilarityHistogram

RIGHT, WRONG = FOLDS[2], FOLDS[5]
PANEL = 1.2  # inches
EMPTY = 3  # bins without a pair that stay in sight below the lowest


@styled()
def histogram(found: Mapping[str, SimilarityHistogram]) -> bytes:
    """A PNG with a panel for each name: shares of right and of wrong answers by their cosine to the query.

    found: a fold's or a run's name -> its counts. All panels span the same cosines. Medians are marked and told, and
    the overlap of both histograms, see `overlap`.

    Raises:
        GoldfoldError: there is nothing to draw.
    """
    if not found:
        raise GoldfoldError("a picture of similarities needs those of one fold or more, and got none: name a fold")
    drawn = figure(0.8 + PANEL * len(found))
    panels = drawn.subplots(len(found), sharex=True, squeeze=False)[:, 0]
    for axes, (name, counts) in zip(panels, found.items(), strict=True):
        _draw(axes, name, counts)
    panels[-1].set_xlim(_lowest(found), 1.0)
    panels[-1].set_xlabel("cosine to the query")
    drawn.legend(handles=_key(), loc="outside lower center", ncols=4)
    return png(drawn)


def median(counts: np.ndarray, edges: np.ndarray) -> float:
    """The median of what was counted, evenly spread within its bin; nan where nothing was.

    >>> median(np.array([0, 2, 2, 0]), np.array([-1, -0.5, 0, 0.5, 1]))
    0.0
    """
    if not counts.sum():
        return math.nan
    return float(np.interp(0.5, np.concatenate([[0], np.cumsum(counts)]) / counts.sum(), edges))


def overlap(found: SimilarityHistogram) -> float:
    """The share that both histograms have in common, each with area 1: 0 = apart, 1 = alike; nan where one is empty.

    >>> from types import SimpleNamespace
    >>> overlap(SimpleNamespace(right=np.array([0, 1, 3]), wrong=np.array([8, 8, 0])))
    0.25
    """
    return histogram_overlap(found.relevant, found.irrelevant)


def _lowest(found: Mapping[str, SimilarityHistogram]) -> float:
    """The left end of the panels, a little below the lowest pair."""
    edges = next(iter(found.values())).edges
    counts = sum(each.relevant + each.irrelevant for each in found.values())
    first = int(np.argmax(counts > 0)) if counts.any() else 0
    return float(edges[max(0, first - EMPTY)])


def _key() -> list[Artist]:
    """What filled areas and lines mean in all panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(color=RIGHT, alpha=0.45, linewidth=0, label="right answers"),
        Line2D([], [], color=RIGHT, linewidth=1.2, label="their median"),
        Line2D([], [], color=WRONG, linewidth=1.6, label="wrong answers"),
        Line2D([], [], color=WRONG, linewidth=1.2, linestyle="--", label="their median"),
    ]


def _draw(axes: Axes, name: str, found: SimilarityHistogram) -> None:
    """Right answers filled, wrong ones as a line: told apart without colour too."""
    told = []
    for word, counts, colour in (("right", found.relevant, RIGHT), ("wrong", found.irrelevant, WRONG)):
        filled, middle = word == "right", median(counts, found.edges)
        look = {"fill": filled, "color": colour, "alpha": 0.45 if filled else 1, "linewidth": 0 if filled else 1.6}
        axes.stairs(counts / max(1, counts.sum()), found.edges, zorder=2 if filled else 3, **look)
        told.append(f"{counts.sum():,} {word}")
        if not math.isnan(middle):
            axes.axvline(middle, color=colour, linestyle="-" if filled else "--", linewidth=1.2)
            told[-1] += f", median {middle:.3f}"
    shared = overlap(found)
    told += [] if math.isnan(shared) else [f"overlap {100 * shared:.0f} %"]
    axes.set_title(f"{name}: {'; '.join(told)}", fontsize=8, loc="left", color=INK)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("share")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.locator_params(axis="y", nbins=4)
