"""Calibration: bins against scikit-learn, and which predictions are taken as probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from goldfold.trust.calibration import are_probabilities, expected_error, reliability


def drawn(classes: int, rows: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Class indices and probabilities (rows, classes) that are too confident."""
    generator = np.random.default_rng(classes)
    known = generator.dirichlet(np.ones(classes), rows)
    truth = np.array([generator.choice(classes, p=each) for each in known])
    sharp = known**2
    return truth, sharp / sharp.sum(axis=1, keepdims=True)


def test_bins_of_two_classes_are_scikit_learns() -> None:
    truth, probabilities = drawn(2)
    found = reliability(truth, probabilities[:, 1])
    share, mean = calibration_curve(truth, probabilities[:, 1], n_bins=10)
    assert found["share"].to_numpy() == pytest.approx(share)
    assert found["probability"].to_numpy() == pytest.approx(mean)
    assert found["rows"].sum() == len(truth)


def test_of_more_classes_the_largest_probability_is_compared_with_being_right() -> None:
    truth, probabilities = drawn(4)
    right, told = probabilities.argmax(axis=1) == truth, probabilities.max(axis=1)
    share, mean = calibration_curve(right, told, n_bins=10)
    found = reliability(truth, probabilities)
    assert found["share"].to_numpy() == pytest.approx(share)
    assert found["probability"].to_numpy() == pytest.approx(mean)
    edges = np.searchsorted(np.linspace(0, 1, 11)[1:-1], told)
    gaps = [abs(told[edges == bin].mean() - right[edges == bin].mean()) * (edges == bin).mean() for bin in set(edges)]
    assert expected_error(found) == pytest.approx(sum(gaps))
    assert expected_error(found) > 0.05


def test_ends_of_the_scale_have_a_bin() -> None:
    found = reliability(np.array([0, 1, 1]), np.array([0.0, 1.0, 0.1], np.float32))
    assert found[["low", "rows", "share"]].to_numpy().tolist() == [[0.0, 1, 0.0], [0.1, 1, 1.0], [0.9, 1, 1.0]]


@pytest.mark.parametrize(
    ("predictions", "classes", "expected"),
    [
        (np.array([0.0, 1.0, 0.3]), 2, True),
        (np.array([0.0, 1.0, 0.3]), 3, False),
        (np.array([0.0, 1.3]), 2, False),
        (np.array([0.0, np.nan]), 2, False),
        (np.array([0, 1]), 2, False),
        (np.array([[0.2, 0.8], [0.5, 0.5]]), 2, True),
        (np.array([[0.2, 0.7], [0.5, 0.5]]), 2, False),
        (np.ones((2, 3, 3)), 2, False),
    ],
)
def test_what_is_a_probability(predictions: np.ndarray, classes: int, expected: bool) -> None:
    assert are_probabilities(predictions, classes) is expected
