"""The map of embeddings against a singular value decomposition, and by its pixels."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from goldfold.errors import GoldfoldError
from goldfold.report.plotting.style import DPI, FOLDS, MUTED, WIDTH
from goldfold.report.retrieval.embedding_map import components, pca_map


def unit(rows: int, dimensions: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, dimensions)) * np.arange(1, dimensions + 1)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def picture(embeddings: np.ndarray, labels: list) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = pca_map(embeddings, labels, "运行")
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB) / 255
    assert pixels.shape[1] == WIDTH * DPI
    return pixels


def spots(pixels: np.ndarray, color: str) -> np.ndarray:
    return np.argwhere((np.abs(pixels - to_rgb(color)) < 0.012).all(axis=2))


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    rows = unit(200, 12)
    places, shares = components(rows)
    centered = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, values, axes = np.linalg.svd(centered, full_matrices=False)
    assert shares == pytest.approx(values[:2] ** 2 / (values**2).sum(), rel=1e-5)
    assert np.abs(places) == pytest.approx(np.abs(centered @ axes[:2].T), abs=1e-5)
    assert np.array_equal(components(rows)[0], places)


def test_one_point_has_no_components_and_one_dimension_one() -> None:
    places, shares = components(np.tile(unit(1, 5), (30, 1)))
    assert not places.any()
    assert not shares.any()
    places, shares = components(np.array([[1.0], [-1.0], [1.0]], np.float32))
    assert shares.tolist() == pytest.approx([1, 0])
    assert not places[:, 1].any()
    picture(np.ones((4, 3)), ["a"] * 4)
    picture(np.ones((1, 3)), ["a"])
    picture(np.zeros((3, 1)), ["a"] * 3)


def test_lengths_do_not_move_a_point() -> None:
    rows, labels = unit(60, 8), ["a", "b"] * 30
    assert np.array_equal(picture(rows, labels), picture(rows * np.linspace(1, 50, 60)[:, None], labels))


def test_clouds_have_colors_and_places_of_their_own() -> None:
    far = np.concatenate([unit(50, 8) * 0.1 + np.eye(8)[0], unit(50, 8, 1) * 0.1 + np.eye(8)[1]])
    pixels = picture(far, ["猫"] * 50 + ["собака"] * 50)[:, : int(0.86 * WIDTH * DPI)]  # left of the key
    first, second = spots(pixels, FOLDS[0]), spots(pixels, FOLDS[1])
    assert min(len(first), len(second)) > 500
    apart = np.abs(np.median(first[:, 1]) - np.median(second[:, 1]))
    assert apart > 0.3 * pixels.shape[1]
    assert not len(spots(pixels, FOLDS[2]))


def test_of_many_labels_the_most_common_are_named_and_the_others_are_gray() -> None:
    labels = ["common"] * 40 + [f"$名字 {number}" * 9 for number in range(200)]
    pixels = picture(unit(240, 6), labels)
    assert len(spots(pixels, FOLDS[0])) > len(spots(pixels, FOLDS[1])) > 0
    assert not len(spots(pixels, FOLDS[9]))
    faint = 0.5 * np.array(to_rgb(MUTED)) + 0.5
    assert (np.abs(pixels - faint) < 0.02).all(axis=2).sum() > 200


@pytest.mark.parametrize(
    ("embeddings", "labels", "facts"),
    [
        (np.ones((3, 2)), ["a"], "3 embeddings and 1 labels"),
        (np.ones(3), ["a"] * 3, "must be real numbers"),
        (np.array([[1, 2], [np.nan, 1]]), ["a", "b"], "finite"),
    ],
)
def test_what_is_no_set_of_embeddings_is_refused(embeddings: np.ndarray, labels: list, facts: str) -> None:
    with pytest.raises(GoldfoldError, match=facts):
        pca_map(embeddings, labels, "title")
