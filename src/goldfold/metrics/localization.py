"""Metrics of anomaly localization: anomaly maps against masks, with all pixels of all images in one ranking.

All of them take `truth`: rows -> an (h, w) integer mask for each row, 0 = normal. Predictions are (n, H, W) maps,
larger for more anomalous pixels, or records with such a field `map`. In `Competition.also` these metrics are computed
only for recipes that predict records. Maps (bilinear) and masks (nearest) are resized to `side` x `side` pixels. Values
of maps are replaced by their ranks before they are resized, so that any strictly increasing change of all maps (another
unit, a logarithm, a sigmoid) leaves the metrics exactly equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from goldfold.competition import Metric
from goldfold.data.fields import field
from goldfold.errors import GoldfoldError
from goldfold.metrics.auroc import area_from_counts
from goldfold.metrics.inputs import check_predictions, shape_of_rows
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame

    Truth = Callable[[DataFrame], Iterable[np.ndarray]]
    Area = Callable[[np.ndarray, np.ndarray], float]
    Weights = Callable[[np.ndarray], np.ndarray]

BINS = 2000  # quantile bins that replace the exact ranking in bootstrap draws
DRAWN = 2**22  # pixels that the bins are made of, evenly spaced


class Pixels(NamedTuple):
    """Pixels of one image, (side * side,) each. weight: 0 for normal pixels."""

    score: np.ndarray
    weight: np.ndarray


def pixel_auroc(truth: Truth, *, side: int = 256) -> Metric:
    """Area under the ROC curve over all pixels.

    Range: [0, 1], higher is better. Chance: 0.5.
    Ties: a tied pair of pixels counts one half.
    Empty classes: GoldfoldError if there is no normal or no anomalous pixel.

    Large defects weigh more than small ones, so read it beside `aupro`.
    """
    return _over_pixels("pixel_auroc", truth, side, _one_per_pixel, area_from_counts, chance=0.5)


def aupro(truth: Truth, *, limit: float = 0.3, side: int = 256) -> Metric:
    """Area under the per-region overlap curve (AU-PRO) over false positive rates from 0 to `limit`, divided by `limit`.

    Range: [0, 1], higher is better. Chance: `limit` / 2.
    Ties: pixels of equal score pass the threshold together.
    Empty classes: images without a defect add normal pixels only; GoldfoldError if there is no normal or no anomalous
    pixel at all.

    Each connected region (8 neighbors) of a mask counts the same, whatever its size. Source: Bergmann et al., The MVTec
    Anomaly Detection Dataset, IJCV 129 (2021), sec. 5.2, where `limit` is 0.3 too.
    """
    if not 0 < limit <= 1:
        raise GoldfoldError(
            "limit_out_of_range", f"the limit of the false positive rate must lie in (0, 1], got {limit}: 0.3 is usual"
        )

    def area(normal: np.ndarray, anomalous: np.ndarray) -> float:
        return _area_up_to(limit, normal, anomalous)

    return _over_pixels(f"aupro_{limit:g}", truth, side, _one_per_region, area, chance=limit / 2)


def _over_pixels(name: str, truth: Truth, side: int, weights_of: Weights, area: Area, chance: float) -> Metric:
    """A metric of the weighted ranking of all pixels."""

    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        normal, anomalous, weights = [], [], []
        for scores, weight in _images(rows, predictions, truth, side, weights_of):
            normal.append(scores[weight == 0])
            anomalous.append(scores[weight > 0])
            weights.append(weight[weight > 0])
        counts = _exact_counts(*map(np.concatenate, (normal, anomalous, weights)))
        return _area(area, *counts, name)

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        images = list(_images(rows, predictions, truth, side, weights_of))
        edges = _quantiles(images)
        counts = [_counts(Pixels(np.searchsorted(edges, scores), weight), len(edges) + 1) for scores, weight in images]
        normal, anomalous = (np.stack(side) for side in zip(*counts, strict=True))

        def score_of(index: np.ndarray) -> float:
            times = np.bincount(index, minlength=len(images)).astype(np.float32)
            return _area(area, times @ normal, times @ anomalous, name)

        return score_of

    return Metric(
        name=name,
        score=score,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        chance=lambda rows: chance,
        options=MetricOptions(resampled=resampled, field="map"),
    )


def _images(rows: DataFrame, predictions: np.ndarray, truth: Truth, side: int, weights: Weights) -> Iterable[Pixels]:
    """Pixels of each image, resized."""
    import cv2

    maps = check_predictions(field(predictions, "map"), rows)
    if maps.ndim != 3:
        raise GoldfoldError(
            "wrong_prediction_shape",
            f"maps must have shape (n, height, width), got {shape_of_rows(maps.shape[1:])}: check `Plan.predict`",
        )
    for mask, ranks in zip(truth(rows), _ranks(maps), strict=True):
        resized = cv2.resize(ranks, (side, side), interpolation=cv2.INTER_LINEAR)
        anomalous = cv2.resize((mask > 0).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
        yield Pixels(resized.ravel(), weights(anomalous).ravel())


def _ranks(maps: np.ndarray) -> np.ndarray:
    """Rank of each value among the different values of all maps, from 0, float64 (n, h, w); equal values share one.

    Interpolated values depend on the scale of the map, and interpolated ranks do not.
    """
    return np.unique(maps, return_inverse=True)[1].reshape(maps.shape).astype(np.float64)


def _one_per_pixel(mask: np.ndarray) -> np.ndarray:
    """Weight 1 for each anomalous pixel."""
    return mask.astype(np.float32)


def _one_per_region(mask: np.ndarray) -> np.ndarray:
    """Weight 1 for each connected region, spread evenly over its pixels."""
    import cv2

    _, regions = cv2.connectedComponents(mask, connectivity=8)
    areas = np.bincount(regions.ravel())
    return np.where(regions > 0, 1 / areas[regions], 0).astype(np.float32)


def _exact_counts(normal: np.ndarray, anomalous: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of normal pixels and weight of anomalous ones, ascending: below, at and above each anomalous score.

    `normal` is sorted in place. Between two anomalous scores the order of normal pixels changes no area, so the k
    different ones make 2 k + 1 levels.
    """
    normal.sort()
    levels, at = np.unique(anomalous, return_inverse=True)
    edges = [np.searchsorted(normal, levels, side) for side in ("left", "right")]
    inner = np.stack(edges, axis=1).ravel()
    weight = np.zeros(2 * len(levels) + 1)
    weight[1::2] = np.bincount(at, weights, len(levels))
    return np.diff(inner, prepend=0, append=len(normal)), weight


def _counts(pixels: Pixels, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of normal pixels and total weight of anomalous pixels in each bin, (bins,) each; `score` holds bins."""
    normal = np.bincount(pixels.score[pixels.weight == 0], minlength=bins)
    return normal, np.bincount(pixels.score, pixels.weight, minlength=bins)


def _quantiles(images: list[Pixels]) -> np.ndarray:
    """Upper edges of about `BINS` bins with equal numbers of pixels, ascending; fewer where scores are tied."""
    step = 1 + sum(len(pixels.score) for pixels in images) // DRAWN
    ranked = np.sort(np.concatenate([pixels.score[::step] for pixels in images]))
    return np.unique(ranked[np.linspace(0, len(ranked) - 1, BINS).astype(np.int64)])


def _area(area: Area, normal: np.ndarray, anomalous: np.ndarray, name: str) -> float:
    """The area, after checking that there are normal and anomalous pixels."""
    if not normal.sum() or not anomalous.sum():
        lacking = "an anomalous" if normal.sum() else "a normal"
        raise GoldfoldError(
            "metric_one_class", f"{name} needs {lacking} pixel, but the masks of these rows have none: check the split"
        )
    return area(normal, anomalous)


def _area_up_to(limit: float, normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Area under overlap over false positive rate, from the highest level down to `limit`, divided by `limit`."""
    rate, overlap = (np.append(0, side[::-1].cumsum() / side.sum()) for side in (normal, anomalous))
    inside = rate < limit
    x, y = np.append(rate[inside], limit), np.append(overlap[inside], np.interp(limit, rate, overlap))
    return float(np.trapezoid(y, x) / limit)
