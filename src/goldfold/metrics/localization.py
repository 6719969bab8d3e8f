"""Metrics of where an anomaly is: maps of anomaly scores against masks, all pixels of all images in one ranking.

All of them take `truth`: rows -> for each row an (h, w) integer mask, 0 = normal. Predictions are (n, H, W) maps,
larger = more anomalous, or records with such a field `map`; beside another metric they are measured of records alone.
Map (bilinear) and mask (nearest) are compared at `side` x `side` pixels, scores as float16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from goldfold.competition import Metric
from goldfold.data.fields import field
from goldfold.errors import GoldfoldError
from goldfold.metrics.auroc_and_ap import area_by_level
from goldfold.metrics.inputs import checked
from goldfold.optional_parts import MetricOptions

if TYPE_CHECKING:
    from pandas import DataFrame

    Truth = Callable[[DataFrame], Iterable[np.ndarray]]
    Area = Callable[[np.ndarray, np.ndarray], float]
    Weights = Callable[[np.ndarray], np.ndarray]

LEVELS = 2**16  # of float16
COARSE = 2000  # quantiles that stand for them when images are drawn again


class Pixels(NamedTuple):
    """An image's pixels, (side * side,) each: level uint16 in the order of the scores, weight 0 for normal ones."""

    level: np.ndarray
    weight: np.ndarray


def pixel_auroc(truth: Truth, *, side: int = 256) -> Metric:
    """Area under the ROC curve over pixels, ties counting one half. Chance is 0.5.

    Large defects weigh more than small ones in it: read it beside `aupro`.
    """
    return _over_pixels("pixel_auroc", truth, side, _one_per_pixel, area_by_level, chance=0.5)


def aupro(truth: Truth, *, limit: float = 0.3, side: int = 256) -> Metric:
    """Mean overlap of defects with the pixels above a threshold, averaged over false positive rates from 0 to `limit`.

    Each connected region (8 neighbours) of a mask counts the same, whatever its size. Chance is `limit` / 2. Source:
    Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 129 (2021), sec. 5.2 (there 0.3 too).
    """
    if not 0 < limit <= 1:
        raise GoldfoldError(f"the limit of the false positive rate must lie in (0, 1], got {limit}: 0.3 is usual")

    def area(normal: np.ndarray, anomalous: np.ndarray) -> float:
        return _area_up_to(limit, normal, anomalous)

    return _over_pixels(f"aupro_{limit:g}", truth, side, _one_per_region, area, chance=limit / 2)


def _over_pixels(name: str, truth: Truth, side: int, weights: Weights, area: Area, chance: float) -> Metric:
    def score(rows: DataFrame, predictions: np.ndarray) -> float:
        normal, anomalous = np.zeros(LEVELS), np.zeros(LEVELS)
        for pixels in _images(rows, predictions, truth, side, weights):
            one = _counts(pixels, LEVELS)
            normal, anomalous = normal + one[0], anomalous + one[1]
        return _area(area, normal, anomalous, name)

    def resampled(rows: DataFrame, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        images = list(_images(rows, predictions, truth, side, weights))
        coarse = _quantiles(images)
        counts = [_counts(Pixels(coarse[level], weight), COARSE + 1) for level, weight in images]
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
    import cv2

    maps = checked(field(predictions, "map"), rows)
    if maps.ndim != 3:
        raise GoldfoldError(f"maps must have shape (n, height, width), got {maps.shape}: look at `Plan.predict`")
    for mask, scores in zip(truth(rows), maps, strict=True):
        shown = cv2.resize(scores.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
        anomalous = cv2.resize((mask > 0).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
        yield Pixels(_level(shown).ravel(), weights(anomalous).ravel())


def _level(scores: np.ndarray) -> np.ndarray:
    """Scores as float16 and these as uint16 in the same order: negative numbers' bits count backwards."""
    bits = (scores.astype(np.float16) + np.float16(0)).view(np.uint16)  # adding 0 makes -0 equal to 0
    return np.where(bits >> 15, ~bits, bits | np.uint16(1 << 15))


def _one_per_pixel(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.float32)


def _one_per_region(mask: np.ndarray) -> np.ndarray:
    import cv2

    _, regions = cv2.connectedComponents(mask, connectivity=8)
    areas = np.bincount(regions.ravel())
    return np.where(regions > 0, 1 / areas[regions], 0).astype(np.float32)


def _counts(pixels: Pixels, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """(levels,) each: the number of normal pixels and the weight of anomalous ones."""
    normal = np.bincount(pixels.level[pixels.weight == 0], minlength=levels)
    return normal, np.bincount(pixels.level, pixels.weight, minlength=levels)


def _quantiles(images: list[Pixels]) -> np.ndarray:
    """Level -> which of about `COARSE` equally filled classes it falls into."""
    together = sum(np.bincount(pixels.level, minlength=LEVELS) for pixels in images).cumsum()
    return (together * COARSE // together[-1]).astype(np.int64)


def _area(area: Area, normal: np.ndarray, anomalous: np.ndarray, name: str) -> float:
    if not normal.sum() or not anomalous.sum():
        lacking = "an anomalous" if normal.sum() else "a normal"
        raise GoldfoldError(f"{name} needs {lacking} pixel, and the masks of these rows have none: look at the split")
    return area(normal, anomalous)


def _area_up_to(limit: float, normal: np.ndarray, anomalous: np.ndarray) -> float:
    """The area under overlap over false positive rate, from the highest level down, up to `limit`, / `limit`."""
    rate, overlap = (np.append(0, side[::-1].cumsum() / side.sum()) for side in (normal, anomalous))
    inside = rate < limit
    x, y = np.append(rate[inside], limit), np.append(overlap[inside], np.interp(limit, rate, overlap))
    return float(np.trapezoid(y, x) / limit)
