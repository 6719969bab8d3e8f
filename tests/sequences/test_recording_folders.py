"""Folders of recordings: arrays become pictures of eight bits, and what describes or labels them is checked."""

from __future__ import annotations

from pathlib import Path

import made_recordings
import numpy as np
import pytest
from error_codes import raises_code

from goldfold.sequences import recording_folders, recordings, ultrasound

GREY = np.random.default_rng(5).integers(0, 256, (7, 16, 12), np.uint8)
COLOUR = np.random.default_rng(6).integers(0, 256, (7, 16, 12, 3), np.uint8)


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def shown(path: Path, layout: recording_folders.Layout) -> np.ndarray:
    return np.stack(list(recording_folders.eight_bit_frames(recordings.read(path), layout)))


def test_arrays_become_pictures_of_eight_bits(tmp_path: Path) -> None:
    plain = recording_folders.Layout()
    assert np.array_equal(shown(saved(tmp_path / "a.npy", GREY), plain), GREY)
    assert np.array_equal(shown(saved(tmp_path / "b.npy", GREY.astype(np.uint16) << 8), plain), GREY)
    assert np.array_equal(shown(saved(tmp_path / "c.npy", GREY / 255), plain), GREY)
    assert np.array_equal(shown(saved(tmp_path / "d.npy", GREY > 99), plain), 255 * (GREY > 99))
    for array, code, fact in (
        (GREY * 1.0, "frame_range_invalid", "from 0 to 255"),
        (GREY - 300.0, "frame_range_invalid", "float64"),
        (1j * GREY, "frames_complex", "complex"),
    ):
        with raises_code(code, f"frame 0 of .*{fact}.*dynamic_range_db: 60"):
            shown(saved(tmp_path / "e.npy", array), plain)


def test_echoes_become_b_mode_and_pictures_stay(tmp_path: Path) -> None:
    layout = recording_folders.Layout(dynamic_range_db=50)
    echoes = made_recordings.echoes(2, 7)
    expected = ultrasound.b_mode(echoes, float(np.abs(echoes).max()), 50)
    assert np.array_equal(shown(saved(tmp_path / "a.npy", echoes), layout), expected)
    assert np.array_equal(shown(made_recordings.images(tmp_path / "b", COLOUR), layout), COLOUR)


@pytest.mark.parametrize(
    ("text", "code", "fact"),
    [
        ("dynamic_range: 60", "unknown_key", r"'dynamic_range'; did you mean 'dynamic_range_db'"),
        ("dynamic_range_db: -3", "layout_invalid", r"dynamic_range_db is -3.* greater than 0"),
        ("[1, 2]", "layout_invalid", r"\[1, 2\]"),
        ("a: [", "layout_unreadable", "recording.yaml"),
        ("frames_axis: !!python/object/apply:os.getcwd []", "layout_unreadable", "recording.yaml"),
    ],
)
def test_a_faulty_layout_raises(text: str, code: str, fact: str, tmp_path: Path) -> None:
    (tmp_path / "recording.yaml").write_text(text, encoding="utf-8")
    with raises_code(code, fact):
        recording_folders.read_layout(tmp_path)


@pytest.mark.parametrize(
    ("line", "code", "fact"),
    [
        ("a,10,1", "frame_label_invalid", r"line 3: frame '10' of 'a' \(10 frames\)"),
        ("a,-1,1", "frame_label_invalid", "line 3"),
        ("a,1.5,1", "frame_label_invalid", "line 3"),
        ("a,x,1", "frame_label_invalid", "line 3"),
        ("a,2, ", "frame_label_invalid", "line 3"),
        ("a,0,1", "frame_label_invalid", "line 3"),
        ("aa,0,1", "unknown_recording", "'aa'; did you mean 'a'"),
    ],
)
def test_faulty_frame_labels_raise(line: str, code: str, fact: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"recording,frame,label\na.mat,0,held\n{line}\n", encoding="utf-8")
    with raises_code(code, fact):
        recording_folders.read_labels(path, {"a": 10, "b": 3})


def test_recordings_need_names_of_their_own(tmp_path: Path) -> None:
    with raises_code("no_recordings", "raw"):
        recording_folders.find_recordings(tmp_path / "raw")
    made_recordings.images(tmp_path / "a", GREY[:1])
    saved(tmp_path / "b.npy", GREY)
    (tmp_path / "labels.csv").touch()
    assert list(recording_folders.find_recordings(tmp_path)) == ["a", "b"]
    saved(tmp_path / "a.npy", GREY)
    with raises_code("recording_names_not_unique", "'a'"):
        recording_folders.find_recordings(tmp_path)
