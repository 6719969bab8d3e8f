"""Histograms of relevant and irrelevant pairs: numbers against NumPy and SciPy, the picture by its pixels."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from scipy import stats

from goldfold.errors import GoldfoldError
from goldfold.report.plotting.style import DPI, WIDTH
from goldfold.report.retrieval.similarities import IRRELEVANT, RELEVANT, histogram, median, overlap
from goldfold.retrieval.cosines import SimilarityHistogram


def counted(right: np.ndarray, wrong: np.ndarray, bins: int = 100) -> SimilarityHistogram:
    edges = np.linspace(-1, 1, bins + 1)
    return SimilarityHistogram(edges, np.histogram(right, edges)[0], np.histogram(wrong, edges)[0])


def drawn(middle: float, spread: float, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(middle, spread, count).clip(-1, 1)


def picture(found: dict[str, SimilarityHistogram]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = histogram(found)
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB) / 255
    assert pixels.shape[1] == WIDTH * DPI
    return pixels


def spots(pixels: np.ndarray, color: str, alpha: float = 1) -> np.ndarray:
    """Rows and columns of a color, on white where it is see-through."""
    wanted = alpha * np.array(to_rgb(color)) + 1 - alpha
    return np.argwhere((np.abs(pixels - wanted) < 0.012).all(axis=2))


def test_medians_are_those_of_the_values_within_a_bin() -> None:
    for middle, spread in ((0.3, 0.2), (-0.5, 0.05), (0.97, 0.01)):
        values = drawn(middle, spread, 5001)
        found = counted(values, values)
        assert median(found.relevant, found.edges) == pytest.approx(np.median(values), abs=0.01)
    assert np.isnan(median(np.zeros(100), found.edges))


def test_overlap_is_that_of_two_normal_distributions() -> None:
    spread, apart = 0.1, 0.2  # two standard deviations
    found = counted(drawn(0.5, spread, 200_000), drawn(0.5 - apart, spread, 50_000, seed=1))
    assert overlap(found) == pytest.approx(2 * stats.norm.cdf(-apart / spread / 2), abs=0.01)
    assert overlap(counted(drawn(0.8, 0.01, 99), drawn(-0.8, 0.01, 99))) == 0
    assert overlap(counted(found.edges, found.edges)) == pytest.approx(1)
    assert np.isnan(overlap(counted(np.array([]), np.array([0.5]))))


def test_relevant_pairs_are_an_area_and_irrelevant_ones_a_line_each_at_its_cosines() -> None:
    pixels = picture({"fold 0": counted(drawn(0.7, 0.05, 5000), drawn(0.1, 0.05, 5000))})
    plot = pixels[: int(0.7 * len(pixels))]  # above the key
    area, line = spots(plot, RELEVANT, 0.45), spots(plot, IRRELEVANT)
    assert len(area) > 10 * len(line) / 4
    assert np.median(area[:, 1]) > np.median(line[:, 1])
    columns = spots(plot, RELEVANT)[:, 1]  # its median's line
    assert area[:, 1].min() < columns.min() < columns.max() < area[:, 1].max()


def test_panels_span_the_same_cosines_and_start_where_pairs_begin() -> None:
    healthy, collapsed = (
        counted(drawn(0.7, 0.1, 900), drawn(0.5, 0.1, 900)),
        counted(drawn(0.99, 0.002, 900), drawn(0.985, 0.002, 900)),
    )
    pixels = picture({"healthy": healthy, "collapsed": collapsed})
    upper, lower = pixels[: len(pixels) // 2], pixels[len(pixels) // 2 : -70]
    assert spots(lower, RELEVANT, 0.45)[:, 1].min() > np.median(spots(upper, RELEVANT, 0.45)[:, 1])
    alone = picture({"collapsed": collapsed})[:-70]
    assert np.ptp(spots(alone, RELEVANT, 0.45)[:, 1]) > 1.5 * np.ptp(spots(lower, RELEVANT, 0.45)[:, 1])
    twice = picture({"one": healthy, "the same": healthy})
    parts = twice[: len(twice) // 2 - 25], twice[len(twice) // 2 - 25 : -70]
    columns = [spots(part, RELEVANT, 0.45)[:, 1] for part in parts]
    assert (columns[0].min(), columns[0].max()) == (columns[1].min(), columns[1].max())


def test_one_side_may_be_empty_and_many_folds_fit() -> None:
    none, some = np.array([]), drawn(0.2, 0.3, 500)
    picture({"折 0": counted(none, some)})
    picture({"no pairs": counted(none, none)})
    few, many = (picture({f"fold {k}": counted(some, some) for k in range(count)}) for count in (1, 10))
    assert len(many) > 3 * len(few)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(GoldfoldError) as error:
        histogram({})
    assert error.value.code == "nothing_to_draw"
