"""Embeddings on a plane: their first two principal components, with how much of the variance these hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.io.formatting import shortened
from goldfold.report.plotting.style import FOLDS, INK, MUTED, figure, png, styled
from goldfold.retrieval.cosines import normalize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 10  # labels with a colour and a mark of their own
MARKS = "osD^vPX<>*"
WORD = 24  # columns of a label in the key
HEIGHT = 5.2  # inches
DENSE = 1000  # points from which they are drawn small


@styled()
def pca_map(embeddings: np.ndarray, labels: Sequence[Any], title: str) -> bytes:
    """A PNG of the first two principal components of the normalised embeddings (n, d), a mark and colour a label.

    The axes have one scale, so that distances can be compared; their names tell the share of the variance each holds.
    Of more than ten labels the nine most common are named.

    Raises:
        GoldfoldError: embeddings that are no (n, d), are not finite, or are not one a label.
    """
    units = normalize(embeddings)
    if len(units) != len(labels) or not len(labels):
        raise GoldfoldError(
            f"a map needs a label for each embedding and got {len(units)} embeddings and {len(labels)} labels: pass "
            "those of the same rows"
        )
    places, shares = components(units)
    drawn = figure(HEIGHT)
    axes = drawn.subplots()
    axes.set_aspect("equal", adjustable="datalim")
    _draw(axes, places, [str(label) for label in labels])
    axes.set_title(f"{title}\n{_told(shares, units.shape[1])}", fontsize=10, loc="left", color=INK)
    for number, name in enumerate(("set_xlabel", "set_ylabel")):
        getattr(axes, name)(f"component {number + 1}, {100 * shares[number]:.1f} % of the variance")
    drawn.legend(loc="outside right upper")
    return png(drawn)


def components(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows on their first two principal components, (n, 2), and the shares of the variance, (2,); zeros where none is.

    Centred, by scikit-learn's randomised solver where that pays; equal rows give equal maps.
    """
    from sklearn.decomposition import PCA

    places, shares = np.zeros((len(units), 2)), np.zeros(2)
    count = min(2, *units.shape)
    if np.ptp(units, axis=0).max() > 1e-6:  # else one point, whose shares would be 0 / 0
        fitted = PCA(count, random_state=0)
        places[:, :count] = fitted.fit_transform(units.astype(np.float64))
        shares[:count] = fitted.explained_variance_ratio_
    return places, shares


def _told(shares: np.ndarray, dimensions: int) -> str:
    if not shares.any():
        return f"all embeddings are one point in {dimensions:,} dimensions"
    return f"both components hold {100 * shares.sum():.1f} % of the variance of {dimensions:,} dimensions"


def _draw(axes: Axes, places: np.ndarray, labels: Sequence[str]) -> None:
    """The named labels over the others; a large class never hides a small one."""
    counts, size = Counter(labels), 13 if len(labels) > DENSE else 22
    named = [name for name, _ in counts.most_common(NAMED if len(counts) <= NAMED else NAMED - 1)]
    rest = np.array([label not in named for label in labels])
    if rest.any():
        told = f"{len(counts) - len(named):,} others ({rest.sum():,})"
        axes.scatter(*places[rest].T, s=size / 2, color=MUTED, alpha=0.5, linewidth=0, label=told)
    for number, name in enumerate(named):
        own = np.array([label == name for label in labels])
        look = {"color": FOLDS[number], "marker": MARKS[number], "edgecolor": "white", "linewidth": 0.4}
        axes.scatter(
            *places[own].T, s=size, zorder=2 + number, label=f"{shortened(name, WORD)} ({counts[name]:,})", **look
        )
