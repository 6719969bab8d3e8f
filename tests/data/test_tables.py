"""Checks of tables: faulty tables raise, and content hashes depend on the features only."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.competition import Competition, Tables
from goldfold.data import tables


def competition(targets: tuple[str, ...] = ("y",), group: str | None = None) -> Competition:
    parts = dict.fromkeys(("metric", "prepare", "load", "split", "recipes", "submission"))
    return Competition(slug="x", targets=targets, group=group, **parts)


def sound(**changes) -> Tables:
    train = pd.DataFrame({"id": ["甲", "乙", "丙"], "x": [1.0, 2.0, 3.0], "y": [0, 1, 0]})
    test = pd.DataFrame({"id": [7, 8], "x": [1.5, np.nan]})
    return Tables(**{"train": train, "test": test, "sample_submission": test[["id"]], **changes})


def test_sound_tables_pass():
    tables.check(competition(), sound())
    tables.check(competition(group="x"), sound())
    tables.check(competition(), sound(sample_submission=pd.DataFrame({"pair": ["7_8", "8_7"]})))


TRAIN, TEST = sound().train, sound().test


@pytest.mark.parametrize(
    ("changes", "code", "fact"),
    [
        ({"train": TRAIN[:0]}, "table_empty", "train"),
        ({"test": TEST[:0]}, "table_empty", "test"),
        (
            {"train": TRAIN.rename(columns={"id": "Id"})},
            "id_column_missing",
            "train .* Id, x, y",
        ),
        ({"test": TEST.rename(columns={"id": "Id"})}, "id_column_missing", "test"),
        ({"train": TRAIN.assign(id=["甲", "甲", "丙"])}, "ids_not_unique", "train table repeats 1, first '甲'"),
        ({"test": TEST.assign(id=[7, 7])}, "ids_not_unique", "test table repeats 1, first 7"),
        ({"train": TRAIN.assign(id=["甲", None, "丙"])}, "id_missing", "train table has 1 rows"),
        ({"train": TRAIN.assign(id=["甲", None, None])}, "id_missing", "train table has 2 rows"),
        ({"train": TRAIN.drop(columns="y").assign(why=0)}, "unknown_column", "target column .* 'y'"),
        ({"train": TRAIN.assign(y=[0, np.nan, 1])}, "values_missing", "'y' is missing in 1 train rows, first id '乙'"),
        ({"train": TRAIN.assign(y=["a", None, "b"])}, "values_missing", "'y' is missing in 1 train rows"),
        (
            {"sample_submission": pd.DataFrame({"id": [7, 8, 9, 10]})},
            "sample_ids_unknown",
            "2 ids .* first '9'",
        ),
        ({"test": TEST.assign(y=0)}, "target_in_test", "'y'"),
        ({"train": TRAIN.assign(id=[1, "1", 2])}, "ids_not_unique", "train table repeats 1, first '1'"),
        ({"train": pd.concat([TRAIN, TRAIN[["x"]]], axis=1)}, "columns_not_unique", "train table has 1 .* first 'x'"),
        ({"test": pd.concat([TEST, TEST[["x"]]], axis=1)}, "columns_not_unique", "test table"),
        (
            {"train": TRAIN.assign(y=[1, "1", 2])},
            "values_mixed",
            "'y' mixes numbers and text, 2 rows such as 1 and 1 such as '1'",
        ),
    ],
)
def test_faulty_tables_raise(changes, code, fact):
    with raises_code(code, fact):
        tables.check(competition(), sound(**changes))


@pytest.mark.parametrize(
    ("sample", "fact"),
    [
        (pd.DataFrame({" bPassengerId": ["7", "8"], "y": 0}), "' bPassengerId' where the tables have 'PassengerId'"),
        (pd.DataFrame({"\ufeffid": ["7", "8"], "y": 0}), "column 1"),
        (pd.DataFrame({"id": ["7", "8"], "y ": 0}), "column 2 is called 'y ' where the tables have 'y'"),
        (pd.DataFrame({"id": ["7", "8"], "y\x00": 0}), "column 2"),
        (pd.DataFrame({"": [0, 1], "id": ["7", "8"], "y": 0}), "column 1"),
        (pd.DataFrame({"row": [0, 1], "id": ["7", "8"], "y": 0}), "in its column 'id', not in the first"),
        (pd.DataFrame({"id": ["7", " 8"], "y": 0}), "1 of its ids .* ' 8'"),
        (pd.DataFrame({"id": ["'7'", "'8'"], "y": 0}), "2 of its ids"),
    ],
)
def test_a_damaged_sample_submission_is_named_as_such(sample, fact):
    with raises_code("sample_damaged", fact):
        tables.check(competition(), sound(sample_submission=sample, test=TEST.assign(PassengerId=1)))


@pytest.mark.parametrize("names", [("PassengerId", "y"), ("image_id", "y_1"), ("ID", "odd name")])
def test_a_sample_whose_names_only_differ_from_the_tables_passes(names):
    tables.check(competition(), sound(sample_submission=pd.DataFrame({names[0]: ["7", "8"], names[1]: 0})))


def test_a_group_column_must_exist():
    with raises_code("unknown_column", "'patiend'; did you mean 'patient'"):
        tables.check(competition(group="patiend"), sound(train=TRAIN.assign(patient=0)))


def test_a_group_must_be_known_for_every_row():
    with raises_code("values_missing", "'patient'.*1 .*rows"):
        tables.check(competition(group="patient"), sound(train=TRAIN.assign(patient=["a", None, "b"])))


@pytest.mark.parametrize(
    ("values", "code", "fact"),
    [
        ([1, "1", 2], "values_mixed", "group 'g' .* 1 and 1 such as '1'"),
        ([[1], [2], [3]], "values_not_sortable", "group 'g'"),
    ],
)
def test_a_group_of_several_types_is_refused(values, code, fact):
    with raises_code(code, fact):
        tables.check(competition(group="g"), sound(train=TRAIN.assign(g=pd.Series(values, dtype=object))))


def images_in(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"牙刷{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(cv2.imencode(".png", np.full((4, 4, 3), number, np.uint8))[1].tobytes())
    return paths


@pytest.mark.parametrize("column", ["path", "mask_path"])
def test_an_absent_file_is_named_before_training(column, tmp_path):
    train = TRAIN.assign(**{column: images_in(tmp_path, 3)})
    tables.check(competition(), sound(train=train))
    train[column][1].unlink()
    with raises_code("unreadable_image", "1 of 3", "牙刷1.png"):
        tables.check(competition(), sound(train=train))
    train[column][2].rename(tmp_path / "牙刷2_mask.png")
    with raises_code("unreadable_image", "2 of 3", "its folder has '牙刷"):
        tables.check(competition(), sound(train=train))


@pytest.mark.parametrize("strange", [None, np.nan, "x" * 5000, "a\0b"])
def test_what_cannot_be_a_path_is_named_as_an_absent_file(strange, tmp_path):
    with raises_code("unreadable_image", "1 of 3"):
        tables.check(competition(), sound(train=TRAIN.assign(path=[*images_in(tmp_path, 2), strange])))
    assert hashed(sound(train=TRAIN.assign(career_path=[strange, "a", "b"])))


def test_contents_may_be_of_any_type():
    cells = pd.Series([(1, 2), 3, {"a": 1}], dtype=object)
    first, second, third = tables.content_hashes(TRAIN.assign(x=cells), ("y",))
    assert len({first, second, third}) == 3


def test_prediction_sees_no_target():
    rows = TRAIN[1:]
    seen = tables.without_targets(rows, ("y", "absent"))
    assert list(seen.columns) == ["id", "x"]
    assert list(seen.index) == [0, 1]
    assert "y" in rows


def test_contents_are_equal_where_a_model_sees_the_same(tmp_path):
    rows = pd.DataFrame({"id": [1, 2, 3], "a": [1.0, 1.0, 2.0], "b": ["x", "x", "x"], "y": [0, 1, 0]})
    first, second, third = tables.content_hashes(rows, ("y",))
    assert first == second != third
    paths = images_in(tmp_path, 3)
    paths[2].write_bytes(paths[0].read_bytes())
    first, second, third = tables.content_hashes(TRAIN.assign(path=paths), ("y",))
    assert first == third != second


def test_contents_keep_the_rows_index():
    assert list(tables.content_hashes(TRAIN[1:], ("y",)).index) == [1, 2]


def test_rows_that_show_nothing_are_not_copies_of_each_other():
    """A table of ids and targets alone, whose samples a recipe finds elsewhere."""
    found = tables.content_hashes(pd.DataFrame({"id": [1, 2], "y": [0, 1]}), ("y",))
    assert found.nunique() == 2


def test_long_arrays_in_cells_are_told_apart_by_their_middle():
    one, other = np.zeros(3000), np.zeros(3000)
    other[1500] = 1
    rows = pd.DataFrame({"id": [1, 2, 3], "signal": [one, other, one.copy()]})
    first, second, third = tables.content_hashes(rows, ())
    assert first == third != second


def hashed(data: Tables) -> str:
    return tables.data_hash(data, *(tables.content_hashes(rows, ("y",)) for rows in (data.train, data.test)))


@pytest.mark.parametrize(
    "changes",
    [
        {"train": TRAIN.assign(y=[1, 1, 0])},
        {"train": TRAIN.assign(x=[1.0, 2.0, 3.0000001])},
        {"train": TRAIN.assign(id=["甲", "乙", "丁"])},
        {"train": TRAIN[::-1]},
        {"test": TEST[:1]},
        {"train": TRAIN.assign(career_path=["a", "b", "c"])},
    ],
)
def test_other_data_has_another_hash(changes):
    assert hashed(sound()) == hashed(sound())
    assert hashed(sound(**changes)) != hashed(sound())


def test_masks_beside_the_images_count_as_data(tmp_path):
    paths, masks = images_in(tmp_path, 3), images_in(tmp_path, 6)[3:]
    data = sound(train=TRAIN.assign(path=paths, mask_path=masks))
    before = hashed(data)
    masks[0].write_bytes(masks[1].read_bytes())
    assert hashed(data) != before


def test_the_hash_is_of_contents_not_of_places(tmp_path):
    hashes = set()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        hashes.add(hashed(sound(train=TRAIN.assign(path=images_in(tmp_path / place, 3)))))
    assert len(hashes) == 1
