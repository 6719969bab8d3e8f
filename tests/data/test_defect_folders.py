"""Two layouts of image folders become the same tables whatever the names' script, and what is amiss is said."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import made_defects
import numpy as np
import pandas as pd
import pytest
from made_defects import save
from PIL import Image

from goldfold.data import self_hosting
from goldfold.data.layouts import defect_folders
from goldfold.errors import GoldfoldError
from goldfold.images import masks
from goldfold.images import reading as images

GREY = np.full((8, 10), 90, np.uint8)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Three images to learn from and two to score, all flat, without a sample submission; 1 and 2 are in both parts."""
    for part, numbers in (("train", (1, 2, 3)), ("test", (1, 2))):
        for number in numbers:
            save(tmp_path / part / f"{number:04d}.png", GREY + number)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def classes(raw: Path, part: str = "train") -> list[str]:
    return getattr(defect_folders.train_test_folders(raw), part)["class"].tolist()


def refused(raw: Path, *words: str, code: str | None = None, layout=defect_folders.train_test_folders) -> None:
    """Expect an error with all `words` in its message; code: None for errors of `goldfold.images`."""
    with pytest.raises(GoldfoldError) as caught:
        layout(raw)
    assert code in (None, caught.value.code)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_folders_are_classes_and_the_sample_gives_ids_and_order(tmp_path):
    tables = defect_folders.train_test_folders(made_defects.homework(tmp_path, train=2, test=2))
    assert tables.train["class"].tolist() == [of for of in made_defects.CLASSES for _ in range(2)]
    assert tables.train["id"].tolist() == [f"{of}/00{number}" for of in made_defects.CLASSES for number in range(2)]
    assert tables.test["id"].tolist() == ["0005", "0004", "0003", "0002", "0001", "0000"]
    assert [path.stem for path in tables.test["path"]] == tables.test["id"].tolist()
    assert set(tables.test["class"]) == {defect_folders.UNKNOWN}
    assert tables.sample_submission["id"].tolist() == tables.test["id"].tolist()


def test_without_folders_mapping_and_sample(flat):
    tables = defect_folders.train_test_folders(flat)
    assert tables.train["id"].tolist() == ["0001", "0002", "0003"]
    assert set(tables.train["class"]) == {"?"}
    assert tables.sample_submission.to_dict("list") == {"id": ["0001", "0002"], "prediction": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("first", "second"),
    [("0002", "0001"), ("0002.png", "0001.png"), ("2", "1"), ("test/0002.png", "test/0001.png")],
)
def test_ids_are_written_as_the_sample_writes_them(flat, first, second):
    write(flat / "sample_submission.csv", f"id,prediction\n{first},0\n{second},0\n")
    tables = defect_folders.train_test_folders(flat)
    assert tables.test["id"].tolist() == [first, second]
    assert [path.name for path in tables.test["path"]] == ["0002.png", "0001.png"]


def test_names_that_repeat_keep_their_folders_then_their_endings(flat):
    save(flat / "train" / "a" / "0001.png", GREY)
    assert defect_folders.train_test_folders(flat).train["id"].tolist() == ["0001", "0002", "0003", "a/0001"]
    save(flat / "train" / "0001.JPG", GREY)
    found = defect_folders.train_test_folders(flat).train["id"].tolist()
    assert found == ["0001.JPG", "0001.png", "0002.png", "0003.png", "a/0001.png"]


@pytest.mark.parametrize(
    "mapping",
    [
        ("classes.csv", "\ufefffile,class\n0003.png,地毯\n0001.png,NA\n0002.png,地毯\n"),
        ("classes.csv", "file,class\ntrain/0001,NA\ntrain/0002,地毯\ntrain/0003,地毯\n"),
        ("classes.csv", "file,class\ntrain\\0001.png,NA\n.\\train\\0002.png,地毯\ntrain/0003.png,地毯\n"),
        ("classes.json", json.dumps({"0001": "NA", "0002": "地毯", "0003": "地毯"})),
        ("classes.json", json.dumps({"NA": ["0001.png"], "地毯": ["0003.png", "0002.png"]})),
    ],
)
def test_a_mapping_gives_classes(flat, mapping):
    write(flat / mapping[0], mapping[1])
    assert classes(flat) == ["NA", "地毯", "地毯"]
    assert classes(flat, "test") == ["?", "?"]


def test_a_mapping_may_name_test_images_and_new_classes_are_told(flat):
    write(flat / "classes.csv", "file,class\ntrain/0001,a\ntrain/0002,b\ntrain/0003,b\ntest/0001,b\ntest/0002,牙刷\n")
    tables = defect_folders.train_test_folders(flat)
    assert tables.test["class"].tolist() == ["b", "牙刷"]


def test_new_classes_cannot_be_told_where_none_is_known(flat):
    save(flat / "test" / "牙刷" / "9.png", GREY)
    tables = defect_folders.train_test_folders(flat)
    assert "牙刷" in set(tables.test["class"])


def test_decomposed_names_are_the_composed_ones(tmp_path):
    for part, form in (("train", "NFD"), ("test", "NFC")):
        for number in range(2):
            save(tmp_path / part / normalize(form, "café") / normalize(form, f"é{number}.png"), GREY)
    write(tmp_path / "sample_submission.csv", "id,prediction\né1,0\né0,0\n")
    tables = defect_folders.train_test_folders(tmp_path)
    assert set(tables.train["class"]) == set(tables.test["class"]) == {normalize("NFC", "café")}
    assert tables.train["path"].map(Path.exists).all()


def test_images_are_found_by_ending_and_nothing_else_is(flat):
    save(flat / "train" / "0004.BMP", GREY)
    save(flat / "train" / "0005.TIFF", GREY)
    save(flat / "train" / "0006.webp", GREY)
    for stray in (".hidden.png", "._0001.png", "Thumbs.db", "notes.txt", "__MACOSX/0007.png", ".cache/0008.png"):
        (flat / "train" / stray).parent.mkdir(exist_ok=True)
        (flat / "train" / stray).write_bytes(b"no image")
    (flat / "elsewhere").mkdir()
    save(flat / "elsewhere" / "0009.png", GREY)
    (flat / "train" / "linked").symlink_to(flat / "elsewhere")
    found = defect_folders.train_test_folders(flat).train
    assert found["id"].tolist() == [f"000{number}" for number in (1, 2, 3, 4, 5, 6, 9)]
    assert found["class"].iloc[-1] == "linked"


def test_modes_and_sizes_are_counted_and_all_can_be_read(tmp_path):
    deep = np.full((8, 10, 3), 40_000, np.uint16)
    made = {
        "a.png": (GREY, "gray"),
        "b.png": (GREY, "gray"),
        "c.png": (np.dstack([GREY] * 3), "RGB"),
        "d.png": (np.dstack([GREY] * 4), "RGBA"),
        "e.png": (deep[..., 0], "16-bit gray"),
        "f.png": (deep, "16-bit RGB"),
        "g.tif": (deep, "16-bit RGB"),
    }
    paths = [save(tmp_path / name, pixels) for name, (pixels, _) in made.items()]
    Image.fromarray(GREY).convert("P").save(tmp_path / "h.png")
    found = images.count_modes([*paths, tmp_path / "h.png"])
    assert found.columns.tolist() == ["mode", "width", "height", "images"]
    assert set(found["width"]) == {10}
    assert set(found["height"]) == {8}
    counts = found.set_index("mode")["images"]
    assert counts.to_dict() == {"gray": 2, "RGB": 1, "RGBA": 1, "16-bit gray": 1, "16-bit RGB": 2, "palette": 1}
    assert counts.index[0] == "gray"
    for path in [*paths, tmp_path / "h.png"]:
        assert images.read(path).shape == (8, 10, 3)


def test_size_is_that_of_the_image_as_it_is_read(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=turned)
    Image.fromarray(GREY).save(tmp_path / "b.jpg")
    for name in ("a.jpg", "b.jpg"):
        assert images.size(tmp_path / name) == images.read(tmp_path / name).shape[:2]
    assert images.size(tmp_path / "a.jpg") == (10, 8)


def test_folders_without_images_are_refused(flat):
    refused(flat / "nowhere", "nowhere/train", ".png", code="no_images")


def test_a_single_normal_image_is_refused(flat):
    for number in (1, 2):
        (flat / "train" / f"000{number}.png").unlink()
    refused(flat, "train", code="too_few_normal_images")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("classes.csv", "file,class\n0001,a\n0002,b\n0003,b\n0004,b\n", ["names 1 of 4 images", "'0004'"]),
        ("classes.csv", "file,class\n0001,a\n0003,b\n", ["1 have none", "first '0002.png'"]),
        ("classes.csv", "file,class\n0001,a\n0002,\n0003,b\n", ["1 have none", "first '0002.png'"]),
        ("classes.csv", "file,class\n0001,a\n0002,b\n0002,a\n0003,b\n", ["names the image '0002' more than once"]),
        ("classes.csv", "name,class\n0001,a\n", ["has the columns name, class", "the columns file, class"]),
        ("classes.csv", "file,class\n", ["with 0 rows"]),
        ("classes.csv", "", ["is not a CSV file"]),
        ("classes.csv", "file,class\n0001\n0001,a,b,c\n", ["is not a CSV file"]),
        ("classes.json", "{", ["is not JSON"]),
        ("classes.json", "[1]", ["write {file: class} or {class: [files]}"]),
        ("classes.json", '{"0001": 3}', ["write {file: class} or {class: [files]}"]),
        ("classes.json", '{"a": ["0001", 2]}', ["write {file: class} or {class: [files]}"]),
        ("sample_submission.csv", "id,prediction\n1,0\n3,0\n", ["names 1 of 2 images", "not in test/", "first '3'"]),
        ("sample_submission.csv", "id,prediction\n1,0\n", ["lacks 1, first '0002.png'"]),
        ("sample_submission.csv", "id,prediction\n1,0\n2,0\n1,0\n", ["names the image '1' more than once"]),
        ("sample_submission.csv", "id,label\n1,0\n2,0\n", ["give it the columns id, prediction"]),
    ],
)
def test_tables_that_do_not_fit_the_images_are_refused(flat, name, text, words):
    write(flat / name, text)
    refused(flat, name, *words)


def test_a_table_in_another_encoding_and_two_mappings_are_refused(flat):
    (flat / "classes.csv").write_bytes("file,class\n0001,地毯\n".encode("gbk"))
    refused(flat, "classes.csv is not a CSV file in UTF-8")
    write(flat / "classes.json", "{}")
    refused(flat, "classes.csv", "classes.json", code="two_class_mappings")


def test_mvtecs_layout_comes_through_whole(tmp_path):
    found = defect_folders.mvtec(made_defects.mvtec(tmp_path, train=3, good=2, each=2))
    counts = found.groupby(["class", "part", "kind"]).size()
    expected = {("train", "good"): 3, ("test", "good"): 2, ("test", "hole"): 2, ("test", "划痕"): 2}
    assert counts.to_dict() == {(of, *key): n for of in made_defects.CLASSES for key, n in expected.items()}
    assert (found["mask_path"].isna() == (found["kind"] == "good")).all()
    for row in found[found["kind"] != "good"].itertuples():
        dark = images.read(row.path, gray=True)[..., 0] == 5
        assert dark[masks.read(row.mask_path) > 0].all(), row.name


def test_masks_may_be_called_as_their_images(tmp_path):
    folder = made_defects.mvtec(tmp_path) / "screw" / "ground_truth" / "hole"
    (folder / "000_mask.png").rename(folder / "000.png")
    found = defect_folders.mvtec(tmp_path).set_index("name")["mask_path"]
    assert found["screw/test/hole/000.png"] == folder / "000.png"


def test_masks_that_lack_or_have_another_size_are_refused(tmp_path):
    mask = made_defects.mvtec(tmp_path) / "地毯" / "ground_truth" / "划痕" / "002_mask.png"
    save(mask, np.zeros((made_defects.SIDE, 20), np.uint8))
    wrong_size = "划痕/002_mask.png", "48 x 48", "20 x 48"
    refused(tmp_path, *wrong_size, code="mask_size_differs", layout=defect_folders.mvtec)
    mask.unlink()
    refused(
        tmp_path,
        "'地毯/test/划痕/002.png'",
        "'地毯/ground_truth/划痕/002_mask.png'",
        code="mask_missing",
        layout=defect_folders.mvtec,
    )


def test_an_empty_mask_of_a_defect_is_refused(tmp_path):
    mask = made_defects.mvtec(tmp_path) / "地毯" / "ground_truth" / "划痕" / "002_mask.png"
    save(mask, np.zeros((made_defects.SIDE, made_defects.SIDE), np.uint8))
    refused(tmp_path, "划痕/002_mask.png", "no pixel", code="mask_empty", layout=defect_folders.mvtec)


def test_images_at_another_place_and_too_few_are_refused(tmp_path):
    refused(tmp_path, ".png", code="no_images", layout=defect_folders.mvtec)
    save(tmp_path / "a" / "train" / "good" / "0.png", GREY)
    refused(tmp_path, "has 1", code="too_few_normal_images", layout=defect_folders.mvtec)
    save(tmp_path / "a" / "train" / "bad" / "0.png", GREY)
    refused(tmp_path, "1 do not, first 'a/train/bad/0.png'", code="images_misplaced", layout=defect_folders.mvtec)


def test_what_was_prepared_is_read_as_text(tmp_path):
    rows = pd.DataFrame({"id": ["007", "010"], "path": ["a.png", "b.png"], "class": ["NA", "None"]})
    rows.assign(defect=0).to_csv(tmp_path / "train.csv", index=False)
    rows.to_csv(tmp_path / "test.csv", index=False)
    rows[["id"]].assign(prediction=["", 1]).to_csv(tmp_path / "sample_submission.csv", index=False)
    tables = self_hosting.read(tmp_path, text=defect_folders.TEXT_COLUMNS)
    assert tables.train[["id", "class"]].to_numpy().tolist() == rows[["id", "class"]].to_numpy().tolist()
    assert tables.train["defect"].dtype.kind == "i"
    assert tables.sample_submission["prediction"].dtype.kind == "f"
    assert tables.test["path"].tolist() == [tmp_path / "a.png", tmp_path / "b.png"]
    (tmp_path / "test.csv").unlink()
    refused(tmp_path, "test.csv", "make prepare", code="table_unreadable", layout=self_hosting.read)
