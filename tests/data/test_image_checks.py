"""Every image and mask is decoded once before training; broken ones stop the run, are left out or are gray."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from PIL import Image

from goldfold import Project
from goldfold.competition import Fold, Tables
from goldfold.data import image_checks, tables
from goldfold.data.image_checks import Checked
from goldfold.images import reading
from goldfold.io.files import read_json, write_json
from goldfold.trust import audits

SIZE = (30, 40)


class Progress:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def __call__(self, *told) -> None:
        self.told.append(told)


def photograph(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Tables:
    """Six training rows, whose last three show a defect, and three test rows."""
    rows = []
    for number in range(9):
        path, mask = tmp_path / f"图{number}.png", tmp_path / f"mask{number}.png"
        Image.fromarray(photograph(number)).save(path)
        drawn = np.zeros(SIZE, np.uint8)
        drawn[5:9, 5:9] = 255 * (number in (3, 4, 5))
        drawn[0, number] = 255 * (number in (3, 4, 5))
        Image.fromarray(drawn).save(mask)
        rows.append((f"00{number}", path, mask, int(number in (3, 4, 5))))
    table = pd.DataFrame(rows, columns=["id", "path", "mask_path", "defect"])
    test = table[6:][["id", "path"]].reset_index(drop=True)
    return Tables(train=table[:6], test=test, sample_submission=test[["id"]])


def checked(data: Tables, folder: Path, progress=lambda *told: None) -> Checked:
    hashes = [tables.content_hashes(rows, ("defect", "mask_path")) for rows in (data.train, data.test)]
    found = image_checks.decode_all(data, (hashes[0], hashes[1]), folder / "kept" / "x.json", progress)
    assert found is not None
    return found


def applied(data: Tables, folder: Path, on_broken: str) -> tuple[Tables, list[Fold]]:
    folds = [Fold(np.arange(3, 6), np.arange(3)), Fold(np.arange(3), np.arange(3, 6))]
    found = checked(data, folder)
    changed = image_checks.readable(found, data, on_broken, folder / "cache")
    drawn = image_checks.without_broken(found, folds) if on_broken == "skip" else folds
    return changed, list(drawn)


def cut(path: Path, suffix: str = "") -> None:
    """Truncate a file behind its header."""
    if suffix == ".jpg":
        Image.fromarray(photograph(0)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_sound_files_are_decoded_once(data, tmp_path):
    first, second = Progress(), Progress()
    found = checked(data, tmp_path, first)
    assert first.told[-1] == ("decoding images", 9, 9)
    assert len(found.broken("train")) == len(found.broken("test")) == 0
    assert found.train["marked"].tolist() == [0, 0, 0, 17, 17, 17]
    moved = tmp_path / "moved.png"
    data.train["path"][0].rename(moved)
    data.train.loc[0, "path"] = moved
    again = checked(data, tmp_path, second)
    assert second.told == []
    pd.testing.assert_frame_equal(again.train.drop(columns="path"), found.train.drop(columns="path"))
    Image.fromarray(photograph(99)).save(moved)
    checked(data, tmp_path, second)
    assert second.told == [("decoding images", 1, 1)]


def test_files_whose_pixels_are_broken_stop_the_run(data, tmp_path):
    """Their headers are whole; float TIFF has no 8-bit pixels."""
    cut(data.train["path"][1])
    cut(data.train["path"][2], ".jpg")
    Image.fromarray(photograph(0)[..., 0].astype(np.float32)).save(data.test["path"][0], "TIFF")
    assert all(reading.header_problem(path) is None for path in [*data.train["path"], *data.test["path"]])
    with raises_code("unreadable_image", "3 of 9", "'001'", "图1.png", "truncated", "on_broken=skip", "on_broken=grey"):
        applied(data, tmp_path, "refuse")
    Image.fromarray(photograph(1)).save(data.train["path"][1])
    Image.fromarray(photograph(2)).save(data.train["path"][2])
    with raises_code("unreadable_image", "1 of 9", "test id '006'", "samples are floats"):
        applied(data, tmp_path, "refuse")


def test_skip_leaves_training_rows_out_of_folds_and_keeps_all_rows(data, tmp_path):
    cut(data.train["path"][1])
    cut(data.test["path"][2])
    changed, folds = applied(data, tmp_path, "skip")
    assert changed.train["id"].tolist() == data.train["id"].tolist()
    assert [fold.validation.tolist() for fold in folds] == [[0, 2], [3, 4, 5]]
    assert [fold.train.tolist() for fold in folds] == [[3, 4, 5], [0, 2]]
    assert changed.test["id"].tolist() == data.test["id"].tolist()
    assert np.array_equal(reading.read(changed.test["path"][2]), np.full((*SIZE, 3), 128))
    assert changed.test["path"][0] == data.test["path"][0]


def test_grey_reads_gray_images_and_refuses_masks(data, tmp_path):
    cut(data.train["path"][1])
    data.test["path"][2].write_bytes(b"no image")
    changed, folds = applied(data, tmp_path, "grey")
    assert np.array_equal(reading.read(changed.train["path"][1]), np.full((*SIZE, 3), 128))
    assert reading.read(changed.test["path"][2]).shape == (64, 64, 3)
    assert [fold.validation.tolist() for fold in folds] == [[0, 1, 2], [3, 4, 5]]
    Image.fromarray(np.zeros(SIZE[::-1], np.uint8)).save(data.train["mask_path"][4])
    with raises_code("unreadable_mask", "'004'", "40 x 30", "30 x 40", "transposed"):
        applied(data, tmp_path, "grey")
    assert applied(data, tmp_path, "skip")[1][1].validation.tolist() == [3, 5]


def codes(data: Tables, folder: Path, on_broken: str = "grey") -> dict[str, str]:
    found = audits.images_and_masks(checked(data, folder), data.train, ("defect",), on_broken)
    return {each.code: each.message for each in found}


def test_sound_images_have_no_findings(data, tmp_path):
    assert codes(data, tmp_path) == {}


def test_12_bits_in_16_are_reported_with_their_scale(data, tmp_path):
    for number, path in enumerate(data.train["path"]):
        Image.fromarray((photograph(number)[..., 0] * 16.0 + 15).astype(np.uint16)).save(path)
    assert reading.read(data.train["path"][0]).max() == 15
    message = codes(data, tmp_path)["dark_sixteen_bit"]
    assert all(fact in message for fact in ("all 6", "4,095", "12 of 16", "0 to 15 of 255", "by 16", "pixels << 4"))
    Image.fromarray(photograph(0)[..., 0].astype(np.uint16) * 256).save(data.train["path"][0])
    assert "dark_sixteen_bit" not in codes(data, tmp_path)


def test_animations_empty_masks_and_broken_images_are_reported(data, tmp_path):
    frames = [Image.fromarray(photograph(number)) for number in range(3)]
    frames[0].save(data.train["path"][0], "PNG", save_all=True, append_images=frames[1:])
    assert np.array_equal(reading.read(data.train["path"][0]), photograph(0))
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(data.train["mask_path"][4])
    cut(data.test["path"][2])
    found = codes(data, tmp_path)
    assert set(found) == {"animated_images", "empty_masks", "broken_images"}
    assert "1 images" in found["animated_images"]
    assert "'000'" in found["animated_images"]
    assert "1 masks of rows with defect = 1" in found["empty_masks"]
    assert "'004'" in found["empty_masks"]
    assert "'008'" in found["broken_images"]


def test_a_mask_without_the_tag_of_its_image_is_reported_where_both_fit(data, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(photograph(3)).save(data.train["path"][3], exif=exif)
    assert "'003'" in codes(data, tmp_path)["mask_orientation_unclear"]


def test_masks_of_doubtful_numbers_are_reported(data, tmp_path):
    """One that was smoothed, one that is full, and one compressed with loss; a label map and objects are sound."""
    masks = data.train["mask_path"]
    Image.fromarray(np.arange(SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)).save(masks[0])  # 1,199 objects
    labels = np.zeros(SIZE, np.uint8)
    labels[5:20], labels[20:22] = 15, 255
    Image.fromarray(labels).save(masks[1])
    assert codes(data, tmp_path) == {}
    large = cv2.circle(np.zeros((300, 400), np.uint8), (203, 151), 117, 255, thickness=-1)
    smooth = cv2.resize(large, SIZE[::-1], interpolation=cv2.INTER_AREA)
    Image.fromarray(smooth).save(masks[3])
    Image.fromarray(np.full(SIZE, 255, np.uint8)).save(masks[4])
    Image.fromarray((smooth > 127).astype(np.uint8) * 255).save(masks[5], "JPEG")
    found = codes(data, tmp_path)
    assert set(found) == {"many_valued_masks", "single_valued_masks", "lossy_masks"}
    for code, id_ in (("many_valued_masks", "'003'"), ("single_valued_masks", "'004'"), ("lossy_masks", "'005'")):
        assert found[code].startswith("1 masks"), code
        assert id_ in found[code]


def test_masks_that_are_all_empty_are_a_warning(data, tmp_path):
    for path in data.train["mask_path"]:
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(path)
    found = audits.images_and_masks(checked(data, tmp_path), data.train.drop(columns="defect"), (), "grey")
    assert [(each.code, each.level) for each in found] == [("empty_masks", "warning")]


def test_facts_of_an_older_version_are_decoded_again(data, tmp_path):
    checked(data, tmp_path)
    kept = tmp_path / "kept" / "x.json"
    facts = read_json(kept)
    for fact in facts.values():
        fact.pop("values", None)
    write_json(kept, facts)
    assert checked(data, tmp_path).train["values"].notna().all()


def test_a_run_stops_before_its_first_fit_or_goes_on_as_the_config_says(toy):
    project = Project(".")
    data = project.tables("twins")
    for rows in (data.train, data.test):
        cut(Path(rows["path"][1]))
    with raises_code("unreadable_image", "2 of 90", repr(data.train["id"][1])):
        project.train("twins")
    assert not list(Path("runs").glob("*/*/fold*"))
    run = project.train("twins", on_broken="skip")
    found = {each.where: each.message for each in run.findings if each.code == "broken_images"}
    assert set(found) == {"train", "test"}
    assert repr(data.test["id"][1]) in found["test"]
    assert data.train["id"][1] not in set(run.oof["id"])
    assert len(run.oof) == len(data.train) - 1
