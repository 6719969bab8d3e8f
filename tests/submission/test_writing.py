"""Every way a submission goes wrong is caught with its place named, and good ones pass."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.competition import Submission
from goldfold.errors import GoldfoldError
from goldfold.submission.checks import between, number, one_of, run_lengths
from goldfold.submission.writing import check, read, write

KAGGLE = os.environ.get("GOLDFOLD_SAMPLE_DATA")


def sample() -> pd.DataFrame:
    return pd.DataFrame({"id": [892, 893, 894, 895], "p": 0, "label": "cat"})


def good() -> pd.DataFrame:
    return sample().assign(p=[0.0, 0.25, 0.5, 1.0], label=["cat", "dog", "dog", "None"])


RULES = Submission(
    write=lambda rows, predictions: rows, checks={"p": between(0, 1), "label": one_of("cat", "dog", "None")}
)


def passes(frame: pd.DataFrame, rules: Submission = RULES, pattern: pd.DataFrame | None = None) -> None:
    pattern = sample() if pattern is None else pattern
    check(frame, pattern, pattern[[pattern.columns[0]]], rules)


def with_value(column: str, value: object) -> pd.DataFrame:
    values = good()[column].tolist()
    return good().assign(**{column: [*values[:2], value, value]})


BROKEN = {
    "missing column": (good()[["id", "p"]], "submission_columns_differ", "lacks column 'label'"),
    "extra column": (good().assign(fold=0), "submission_columns_differ", "extra column 'fold'"),
    "written with the index": (
        good().reset_index(names="Unnamed: 0"),
        "submission_columns_differ",
        "extra column 'Unnamed: 0'",
    ),
    "renamed column": (good().rename(columns={"p": "P"}), "submission_columns_differ", "lacks column 'p'"),
    "repeated column": (good()[["id", "p", "label", "p"]], "submission_columns_differ", "repeats column 'p'"),
    "wrong order of columns": (
        good()[["id", "label", "p"]],
        "submission_columns_differ",
        r"another order than the sample, first at 'label' \(2 in all\)",
    ),
    "missing id": (
        good().drop(index=2),
        "submission_ids_absent",
        r"1 of 4 rows, first in line 4 \(id 894\) of the sample",
    ),
    "no rows": (good().iloc[:0], "submission_ids_absent", "4 of 4 rows, first in line 2"),
    "duplicated id": (
        pd.concat([good(), good()[1:2]]),
        "submission_ids_repeated",
        r"1 of 5 rows, first in line 6 \(id 893\)",
    ),
    "extra id": (
        pd.concat([good(), good()[1:2].assign(id=7)]),
        "submission_ids_unknown",
        r"1 of 5 rows, first in line 6 \(id 7\)",
    ),
    "replaced id": (
        good().replace({"id": {893: 7}}),
        "submission_ids_absent",
        r"1 of 4 rows, first in line 3 \(id 893\) of the sample",
    ),
    "permuted ids": (
        good().iloc[[0, 2, 1, 3]],
        "submission_ids_reordered",
        r"2 of 4 rows, first in line 3 \(id 893, found 894\)",
    ),
    "empty id": (good().assign(id=[892, np.nan, 894, 895]), "submission_id_missing", "1 of 4 rows, first in line 3"),
    "ids as floats": (
        good().astype({"id": float}),
        "submission_ids_absent",
        r"\(id 892\) of the sample, where the submission has 892.0: read ids as text",
    ),
    "NaN": (with_value("p", np.nan), "submission_value_missing", r"'p' .* 2 of 4 rows, first in line 4 \(id 894\)"),
    "None": (with_value("label", None), "submission_value_missing", r"'label' .* 2 of 4 rows, first in line 4"),
    "empty text": (with_value("label", ""), "submission_value_missing", r"'label' .* 2 of 4 rows, first in line 4"),
    "text among numbers": (
        with_value("p", "high"),
        "submission_value_type_differs",
        r"'p' must be whole numbers .* line 4 \(id 894, found high\)",
    ),
    "booleans for numbers": (
        good().assign(p=True),
        "submission_value_type_differs",
        "'p' must be whole numbers .* not booleans",
    ),
    "numbers for text": (
        good().assign(label=1),
        "submission_value_type_differs",
        "'label' must be text .* not numbers",
    ),
    "infinity": (
        with_value("p", np.inf),
        "submission_value_infinite",
        r"'p' .* 2 of 4 rows, first in line 4 \(id 894, found inf\)",
    ),
    "minus infinity": (with_value("p", -np.inf), "submission_value_infinite", r"'p' .* \(id 894, found -inf\)"),
    "above the range": (
        with_value("p", 1.001),
        "submission_value_invalid",
        r"\[0, 1\]; .* 2 of 4 rows, .* \(id 894, found 1.001\)",
    ),
    "below the range": (
        with_value("p", -1e-9),
        "submission_value_invalid",
        r"\[0, 1\]; .* 2 of 4 rows, .* \(id 894, found -1e-09\)",
    ),
    "unknown class": (
        with_value("label", "cow"),
        "submission_value_invalid",
        r"cat, dog, None; .* 2 of 4 rows, .* \(id 894, found cow\)",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_faulty_submissions_raise_with_the_place(name):
    frame, code, fact = BROKEN[name]
    with raises_code(code, fact):
        passes(frame)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused_from_disk_too(name, tmp_path):
    write(BROKEN[name][0], tmp_path / "s.csv", {})
    with pytest.raises(GoldfoldError, match=r"submission"):
        passes(read(tmp_path / "s.csv", sample()))


GOOD = {
    "ids as text": good().astype({"id": str}),
    "numbers as text": good().astype({"p": str}),
    "floats where the sample has integers": good(),
    "integers": good().assign(p=[0, 1, 1, 0]),
    "float32": good().astype({"p": np.float32}),
    "the sample itself": sample(),
    "another index": good().set_axis([9, 9, 3, 1], axis=0),
    "categories": good().astype({"label": "category"}),
    "nullable types": good().convert_dtypes(),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_good_passes_before_and_after_the_disk(name, tmp_path):
    passes(GOOD[name])
    write(GOOD[name], tmp_path / "s.csv", {})
    passes(read(tmp_path / "s.csv", sample()))


@pytest.mark.parametrize("ids", [["007", "010"], ["地毯.png", "NA"]])
def test_ids_of_text_keep_their_zeros_and_names(ids, tmp_path):
    pattern = pd.DataFrame({"image": ids, "p": 0.5})
    write(pattern, tmp_path / "s.csv", {})
    back = read(tmp_path / "s.csv", pattern)
    assert back["image"].tolist() == ids
    passes(back, Submission(write=RULES.write), pattern)
    with raises_code("submission_ids_absent", ids[0]):
        passes(pattern.assign(image=[7, 10]), Submission(write=RULES.write), pattern)


@pytest.mark.skipif(not KAGGLE, reason="GOLDFOLD_SAMPLE_DATA is not set: it holds Kaggle's sample submissions")
@pytest.mark.parametrize("name", ["titanic/gender_submission.csv", "house-prices/sample_submission.csv"])
def test_kaggles_own_samples_pass(name):
    path = Path(KAGGLE, "kaggle_tabular", name)
    pattern = pd.read_csv(path)
    rules = Submission(write=RULES.write, checks={pattern.columns[1]: number()})
    passes(read(path, pattern), rules, pattern)


# --- one row per object of an image ------------------------------------------------------------------------------

OBJECTS = Submission(
    write=RULES.write,
    many_per_id=True,
    may_be_empty=["runs"],
    checks={"runs": run_lengths(lambda test: dict.fromkeys(test["id"], (3, 4)))},
)
IMAGES = pd.DataFrame({"id": ["a", "b", "c"], "runs": np.nan})


def objects(*rows: tuple[str, object]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["id", "runs"])


@pytest.mark.parametrize(
    "frame",
    [
        objects(("a", "1 2"), ("a", "3 1 12 1"), ("b", "1 12"), ("c", "")),
        objects(("c", "2 2"), ("a", "1 2"), ("b", None), ("a", "3 1")),
        objects(("a", np.nan), ("b", np.nan), ("c", np.nan)),
        objects(("a", "1 2"), ("b", None), ("c", None)).convert_dtypes(),
    ],
)
def test_images_with_several_and_without_objects_pass(frame, tmp_path):
    passes(frame, OBJECTS, IMAGES)
    write(frame, tmp_path / "s.csv", {})
    passes(read(tmp_path / "s.csv", IMAGES), OBJECTS, IMAGES)


@pytest.mark.parametrize(
    ("frame", "code", "fact"),
    [
        (objects(("a", "1 2"), ("b", "1 2")), "submission_ids_absent", r"\(id c\) of the sample"),
        (objects(("a", "1 2"), ("b", "1 2"), ("c", ""), ("d", "")), "submission_ids_unknown", r"line 5 \(id d\)"),
        (
            objects(("a", "1 2"), ("b", "12 2"), ("c", "1 x")),
            "submission_value_invalid",
            r"2 of 3 images, first id b: run 1, '12 2', .* passes the end",
        ),
        (
            objects(("a", "1 2"), ("b", "5 1"), ("a", "4 1 2 1"), ("c", "")),
            "submission_value_invalid",
            "first id a: run 2, '2 1', of object 2",
        ),
        (
            objects(("a", "1 2"), ("a", "2 1"), ("b", ""), ("c", "")),
            "submission_value_invalid",
            "1 of 3 images, first id a: objects 1 and 2 .* pixel 2",
        ),
        (objects(("a", "1 2"), ("b", "3"), ("c", "")), "submission_value_invalid", "first id b: .* found 1 numbers"),
    ],
)
def test_faulty_objects_raise(frame, code, fact):
    with raises_code(code, fact):
        passes(frame, OBJECTS, IMAGES)


def test_an_image_of_unknown_size_is_refused():
    unknown = Submission(
        write=RULES.write,
        many_per_id=True,
        may_be_empty=["runs"],
        checks={"runs": run_lengths(lambda test: {"a": (3, 4)})},
    )
    with raises_code("submission_value_invalid", "2 of 3 images, first id b: its height and width are unknown"):
        passes(objects(("a", "1 1"), ("b", "1 1"), ("c", "")), unknown, IMAGES)


@pytest.mark.parametrize("repeats", [1, 40])
def test_faults_among_many_images_are_counted_in_the_order_of_the_file(repeats):
    """Objects of an image apart from each other, in an order of images that is not the test table's."""
    ids = [f"{number}{letter}" for letter in "cab" for number in range(repeats)]
    runs = {"a": ["1 2", "3 1"], "b": ["5 1", "5 2"], "c": ["", None]}
    rows = [(id_, runs[id_[-1]][half]) for half in (0, 1) for id_ in ids if runs[id_[-1]][half] is not None]
    frame = pd.DataFrame(rows, columns=["id", "runs"])
    pattern = pd.DataFrame({"id": sorted(ids), "runs": "1 1"})
    fact = f"{repeats} of {3 * repeats} images, first id 0b: objects 1 and 2 "
    with raises_code("submission_value_invalid", fact):
        passes(frame, OBJECTS, pattern)
    passes(frame.replace({"runs": {"5 2": "6 2"}}), OBJECTS, pattern)


def test_run_lengths_that_were_read_as_numbers_are_text_of_one_number():
    frame = pd.DataFrame({"id": ["a", "b", "c"], "runs": [5, 7, 9]})
    found = OBJECTS.checks["runs"](frame["runs"], frame["id"], IMAGES)
    assert "3 of 3 images, first id a: run lengths must be pairs of start and length, found 1 numbers" in found


def test_the_samples_own_repeats_pass_only_where_ids_may_repeat():
    twice = pd.DataFrame({"id": ["a", "b", "b", "c"], "runs": "1 1"})
    with raises_code("submission_ids_repeated", r"line 4 \(id b\)"):
        passes(twice, Submission(write=RULES.write), twice)
    passes(twice, Submission(write=RULES.write, many_per_id=True), twice)


# --- rules of columns that `check` does not reach by itself ----------------------------------------------------------


def test_whole_options_want_an_integer_type():
    rule = one_of(0, 1)
    ids = pd.Series([5, 6])
    assert rule(pd.Series([0, 1]), ids, None) is None
    assert "float64" in rule(pd.Series([0.0, 1.0]), ids, None)
    assert "found 2 " in rule(pd.Series([0, 2]), ids, None).replace(")", " ")


@pytest.mark.parametrize("value", [np.nan, np.inf, "x"])
def test_number_refuses_what_is_not_finite(value):
    assert "line 3 (id 6" in number()(pd.Series([1.0, value]), pd.Series([5, 6]), None)
    assert number()(pd.Series([1.0, -2.0]), pd.Series([5, 6]), None) is None


# --- files -------------------------------------------------------------------------------------------------------


def test_a_file_is_written_with_its_provenance_and_nothing_else(tmp_path):
    path = tmp_path / "titanic" / "提交.csv"
    values = np.random.default_rng(0).random(50) ** 9
    frame = pd.DataFrame({"id": range(50), "p": values})
    write(frame, path, {"run": "one", "cv": 0.83})
    data = path.read_bytes()
    assert data.startswith(b"id,p\n0,")
    assert b"\r" not in data
    assert sorted(file.name for file in path.parent.iterdir()) == ["提交.csv", "提交.csv.json"]
    provenance = json.loads((path.parent / "提交.csv.json").read_text(encoding="utf-8"))
    assert provenance == {"run": "one", "cv": 0.83, "sha256": hashlib.sha256(data).hexdigest(), "rows": 50}
    np.testing.assert_array_equal(read(path, frame)["p"], values)  # to the last bit


def test_provenance_never_describes_another_file(tmp_path):
    path = tmp_path / "s.csv"
    write(good(), path, {"run": "one"})
    with pytest.raises(TypeError):
        write(sample(), path, {"run": object()})  # fails between the CSV and its JSON
    assert not Path(f"{path}.json").exists()


def test_what_is_no_submission_is_refused(tmp_path):
    with raises_code("submission_missing", "absent.csv"):
        read(tmp_path / "absent.csv", sample())
    for name, data in {
        "empty": b"",
        "latin": b"id,p,label\n892,0,caf\xe9\n",
        "longer": b"id,p\n1,2,3\n4,5,6\n",
    }.items():
        (tmp_path / name).write_bytes(data)
        with raises_code("submission_unreadable", name):
            read(tmp_path / name, sample())
