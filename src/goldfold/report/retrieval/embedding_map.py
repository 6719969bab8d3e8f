"""Picture of embeddings in two dimensions: their first two principal components, with the explained variance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.io.formatting import shortened, shortened_apart
from goldfold.report.plotting.style import FOLDS, INK, MUTED, figure, png, styled
from goldfold.retrieval.cosines import normalize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NAMED = 10  # labels with a color and a marker of their own
MARKERS = "osD^vPX<>*"
LABEL = 24  # characters of a label in the legend
HEIGHT = 5.2  # inches
DENSE = 1000  # with more points, they are drawn smaller


@styled()
def pca_map(embeddings: np.ndarray, labels: Sequence[Any], title: str) -> bytes:
    """A PNG of the first two principal components of the normalized embeddings, with a color per label.

    embeddings: (n, d). labels: (n,); of more than ten different labels the nine most common are named. Both axes have
    one scale, so that distances can be compared; their names give the explained variance.

    Raises:
        GoldfoldError: embeddings are not (n, d), not finite, or not one per label.
    """
    units = np.asarray(normalize(embeddings))
    if len(units) != len(labels) or not len(labels):
        raise GoldfoldError(
            "lengths_differ",
            f"a map needs one label per embedding, got {len(units)} embeddings and {len(labels)} labels: pass those of "
            "the same rows",
        )
    points, explained = components(units)
    drawn = figure(HEIGHT)
    axes = drawn.subplots()
    axes.set_aspect("equal", adjustable="datalim")
    _draw(axes, points, [str(label) for label in labels])
    axes.set_title(f"{title}\n{_variance_text(explained, units.shape[1])}", fontsize=10, loc="left", color=INK)
    axes.set_xlabel(f"principal component 1, {100 * explained[0]:.1f} % of the variance")
    axes.set_ylabel(f"principal component 2, {100 * explained[1]:.1f} % of the variance")
    drawn.legend(loc="outside right upper")
    return png(drawn)


def components(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project rows (n, d) on their first two principal components; zeros if there is no variance.

    Returns the projection (n, 2), centered, and the share of the variance that each component explains, (2,). The
    solver of scikit-learn may be randomized; its seed is fixed.
    """
    from sklearn.decomposition import PCA

    points, explained = np.zeros((len(units), 2)), np.zeros(2)
    count = min(2, *units.shape)
    if np.ptp(units, axis=0).max() > 1e-6:  # else all rows are one point, and the shares would be 0 / 0
        fitted = PCA(count, random_state=0)
        points[:, :count] = fitted.fit_transform(units.astype(np.float64))
        explained[:count] = fitted.explained_variance_ratio_
    return points, explained


def _variance_text(explained: np.ndarray, dimensions: int) -> str:
    if not explained.any():
        return f"all embeddings are one point in {dimensions:,} dimensions"
    return (
        f"two principal components explain {100 * explained.sum():.1f} % of the variance of {dimensions:,} dimensions"
    )


def _draw(axes: Axes, points: np.ndarray, labels: Sequence[str]) -> None:
    """Draw rare labels over common ones, so that a large class never hides a small one."""
    counts, size = Counter(labels), 13 if len(labels) > DENSE else 22
    named = [name for name, _ in counts.most_common(MAX_NAMED if len(counts) <= MAX_NAMED else MAX_NAMED - 1)]
    rest = np.array([label not in named for label in labels])
    if rest.any():
        text = f"{len(counts) - len(named):,} others ({rest.sum():,})"
        axes.scatter(points[rest, 0], points[rest, 1], s=size / 2, color=MUTED, alpha=0.5, linewidth=0, label=text)
    short = shortened_apart(list(named), lambda name: shortened(name, LABEL))
    for number, name in enumerate(named):
        own = np.array([label == name for label in labels])
        axes.scatter(
            points[own, 0],
            points[own, 1],
            s=size,
            color=FOLDS[number],
            marker=MARKERS[number],
            edgecolor="white",
            linewidth=0.4,
            zorder=2 + number,
            label=f"{short[number]} ({counts[name]:,})",
        )
