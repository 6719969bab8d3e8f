"""Folders of recordings: arrays become pictures of eight bits, and what describes or labels them is checked."""

from __future__ import annotations

from pathlib import Path

import made_recordings
import numpy as np
import pytest

from goldfold.errors import GoldfoldError
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
    for array, told in ((GREY * 1.0, "from 0 to 255"), (GREY - 300.0, "holds float64"), (1j * GREY, "is complex")):
        with pytest.raises(GoldfoldError, match=f"frame 0 of .*{told}.*dynamic_range_db: 60"):
            shown(saved(tmp_path / "e.npy", array), plain)


def test_echoes_become_b_mode_and_pictures_stay(tmp_path: Path) -> None:
    layout = recording_folders.Layout(dynamic_range_db=50)
    echoes = made_recordings.echoes(2, 7)
    expected = ultrasound.b_mode(echoes, float(np.abs(echoes).max()), 50)
    assert np.array_equal(shown(saved(tmp_path / "a.npy", echoes), layout), expected)
    assert np.array_equal(shown(made_recordings.images(tmp_path / "b", COLOUR), layout), COLOUR)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dynamic_range: 60", r"no key of .*'dynamic_range'; did you mean 'dynamic_range_db'"),
        ("dynamic_range_db: -3", r"dynamic_range_db is -3, Input should be greater than 0"),
        ("[1, 2]", r"must hold lines such as"),
        ("a: [", r"is no YAML"),
        ("frames_axis: !!python/object/apply:os.getcwd []", r"is no YAML"),
    ],
)
def test_a_description_that_cannot_be_says_so(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "recording.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(GoldfoldError, match=told) as refused:
        recording_folders.read_layout(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a,10,1", r"line 3, frame '10' of 'a' \(10 frames\)"),
        ("a,-1,1", "line 3"),
        ("a,1.5,1", "line 3"),
        ("a,x,1", "line 3"),
        ("a,2, ", "line 3"),
        ("a,0,1", "line 3"),
        ("aa,0,1", r"no recording that .* 'aa'; did you mean 'a'"),
    ],
)
def test_labels_of_frames_that_are_not_there_are_refused(line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"recording,frame,label\na.mat,0,held\n{line}\n", encoding="utf-8")
    with pytest.raises(GoldfoldError, match=told):
        recording_folders.read_labels(path, {"a": 10, "b": 3})


def test_recordings_need_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(GoldfoldError, match="holds none"):
        recording_folders.find_recordings(tmp_path / "raw")
    made_recordings.images(tmp_path / "a", GREY[:1])
    saved(tmp_path / "b.npy", GREY)
    (tmp_path / "labels.csv").touch()
    assert list(recording_folders.find_recordings(tmp_path)) == ["a", "b"]
    saved(tmp_path / "a.npy", GREY)
    with pytest.raises(GoldfoldError, match="names of their own"):
        recording_folders.find_recordings(tmp_path)
