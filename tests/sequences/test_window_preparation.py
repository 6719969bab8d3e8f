"""Preparation of windows: smoothing that knows the mask, z-scores, statistics as NumPy has them, the scaler."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from error_codes import raises_code

from goldfold.sequences import preparation, scaler
from goldfold.sequences.preparation import moving_average, statistics, z_scored

DRAW = np.random.default_rng(8)
FEATURES = DRAW.normal(3, 2, (31, 4))
VALID = DRAW.random(31) > 0.3
NOBODY = np.zeros(31, bool)


@pytest.mark.parametrize("frames", [1, 2, 7, 30, 31])
def test_statistics_are_those_of_numpy_over_valid_frames(frames: int) -> None:
    valid = VALID & (np.arange(31) < frames) if frames > 2 else np.arange(31) < frames
    known = FEATURES[valid]
    parts = known.mean(0), known.std(0, ddof=0), np.median(known, axis=0), known.max(0), known.min(0)
    np.testing.assert_allclose(statistics(FEATURES, valid), np.concatenate(parts), atol=1e-12)
    assert not statistics(FEATURES, NOBODY).any()


def test_the_median_of_two_frames_is_their_mean() -> None:
    assert statistics(np.array([[1.0], [4.0]]), np.ones(2, bool))[2] == 2.5


def test_smoothing_is_the_mean_of_valid_neighbors() -> None:
    smooth = moving_average(FEATURES, VALID, 5)
    values = np.vstack([FEATURES[:1]] * 2 + [FEATURES] + [FEATURES[-1:]] * 2)
    known = np.r_[VALID[[0, 0]], VALID, VALID[[-1, -1]]]
    for frame in np.flatnonzero(VALID):
        near = slice(frame, frame + 5)
        np.testing.assert_allclose(smooth[frame], values[near][known[near]].mean(0))
    assert smooth.shape == FEATURES.shape, "an even padding would add a frame"


def test_invalid_frames_bleed_into_no_other() -> None:
    poisoned = np.where(VALID[:, None], FEATURES, 1e9)
    np.testing.assert_array_equal(moving_average(poisoned, VALID, 7), moving_average(FEATURES, VALID, 7))
    np.testing.assert_array_equal(z_scored(poisoned, VALID)[VALID], z_scored(FEATURES, VALID)[VALID])
    np.testing.assert_array_equal(statistics(poisoned, VALID), statistics(FEATURES, VALID))
    assert np.isfinite(moving_average(FEATURES, NOBODY, 3)).all()


def test_smoothing_by_one_frame_changes_nothing_and_wrong_widths_are_refused() -> None:
    np.testing.assert_array_equal(moving_average(FEATURES, VALID, 1)[VALID], FEATURES[VALID])
    with raises_code("smoothing_even", "got 4", "use 5"):
        moving_average(FEATURES, VALID, 4)
    with raises_code("smoothing_too_wide", "33 frames", "one of 31"):
        moving_average(FEATURES, VALID, 33)


def test_a_window_is_standardized_by_itself_without_any_scaler() -> None:
    features = FEATURES.copy()
    features[:, 0] = 7.0
    done = z_scored(features, VALID)[VALID]
    np.testing.assert_allclose(done.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(done.std(0), [0, 1, 1, 1], atol=1e-12)
    assert not z_scored(FEATURES, NOBODY).any()


def moments(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array(list(map(len, parts))), np.stack([p.mean(0) for p in parts]), np.stack([p.std(0) for p in parts])


def test_a_scaler_is_that_of_all_frames_together() -> None:
    parts = [FEATURES[:4], FEATURES[4:20] + 2, FEATURES[20:]]
    parts = [np.column_stack([part, np.full(len(part), 3.0)]) for part in parts]
    fitted = scaler.fit(*moments(parts), ("b", "a", "b"))
    frames = np.concatenate(parts)
    np.testing.assert_allclose(fitted.mean, frames.mean(0))
    np.testing.assert_allclose(fitted.sd, [*frames[:, :4].std(0), 1.0])
    assert (fitted.frames, fitted.contents) == (31, ("a", "b"))


def test_a_scaler_without_frames_is_refused() -> None:
    with raises_code("no_valid_frame", "none of 2 training windows"):
        scaler.fit(np.zeros(2), np.zeros((2, 3)), np.zeros((2, 3)), ())


def test_a_scaler_is_kept_as_json(tmp_path: Path) -> None:
    fitted = scaler.fit(*moments([FEATURES]), ("a",))
    path = tmp_path / "scaler.json"
    path.write_text(json.dumps(fitted.to_json()), encoding="utf-8")
    assert scaler.load(path) == fitted
    with raises_code("scaler_width_differs", "4 features", "have 6"):
        scaler.check_width(fitted, 6, str(path))
    path.write_text(json.dumps({"mean": [1], "sd": [0], "contents": []}), encoding="utf-8")
    with raises_code("scaler_invalid", path):
        scaler.load(path)
    with raises_code("file_missing", "gone.json"):
        scaler.load(tmp_path / "gone.json")


def test_the_names_of_the_statistics_have_their_order() -> None:
    assert preparation.STATISTICS == ("mean", "sd", "median", "max", "min")
