"""Ids keep the text of their file, from a competition's files to the submission."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.competition import Competition, Submission, Tables
from goldfold.data import csv_tables, self_hosting, tables
from goldfold.experiment.workspace import load_tables
from goldfold.submission import writing

IDS = ["00200", "2.00", "200e5", "NA", "null", "-0", "7 ", "点0", 'a"b', "c,d", "e\rf", "12345678901234567890", "True"]
RULES = Submission(write=lambda rows, predictions: rows)


def column(path: Path, number: int = 0) -> list[str]:
    """A column of a CSV file by Python's own reader, without the header."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row[number] for row in csv.reader(file)][1:]


@pytest.mark.parametrize("na_is_missing", [True, False])
def test_ids_are_the_text_of_the_file_and_other_columns_are_pandas_own(na_is_missing, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(csv_tables.to_text(pd.DataFrame({"key": IDS, "x": [1.5, *[np.nan] * 12], "kind": "NA"})))
    read = csv_tables.read(path, id_column="key", na_is_missing=na_is_missing)
    assert read["key"].tolist() == column(path) == IDS
    assert read["kind"].isna().all() == na_is_missing
    options = {} if na_is_missing else {"keep_default_na": False, "na_values": [""]}
    pd.testing.assert_frame_equal(read[["x", "kind"]], pd.read_csv(path, **options)[["x", "kind"]])


def test_an_empty_id_is_missing_and_a_row_longer_than_the_header_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("id,x\n,1\nb,2\n")
    assert csv_tables.read(path)["id"].isna().tolist() == [True, False]
    path.write_text("id,x\na,1,3\nb,2,4\n")
    with pytest.raises(ValueError, match="more fields than its header"):
        csv_tables.read(path)


@pytest.mark.filterwarnings("ignore::pandas.errors.DtypeWarning")
@pytest.mark.parametrize("reader", [pd.read_csv, csv_tables.read, lambda path: pd.read_csv(path, dtype=str)])
@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(IDS, id="odd"),
        pytest.param([*map(str, range(263_000)), *(f"x{number}" for number in range(1_000))], id="264,000"),
        pytest.param(["2.00", "3.50"], id="decimals"),
        pytest.param(["0", "1"], id="plain"),
    ],
)
def test_a_submission_is_compared_with_the_ids_of_the_file_whatever_load_made_of_them(ids, reader, tmp_path):
    """The sample file holds the truth: its own ids pass and come out as they are, those that lost a zero do not."""
    path = tmp_path / "sample_submission.csv"
    path.write_bytes(csv_tables.to_text(pd.DataFrame({"id": ids, "p": 0.5})).encode())
    rows = pd.DataFrame({"id": ids})
    made = competition(lambda public: Tables(train=rows, test=rows, sample_submission=reader(path)))
    sample = load_tables("made", made, tmp_path).sample_submission
    assert sample["id"].tolist() == ids
    writing.check(rows.assign(p=0.25), sample, rows, RULES)
    writing.write(rows.assign(p=0.25), tmp_path / "out.csv", {})
    assert column(tmp_path / "out.csv") == column(path) == ids
    assert writing.read_checked(tmp_path / "out.csv", sample, rows, RULES)["id"].tolist() == ids
    lossy = pd.read_csv(path)["id"]
    if lossy.astype(str).tolist() != ids:
        code = "submission_id_missing" if lossy.isna().any() else "submission_ids_absent"
        with raises_code(code):
            writing.check(pd.DataFrame({"id": lossy, "p": 0.25}), sample, rows, RULES)


def competition(load, targets: tuple[str, ...] = ()) -> Competition:
    parts = dict.fromkeys(("metric", "prepare", "split", "recipes"))
    return Competition(slug="x", targets=targets, load=load, submission=RULES, **parts)


def test_ids_that_load_reads_as_numbers_are_refused_before_training_where_some_are_known(tmp_path):
    (tmp_path / "sample_submission.csv").write_text("id,p\n00200,0\n17,0\n")
    (tmp_path / "test.csv").write_text("id\n00200\n17\n")

    def load(public: Path) -> Tables:
        rows = pd.read_csv(public / "test.csv")
        return Tables(train=rows, test=rows, sample_submission=pd.read_csv(public / "sample_submission.csv"))

    made = competition(load)
    with raises_code("sample_ids_unknown", "1 ids .* '00200': read ids as text"):
        tables.check(made, load_tables("made", made, tmp_path))


def test_the_sample_of_load_is_kept_where_no_file_has_its_columns_and_ids(tmp_path):
    (tmp_path / "sample_submission.csv").write_text("id,p\n1,0\n2,0\n")
    for kept in (pd.DataFrame({"Id": [1, 2], "p": 0}), pd.DataFrame({"id": [1, 3], "p": 0}), pd.DataFrame({"id": [1]})):
        made = competition(lambda public, kept=kept: Tables(train=kept, test=kept, sample_submission=kept))
        assert load_tables("made", made, tmp_path).sample_submission is kept


def test_text_columns_and_classes_called_na_keep_their_kind(tmp_path):
    (tmp_path / "gender_submission.csv").write_text("id,label,kind\n1,7,NA\n2,8,NA\n")
    loaded = pd.read_csv(tmp_path / "gender_submission.csv", dtype={"label": str})
    made = competition(lambda public: Tables(train=loaded, test=loaded, sample_submission=loaded))
    sample = load_tables("made", made, tmp_path).sample_submission
    assert sample["label"].tolist() == ["7", "8"]
    assert sample["kind"].tolist() == ["NA", "NA"]


def test_self_hosted_ids_go_through_all_files_unchanged(tmp_path):
    rows = pd.DataFrame({"id": [*IDS, *(f"t{each}" for each in IDS)], "x": 1.0, "y": 0})
    public, private = tmp_path / "public", tmp_path / "private"
    self_hosting.write(rows, np.arange(13, 26), ["y"], {"y": 0}, public, private)
    read = self_hosting.read(public)
    assert read.train["id"].tolist() == column(public / "train.csv") == IDS
    hidden = [f"t{each}" for each in IDS]
    assert read.test["id"].tolist() == read.sample_submission["id"].tolist() == hidden
    assert writing.read(private / "solution.csv", read.sample_submission)["id"].tolist() == hidden


def test_rows_of_a_repeated_index_are_neither_lost_nor_doubled(tmp_path):
    """Two frames of 150 rows below each other: 100 hidden rows leave 200, though every label of the index repeats."""
    rows = pd.concat([pd.DataFrame({"id": [f"{part}{row}" for row in range(150)], "y": 0}) for part in "ab"])
    hidden = np.arange(100)
    self_hosting.write(rows, hidden, ["y"], {"y": 0}, tmp_path, tmp_path)
    read = self_hosting.read(tmp_path)
    assert read.train["id"].tolist() == rows["id"].tolist()[100:]
    assert read.test["id"].tolist() == rows["id"].tolist()[:100]
    made = competition(lambda public: Tables(train=rows, test=rows, sample_submission=rows[["id"]]))
    assert load_tables("made", made, tmp_path).train.index.equals(pd.RangeIndex(300))


@pytest.mark.parametrize("seed", range(20))
def test_frames_of_text_and_whole_numbers_are_written_as_pandas_writes_them(seed):
    draw = np.random.default_rng(seed)
    cells = ["a", "1 2 3", "", " x", "点", "NA", "0", "#", "'", ";"] + (['q"', "c,d", "l\nf"] if seed % 4 == 3 else [])
    frame = pd.DataFrame({"id": draw.choice(cells, 12), "runs": draw.choice(cells, 12), "n": draw.integers(-9, 9, 12)})
    frame.loc[draw.integers(12), "runs"] = [np.nan, None, "x"][seed % 3]
    frame = frame if seed % 2 else frame.astype({"id": object, "runs": "str"})
    for each in (frame, frame[:0], frame.rename(columns={"n": "m,n"})):
        assert csv_tables.to_text(each) == each.to_csv(index=False, lineterminator="\n")
    assert (csv_tables._unquoted(frame) is None) == (seed % 4 == 3 and csv_tables.to_text(frame).count('"') > 0)
