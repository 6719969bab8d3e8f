"""Pseudo-labels of synthetic motion, each step against a slow implementation."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from goldfold.errors import GoldfoldError
from goldfold.retrieval import pseudo_labels


def film(phases: np.ndarray) -> np.ndarray:
    """Frames uint8 (n, 32, 32) of waves with these phases."""
    y, x = np.mgrid[:32, :32] / 4.0
    return np.stack([127 + 100 * np.sin(x + phase) * np.cos(y) for phase in phases]).astype(np.uint8)


MOVES = np.concatenate([np.arange(20.0), np.full(12, 20.0), 20 + np.arange(20.0), np.full(8, 3.0)])
FRAMES = film(MOVES)
ONE, TIMES = np.zeros(60, int), np.arange(60.0)


def test_stable_frames_that_resemble_the_reference_are_positive():
    given = {"smooth": 3, "motion_percentile": 30, "similarity_percentile": 50}
    found = pseudo_labels.make_pseudo_labels(FRAMES, ONE, TIMES, FRAMES[25], **given)
    still = np.flatnonzero(found.stable)
    assert set(still) <= set(range(20, 33)) | set(range(52, 60))
    assert len(still) >= 14
    assert set(np.flatnonzero(found.labels)) <= set(range(20, 33))
    assert found.labels[22:30].all()
    other = pseudo_labels.make_pseudo_labels(FRAMES, ONE, TIMES, FRAMES[25], **given, side="below")
    assert set(np.flatnonzero(other.labels)) >= set(range(54, 60))


def test_motion_is_the_mean_difference_smoothed():
    motion = pseudo_labels.frame_differences(FRAMES[:9])
    by_hand = [np.abs(FRAMES[k].astype(float) - FRAMES[k - 1]).mean() / 255 for k in range(1, 9)]
    np.testing.assert_allclose(motion, [by_hand[0], *by_hand])
    windows = [motion[max(0, k - 2) : k + 3].mean() for k in range(9)]
    np.testing.assert_allclose(pseudo_labels.moving_average(motion, 5), windows)


def test_the_percentile_is_of_each_recording_and_short_runs_are_dropped():
    rng = np.random.default_rng(0)
    phases = np.concatenate([np.cumsum(rng.uniform(0, 0.2, 40)), np.cumsum(rng.uniform(0, 3, 40))])
    sequences, times = np.repeat([0, 1], 40), np.tile(np.arange(40.0), 2)
    given = {"smooth": 1, "motion_percentile": 20, "min_stable": 1}
    found = pseudo_labels.make_pseudo_labels(film(phases), sequences, times, FRAMES[0], **given)
    assert found.stable[:40].sum() == found.stable[40:].sum() == 8
    longer = pseudo_labels.make_pseudo_labels(film(phases), sequences, times, FRAMES[0], **given | {"min_stable": 2})
    for part in (slice(0, 40), slice(40, 80)):
        runs = "".join("x" if flag else " " for flag in longer.stable[part]).split()
        assert all(len(run) >= 2 for run in runs)
    assert longer.stable.sum() < found.stable.sum()


def test_rows_may_come_in_any_order_and_gaps_are_no_motion():
    order = np.random.default_rng(1).permutation(60)
    given = {"motion_percentile": 40}
    straight = pseudo_labels.make_pseudo_labels(FRAMES, ONE, TIMES, FRAMES[25], **given)
    mixed = pseudo_labels.make_pseudo_labels(FRAMES[order], ONE, TIMES[order], FRAMES[25], **given)
    assert np.array_equal(mixed.labels, straight.labels[order])
    np.testing.assert_allclose(mixed.motion, straight.motion[order])
    kept = np.concatenate([np.arange(20, 32), np.arange(52, 60)])  # both parts stand still, far from each other
    given = {"motion_percentile": 99, "similarity_percentile": 50}
    cut = pseudo_labels.make_pseudo_labels(FRAMES[kept], np.zeros(20), TIMES[kept], FRAMES[25], **given)
    assert cut.motion.max() == 0
    assert cut.labels.tolist() == [1] * 12 + [0] * 8


def test_ssim_equals_scikit_images():
    found = pseudo_labels.ssim(FRAMES[:5], FRAMES[2])
    for k, value in enumerate(found):
        gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        full = structural_similarity(FRAMES[k], FRAMES[2], data_range=255, full=True, **gaussian)[1]
        assert value == pytest.approx(full.mean(), abs=0.02)
    assert found[2] == pytest.approx(1)


def test_equal_labels_for_all_frames_are_refused():
    with pytest.raises(GoldfoldError, match="30 consecutive frames") as error:
        pseudo_labels.make_pseudo_labels(FRAMES, ONE, TIMES, FRAMES[0], min_stable=30)
    assert error.value.code == "no_stable_frames"
    still = np.repeat(FRAMES[:1], 10, axis=0)
    with pytest.raises(GoldfoldError) as error:
        pseudo_labels.make_pseudo_labels(still, ONE[:10], TIMES[:10], FRAMES[0])
    assert error.value.code == "single_pseudo_label"
