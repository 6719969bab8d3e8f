"""Thresholds with the highest F1 against a search over all cuts, and probabilities shifted to them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from goldfold.metrics.decisions.thresholds import at_one_half, best_f1


@pytest.mark.parametrize("digits", [1, 2, 16])
def test_no_cut_has_a_higher_f1(digits: int) -> None:
    draw = np.random.default_rng(digits)
    truth = (draw.random((80, 6)) < 0.3).astype(int)
    guess = np.clip(0.3 * truth + 0.7 * draw.random(truth.shape) ** 2, 0, 1).round(digits)
    found = best_f1(truth, guess)
    for known, scores, threshold in zip(truth.T, guess.T, found, strict=True):
        best = max(f1_score(known, scores > cut) for cut in np.unique(np.append(scores, 0)))
        assert f1_score(known, scores > threshold) == pytest.approx(best)
        assert 0 <= threshold < 1


def test_a_label_that_teaches_nothing_keeps_one_half() -> None:
    truth, guess = np.array([[0, 1], [0, 0]]), np.array([[0.2, 0.0], [0.4, 0.0]])
    assert best_f1(truth, guess).tolist() == [0.5, 0.5]


def test_neighboring_floats_stay_apart() -> None:
    low, high = 0.3, np.nextafter(0.3, 1)
    threshold = best_f1(np.array([[1], [0]]), np.array([[high], [low]]))
    assert (np.array([high, low]) > threshold).tolist() == [True, False]
    assert (at_one_half(np.array([[high], [low]]), threshold) > 0.5).ravel().tolist() == [True, False]


@pytest.mark.parametrize("threshold", [0.0, 1e-9, 0.1, 0.5, 0.97])
def test_shifted_probabilities_are_above_one_half_where_they_pass_and_keep_their_order(threshold: float) -> None:
    guess = np.sort(np.append(np.random.default_rng(0).random(200), [0, threshold, np.nextafter(threshold, 1), 1]))
    shifted = at_one_half(guess[:, None], np.array([threshold])).ravel()
    assert ((shifted > 0.5) == (guess > threshold)).all()
    assert (np.diff(shifted) >= 0).all()
    assert (shifted.min(), shifted.max()) == (0, 1)
