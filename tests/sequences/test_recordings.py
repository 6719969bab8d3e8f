"""Each kind of file gives back the frames that were written to it; what is no recording says so in one sentence."""

from __future__ import annotations

from pathlib import Path

import cv2
import made_recordings
import numpy as np
import pytest
from error_codes import raises_code
from scipy import io

from competitions.recordings import COMPETITION, data
from goldfold.data import tables
from goldfold.images import reading as images
from goldfold.sequences import recordings, ultrasound
from goldfold.submission import writing as submissions

GREY = np.random.default_rng(5).integers(0, 256, (7, 16, 12), np.uint8)
COLOUR = np.random.default_rng(6).integers(0, 256, (7, 16, 12, 3), np.uint8)
SMOOTH = np.stack([np.full((32, 48, 3), (20 * n, 250 - 20 * n, 90), np.uint8) for n in range(7)])


def mat(path: Path, **arrays: np.ndarray) -> Path:
    io.savemat(path, arrays)
    return path


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


WRITTEN = {
    "npy": lambda folder, frames: npy(folder / "a.npy", frames),
    "npz": lambda folder, frames: npz(folder / "a.npz", frames=frames, rate=np.array(30.0)),
    "mat": lambda folder, frames: mat(folder / "a.mat", frames=frames, rate=np.array(30.0)),
    "mat 7.3": lambda folder, frames: made_recordings.mat_73(folder / "a.mat", "frames", frames),
}


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("frames", [GREY, COLOUR, made_recordings.echoes(1, 7)], ids=["gray", "colour", "complex"])
def test_arrays_come_back_frame_by_frame(kind: str, frames: np.ndarray, tmp_path: Path) -> None:
    recording = recordings.read(WRITTEN[kind](tmp_path, frames))
    for _ in range(2):  # it can be walked through again
        assert np.array_equal(np.stack(list(recording)), frames)


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("axis", [1, 2])
def test_frames_may_lie_along_any_axis_beside_axes_of_one(kind: str, axis: int, tmp_path: Path) -> None:
    turned = np.moveaxis(GREY, 0, axis)
    recording = recordings.read(WRITTEN[kind](tmp_path, turned), "frames" if kind != "npy" else None, axis)
    assert np.array_equal(np.stack(list(recording)), GREY)
    (tmp_path / "b").mkdir()
    one = recordings.read(WRITTEN[kind](tmp_path / "b", GREY[:, None]))
    assert np.array_equal(np.stack(list(one)), GREY)


def test_a_folder_and_a_video_come_back_in_rgb(tmp_path: Path) -> None:
    folder = made_recordings.images(tmp_path / "图像", COLOUR)
    assert np.array_equal(np.stack(list(recordings.read(folder))), COLOUR)
    for suffix in recordings.VIDEOS:
        seen = np.stack(list(recordings.read(made_recordings.video(tmp_path / f"a{suffix}", SMOOTH))))
        assert seen.shape == SMOOTH.shape
        assert np.abs(seen.astype(int) - SMOOTH).max() < 12  # coding loses some


@pytest.mark.parametrize("kind", ["npy", "mat 7.3"])
def test_a_frame_is_read_when_it_is_asked_for(kind: str, tmp_path: Path) -> None:
    late = np.ones((9, 4, 4))
    late[8] = np.nan
    frames = iter(recordings.read(WRITTEN[kind](tmp_path, late)))
    assert next(frames).sum() == 16
    with raises_code("frame_not_finite", "frame 8 of .* 16 values"):
        list(frames)


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"run": print}] * 3, object), allow_pickle=True)
    with raises_code("recording_unreadable"):
        recordings.read(tmp_path / "a.npy")
    npz(tmp_path / "a.npz", frames=np.array([{"run": print}] * 3, object))
    with raises_code("recording_unreadable"):
        recordings.read(tmp_path / "a.npz")


def damaged(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def mixed(folder: Path) -> Path:
    made_recordings.images(folder, COLOUR[:2])
    cv2.imwrite(str(folder / "9.png"), COLOUR[0][:8])
    return folder


READ = recordings.read
FAULTS = {
    "nowhere": (lambda at: READ(at / "a.mat"), "recording_missing", "a.mat"),
    "ending": (lambda at: READ(at / "recording.yaml"), "unknown_file_type", r"'recording.yaml' '.yaml'.*known: "),
    "several": (
        lambda at: READ(mat(at / "b.mat", a=GREY, b=GREY)),
        "frames_array_ambiguous",
        "a 7 x 16 x 12, b 7 x 16 x 12",
    ),
    "none": (lambda at: READ(npz(at / "b.npz", rate=np.ones(3))), "frames_array_ambiguous", "has rate 3"),
    "name": (
        lambda at: READ(mat(at / "b.mat", frames=GREY), "frame"),
        "unknown_array",
        "'frame'; did you mean 'frames'",
    ),
    "axis": (
        lambda at: READ(npy(at / "b.npy", GREY), frames_axis=3),
        "frames_axis_invalid",
        "3 axes, but frames_axis is 3: use 0 to 2",
    ),
    "flat": (
        lambda at: list(READ(npy(at / "b.npy", GREY[0]))),
        "frame_shape_invalid",
        r"frame 0 of .* \(12,\)",
    ),
    "channels": (
        lambda at: list(READ(npy(at / "b.npy", np.ones((3, 5, 5, 2))))),
        "frame_shape_invalid",
        r"shape \(5, 5, 2\): set frames_axis",
    ),
    "text": (lambda at: list(READ(npy(at / "b.npy", np.full((2, 4, 4), "x")))), "frame_not_numeric", "<U1"),
    "empty": (lambda at: list(READ(npy(at / "b.npy", GREY[:0]))), "recording_empty", "no frames"),
    "no images": (lambda at: list(READ(made_recordings.images(at / "c", GREY[:0]))), "recording_empty", "no frames"),
    "sizes": (
        lambda at: list(READ(mixed(at / "c"))),
        "frame_shapes_differ",
        r"frame 2 .* \(8, 12, 3\), .* \(16, ",
    ),
    "cut npy": (lambda at: READ(damaged(npy(at / "b.npy", GREY))), "recording_unreadable", "b."),
    "cut mat": (lambda at: READ(damaged(mat(at / "b.mat", a=GREY))), "recording_unreadable", "b."),
    "cut 7.3": (
        lambda at: READ(damaged(made_recordings.mat_73(at / "b.mat", "a", GREY))),
        "recording_unreadable",
        "b.",
    ),
    "cut video": (
        lambda at: list(READ(damaged(made_recordings.video(at / "b.mp4", SMOOTH)))),
        "recording_unreadable",
        "0 of 0 frames",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_recordings_raise(fault: str, tmp_path: Path) -> None:
    (tmp_path / "recording.yaml").touch()
    call, code, fact = FAULTS[fault]
    with raises_code(code, fact):
        call(tmp_path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("录音")
    for part in ("public", "private"):
        (folder / part).mkdir()
    COMPETITION.prepare(made_recordings.ultrasound(folder / "raw"), folder / "public", folder / "private")
    return folder


def test_every_frame_is_there_once_but_those_the_guard_takes(prepared: Path) -> None:
    loaded = COMPETITION.load(prepared / "public")
    tables.check(COMPETITION, loaded)
    both = [set(zip(rows["recording"], rows["frame"], strict=True)) for rows in (loaded.train, loaded.test)]
    assert not both[0] & both[1]
    gone = {(name, number) for name in ("second", "呼吸 1") for number in range(60)} - both[0] - both[1]
    for name, number in gone:
        assert any((name, number + step) in both[1] for step in (-2, -1, 1, 2))
    for name, number in both[0]:
        assert not any((name, number + step) in both[1] for step in (-2, -1, 1, 2))
    unlabeled = loaded.train[loaded.train["label"] == data.UNLABELED]
    assert set(unlabeled["recording"]) == {"second"}
    assert set(unlabeled["frame"]) <= set(range(6))
    row = loaded.train.iloc[0]
    echoes = made_recordings.echoes(1 if row["recording"] == "呼吸 1" else 2)
    expected = ultrasound.b_mode(echoes[row["frame"]], np.abs(echoes).max(), 60)
    assert np.array_equal(images.read(row["path"], gray=True)[..., 0], expected)


def test_frames_without_a_label_neither_ask_nor_answer(prepared: Path) -> None:
    train = COMPETITION.load(prepared / "public").train.sample(frac=1, random_state=0)
    found = data.pairs(train)
    asked = train.iloc[found.queries]
    assert set(asked["label"]) == {"0", "1"}
    assert len(asked) == (train["label"] != data.UNLABELED).sum()
    whole = slice(0, len(asked))
    label, frame, recording = (asked[name].to_numpy() for name in ("label", "frame", "recording"))
    near = (recording[:, None] == recording) & (np.abs(frame[:, None] - frame) <= 2)
    assert np.array_equal(found.left_out(whole), near)
    assert np.array_equal(found.relevant(whole), (label[:, None] == label) & ~near)


def test_what_was_submitted_is_graded_as_it_is_scored(prepared: Path) -> None:
    loaded = COMPETITION.load(prepared / "public")
    solution = submissions.read(prepared / "private" / "solution.csv", loaded.sample_submission)
    embeddings = np.random.default_rng(0).normal(size=(len(loaded.test), 8))
    frame = COMPETITION.submission.write(loaded.test, embeddings)
    submissions.check(frame, loaded.sample_submission, loaded.test, COMPETITION.submission)
    graded = COMPETITION.grade(frame, solution)
    assert graded == pytest.approx(COMPETITION.metric.score(solution, embeddings), abs=1e-9)
