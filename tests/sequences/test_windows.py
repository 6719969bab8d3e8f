"""Windows: files, archives and cut recordings; packs of joints; the summary; refusals in one sentence."""

from __future__ import annotations

from pathlib import Path

import made_windows
import numpy as np
import pytest
from error_codes import raises_code

from goldfold.sequences import joints, slicing, windows
from goldfold.sequences.window_folders import entries
from goldfold.sequences.windows import Window

DRAW = np.random.default_rng(5)


def window(frames: int = 6, count: int = 4, axes: int = 3, valid: list[bool] | None = None) -> Window:
    mask = np.array(valid or [True] * frames)
    values = DRAW.normal(size=(frames, count, axes)) * mask[:, None, None]
    return Window(values.reshape(frames, -1), mask, values, DRAW.uniform(size=(frames, count)) * mask[:, None])


def test_a_window_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = made_windows.wave(3, 1)
    windows.write(tmp_path / "窗.npz", **made, label="yes")
    read = windows.read(tmp_path / "窗.npz")
    kept = made["mask"][:, None]
    np.testing.assert_allclose(read.features, np.where(kept, made["features"], 0), rtol=1e-6)
    np.testing.assert_allclose(read.joints, np.where(kept[..., None], made["joints"], 0), rtol=1e-6)
    assert read.valid.tolist() == made["mask"].tolist()
    assert (read.confidence[read.valid] == 1).all()
    assert read.label == "yes"
    windows.write(tmp_path / "again.npz", **made, label="yes")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "窗.npz").read_bytes()


def test_invalid_frames_may_hold_anything(tmp_path: Path) -> None:
    features = np.array([[1.0, 2.0], [np.nan, np.inf], [3.0, 4.0]])
    windows.write(tmp_path / "w.npz", features=features, mask=np.array([1, 0, 1]))
    assert windows.read(tmp_path / "w.npz").features.tolist() == [[1, 2], [0, 0], [3, 4]]


@pytest.mark.parametrize(
    ("arrays", "code", "facts"),
    [
        ({"feature": np.ones((3, 2))}, "window_array_missing", ["did you mean 'feature'"]),
        ({"features": np.ones((3, 2)), "mask": np.ones(4)}, "window_lengths_differ", ["4 frames", "have 3"]),
        ({"features": np.ones((3, 2)), "joints": np.ones((4, 2, 2))}, "window_lengths_differ", ["joints", "4 frames"]),
        ({"features": np.ones((3, 2)), "joints": np.ones((3, 2, 4))}, "window_shape_invalid", [r"3, 2, 4"]),
        ({"features": np.ones(3)}, "window_shape_invalid", ["(3,)"]),
        ({"features": np.ones((0, 2))}, "window_shape_invalid", ["(0, 2)"]),
        ({"features": np.full((3, 2), np.nan)}, "window_not_finite", ["6 values"]),
        ({"features": np.array([["a"]])}, "window_not_numeric", ["<U1"]),
    ],
)
def test_faulty_windows_are_refused(arrays: dict, code: str, facts: list, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **arrays)
    with raises_code(code, *facts):
        windows.read(tmp_path / "w.npz")


def test_pickles_and_damaged_files_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", features=np.array([[{}]], object))
    with raises_code("window_unreadable", "w.npz", "without objects"):
        windows.read(tmp_path / "w.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4 half")
    with raises_code("window_unreadable", "cut.npz"):
        windows.read(tmp_path / "cut.npz")


def test_packs_are_coordinates_velocities_and_distances() -> None:
    one = window(valid=[True, True, False, True, True, True])
    light, full, pairwise = (joints.pack(one, kind) for kind in ("light", "full", "pairwise"))
    assert (light.shape, full.shape, pairwise.shape) == ((6, 16), (6, 28), (6, 34))
    np.testing.assert_array_equal(light, np.hstack([one.features, one.confidence]))
    velocity = full[:, 16:]
    np.testing.assert_allclose(velocity[1], one.features[1] - one.features[0])
    assert not velocity[[0, 2, 3]].any(), "a frame without a valid frame before it has no velocity"
    apart = [np.linalg.norm(one.joints[0, a] - one.joints[0, b]) for a in range(4) for b in range(a + 1, 4)]
    np.testing.assert_allclose(pairwise[0, 28:], apart)
    with raises_code("joints_missing", "pack=light"):
        joints.pack(Window(one.features, one.valid), "light")


def test_the_summary_counts_frames_with_a_hand_at_the_mouth() -> None:
    mouth = np.zeros((5, 1, 2))
    far = np.array([[10, 0], [10, 0], [5, 0], [10, 0], [0, 0]], float)[:, None]
    one = Window(np.zeros((5, 1)), np.array([1, 1, 1, 1, 0], bool), np.hstack([mouth, far, far + 90]), np.ones((5, 3)))
    one.confidence[:, 0] = [0.5, 0.5, 1, 1, 0]
    assert joints.summary(one, "head", ("left", -1), ("head", "left", "right")).tolist() == [0.25, 0.75]
    assert joints.summary(one, 0, (-2, -1), None).tolist() == [0.25, 0.75]
    touching = Window(one.features, one.valid, np.zeros((5, 3, 2)), one.confidence)
    assert joints.summary(touching, 0, (1, 2), None)[0] == 1, "the threshold is 10 where the median is 0"
    nobody = Window(one.features, np.zeros(5, bool), one.joints, one.confidence)
    assert joints.summary(nobody, 0, (1, 2), None).tolist() == [0, 0]


def test_joints_are_found_by_name_or_number() -> None:
    names = ("head", "left hand", "right hand")
    assert [joints.position(joint, 3, names) for joint in ("left hand", -1, 0)] == [1, 2, 0]
    with raises_code("unknown_joint", "did you mean 'left hand'"):
        joints.position("left hnd", 3, names)
    with raises_code("unknown_joint", "no joint 3, only 0 to 2"):
        joints.position(3, 3, names)
    with raises_code("joints_unnamed", "'head'"):
        joints.position("head", 3, None)


def test_recordings_are_cut_into_whole_windows() -> None:
    assert slicing.starts(60, 20, 10).tolist() == [0, 10, 20, 30, 40]
    assert slicing.starts(59, 20, 10).tolist() == [0, 10, 20, 30]
    assert slicing.starts(5, 20, 10).tolist() == [0]
    with raises_code("windowing_invalid", "0"):
        slicing.starts(60, 20, 0)


def test_files_are_windows_of_their_own(tmp_path: Path) -> None:
    found = list(entries(made_windows.files(tmp_path / "raw", 4)))
    assert [entry.id for entry in found] == [entry.group for entry in found]
    assert [entry.label for entry in found] == [0, 1, 0, 1]
    assert found[1].window.features.shape == (21, 3)


def test_an_archive_has_an_index_of_keys_or_offsets(tmp_path: Path) -> None:
    raw = made_windows.archive(tmp_path / "raw", 8)
    keyed = list(entries(raw))
    assert [entry.group for entry in keyed] == ["person 0"] * 4 + ["person 1"] * 4
    assert [entry.label for entry in keyed[:2]] == ["0", "1"]
    made = [made_windows.wave(number, number % 2) for number in range(8)]
    np.savez(raw / "all.npz", **{name: np.stack([wave[name] for wave in made]) for name in made[0]}, label=range(8))
    lines = ["id,file,offset", *(f"b{number},all.npz,{number}" for number in range(8))]
    (raw / "index.csv").write_text("\n".join(lines), encoding="utf-8")
    stacked = list(entries(raw))
    assert [entry.label for entry in stacked] == list(range(8))
    for one, other in zip(keyed, stacked, strict=True):
        np.testing.assert_allclose(one.window.features, other.window.features)


def test_windows_of_a_recording_share_its_group_and_have_the_label_of_most_frames(tmp_path: Path) -> None:
    found = list(entries(made_windows.recordings(tmp_path / "raw", 2)))
    assert [entry.group for entry in found] == ["r0"] * 5 + ["r1"] * 5
    assert [entry.start for entry in found[:5]] == [0, 10, 20, 30, 40]
    assert [entry.label for entry in found[:5]] == [0, 0, 0, 1, 1]
    assert {len(entry.window.features) for entry in found} == {20}
    np.testing.assert_array_equal(found[0].arrays["features"][10:], found[1].arrays["features"][:10])


@pytest.mark.parametrize(
    ("index", "code", "facts"),
    [
        ("id,file,key,group\na0,all.npz,w0,\n", "group_missing", ["line 2 has no group"]),
        ("id,file,key\na0,all.npz,w00\n", "unknown_array", ["did you mean 'w0'"]),
        ("id,file,key\na0,all.npz,w0\na0,all.npz,w1\n", "index_invalid", ["line 3 repeats an id"]),
        ("id,file,offset\na0,all.npz,half\n", "index_invalid", ["line 2", "no whole number"]),
        ("id,fil,key\na0,all.npz,w0\n", "index_invalid", ["did you mean 'fil'"]),
        ("id,file,key\na0,../all.npz,w0\n", "index_invalid", ["outside its folder"]),
        ("id,file,key\na0,all.npz,w0\n", "label_missing", ["'a0' has no single label"]),
    ],
)
def test_a_faulty_index_is_refused(index: str, code: str, facts: list, tmp_path: Path) -> None:
    raw = made_windows.archive(tmp_path / "raw", 2)
    (raw / "index.csv").write_text(index, encoding="utf-8")
    with raises_code(code, *facts):
        list(entries(raw))


def test_empty_folders_and_wrong_settings_are_refused(tmp_path: Path) -> None:
    with raises_code("no_windows", tmp_path):
        list(entries(tmp_path))
    raw = made_windows.recordings(tmp_path / "raw", 1)
    (raw / "windows.yaml").write_text("length: 20\nstrid: 10\n", encoding="utf-8")
    with raises_code("window_settings_invalid", "strid"):
        list(entries(raw))
