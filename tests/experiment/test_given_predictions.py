"""Predictions of other programs: every form is read, brought into order, and refused with what is wrong and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.competition import Fold
from goldfold.data.fold_tables import folds_to_table
from goldfold.experiment.predictions import foreign_folds
from goldfold.experiment.predictions.alignment import Form, aligned
from goldfold.experiment.predictions.reading import read_given

IDS = pd.Index(["007", "NA", "点"])
OTHERS = pd.Index(["900", "901", "902"])
TWO = Form(positive="yes", negative="no", probabilities=True)
THREE = Form(names=("cat", "dog", "owl"), probabilities=True, exclusive=True)


def given(folder: Path, text: str, form: Form, name: str = "oof.csv") -> np.ndarray:
    (folder / name).write_text(text, encoding="utf-8")
    return aligned(read_given(folder / name, ["id", "PassengerId"]), form, IDS, others=OTHERS, known=IDS)


def test_rows_and_classes_come_into_the_order_of_the_competition(tmp_path: Path) -> None:
    found = given(tmp_path, "id,owl,cat,dog\n点,0.7,0.1,0.2\nNA,0,1,0\n007,0.3,0.3,0.4\n", THREE)
    assert found.tolist() == [[0.3, 0.4, 0.3], [1, 0, 0], [0.1, 0.2, 0.7]]
    numbered = "id,prediction_0,prediction_1,prediction_2\n点,0.1,0.2,0.7\nNA,1,0,0\n007,0.3,0.4,0.3\n"
    assert given(tmp_path, numbered, THREE).tolist() == found.tolist()


def test_the_positive_class_of_two_is_one_column_of_any_name_or_its_own(tmp_path: Path) -> None:
    for text in ("PassengerId,p\n007,0.2\n点,0.9\nNA,0.5\n", "id,yes,no\n007,0.2,0.8\n点,0.9,0.1\nNA,0.5,0.5\n"):
        assert given(tmp_path, text, TWO).tolist() == [0.2, 0.5, 0.9]


def test_an_array_has_its_ids_beside_it_and_a_fold_is_no_prediction(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([3, 1, 2]))
    (tmp_path / "a_ids.csv").write_text("id,fold\n点,b\n007,a\nNA,a\n", encoding="utf-8")
    own = read_given(tmp_path / "a.npy", ["id"])
    assert aligned(own, Form(), IDS, others=OTHERS, known=IDS).tolist() == [1, 2, 3]
    assert own.folds == ["b", "a", "a"]
    assert given(tmp_path, "id,fold,p\n007,0,1\nNA,1,2\n点,1,3\n", Form()).tolist() == [1, 2, 3]


ROWS = "007,0.2\nNA,0.5\n点,0.9\n"
FAULTS = [
    (
        "id,p\n007,0.2\n007,0.2\n1,0.1\n",
        TWO,
        "import_ids",
        ["2 missing, first 'NA', '点'", "1 unknown, first '1'", "1 repe"],
    ),
    ("id,p\n7,0.2\nNA,0.5\n点,0.9\n", TWO, "import_ids", ["spelled differently, such as 7 for 007"]),
    ("id,p\n900,0.2\n901,0.5\n902,0.9\n", TWO, "import_ids", ["OOF and TEST may be swapped"]),
    ("key,p\n" + ROWS, TWO, "import_ids", ["no column of ids, only 'key', 'p'", "id or PassengerId"]),
    ("id,p\n,0.2\nNA,0.5\n点,0.9\n", TWO, "import_ids", ["1 rows without an id"]),
    ("id,p\n", TWO, "import_ids", ["no rows"]),
    ("", TWO, "import_unreadable", ["cannot be read"]),
    ("id,p\n007,0.2\nNA,\n点,inf\n", TWO, "import_range", ["2 of 3 rows", "missing or infinite", "nan of id 'NA'"]),
    ("id,p\n007,0.2\nNA,1.5\n点,0.9\n", TWO, "import_range", ["1 of 3 rows", "outside [0, 1]", "1.5 of id 'NA'"]),
    ("id,p\n007,0.2\nNA,x\n点,0.9\n", TWO, "import_range", ["column 'p'", "1 values", "'x' of id 'NA'"]),
    ("id,no\n" + ROWS, TWO, "import_columns", ["'no' is the class whose probability is not predicted", "'yes'"]),
    ("id,yes,no\n007,0.2,0.8\nNA,0.5,0.9\n点,0.9,0.1\n", TWO, "import_range", ["sum to another", "1.4 of id 'NA'"]),
    ("id,cat,dog\n007,0,1\nNA,0,1\n点,0,1\n", THREE, "import_columns", ["lacks the column 'owl'"]),
    ("id,cat,dog,owls\n007,0,1,0\nNA,0,1,0\n点,0,1,0\n", THREE, "import_columns", ["'owl'", "did you mean 'owl'"]),
    ("id,a,b\n007,0,1\nNA,0,1\n点,0,1\n", Form(), "import_columns", ["2 columns beside the ids (a, b)", "one column"]),
]


@pytest.mark.parametrize(
    ("text", "form", "code", "facts"), FAULTS, ids=[f"{code}-{at}" for at, (*_, code, _) in enumerate(FAULTS)]
)
def test_what_is_wrong_is_counted_and_named(tmp_path: Path, text: str, form: Form, code: str, facts: list[str]) -> None:
    with raises_code(code, "oof.csv", *facts):
        given(tmp_path, text, form)


def test_files_that_cannot_be_read_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with raises_code("import_unreadable", "there is no such file"):
        read_given(tmp_path / "none.csv", ["id"])
    (tmp_path / "a.xlsx").write_text("x")
    with raises_code("import_unreadable", "none of .csv, .npy, .parquet"):
        read_given(tmp_path / "a.xlsx", ["id"])
    np.save(tmp_path / "a.npy", np.zeros(3))
    with raises_code("import_ids", "a.npy has no ids", "a_ids.csv"):
        read_given(tmp_path / "a.npy", ["id"])
    (tmp_path / "a_ids.csv").write_text("id\n1\n2\n")
    with raises_code("import_ids", r"\(3,\) for 2 ids"):
        read_given(tmp_path / "a.npy", ["id"])
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with raises_code("import_unreadable", "a.npy cannot be read"):
        read_given(tmp_path / "a.npy", ["id"])
    (tmp_path / "a.csv").write_bytes(b"id,p\n\xff,1\n")
    with raises_code("import_unreadable", "a.csv cannot be read"):
        read_given(tmp_path / "a.csv", ["id"])


def test_parquet_is_a_csv_or_a_sentence(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["007", "NA", "点"], "p": [0.2, 0.5, 0.9]})
    try:
        frame.to_parquet(tmp_path / "a.parquet")
    except ImportError:
        (tmp_path / "a.parquet").write_bytes(b"PAR1")
        with raises_code("pyarrow_missing", 'pip install "goldfold[parquet]"'):
            read_given(tmp_path / "a.parquet", ["id"])
        return
    own = read_given(tmp_path / "a.parquet", ["id"])
    assert aligned(own, TWO, IDS, others=OTHERS, known=IDS).tolist() == [0.2, 0.5, 0.9]
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with raises_code("import_unreadable", "a.parquet cannot be read"):
        read_given(tmp_path / "a.parquet", ["id"])
    frame.rename(columns={"id": "name"}).to_parquet(tmp_path / "a.parquet")
    with raises_code("import_ids", "no column of ids"):
        read_given(tmp_path / "a.parquet", ["id"])


# folds

TRAIN = pd.DataFrame({"id": [f"r{row}" for row in range(6)]})
OURS = [Fold(np.flatnonzero(np.arange(6) % 3 != fold), np.flatnonzero(np.arange(6) % 3 == fold)) for fold in range(3)]
TABLE = folds_to_table(TRAIN["id"], OURS).astype(str)


def facts(fold: list, ours=OURS, table: pd.DataFrame | None = None) -> foreign_folds.FoldFacts:
    table = pd.DataFrame({"id": TRAIN["id"], "fold": fold}).astype(str) if table is None else table
    his = foreign_folds.given_folds(table, pd.Index(TRAIN["id"]), "folds.csv")
    return foreign_folds.compared(his, ours, np.arange(6), table, TRAIN)


def test_folds_are_equal_whatever_they_are_called() -> None:
    assert facts(["c", "a", "b", "c", "a", "b"]).kind == "equal"
    found = facts([0, 1, 1, 0, 2, 2])
    assert (found.kind, found.folds, found.other_rows) == ("different", 3, 4), "fold 0 is ours"
    assert foreign_folds.compared(None, OURS, np.arange(6), None, TRAIN).kind == "unknown"


def test_folds_that_leave_rows_out_of_training_are_equal_only_if_their_file_says_so() -> None:
    """As folds in order of time: equal validation rows do not tell that nobody trained on the future."""
    ordered = [Fold(np.arange(2), np.array([2, 3])), Fold(np.arange(4), np.array([4, 5]))]
    own = folds_to_table(TRAIN["id"], ordered).astype(str)
    his = foreign_folds.given_folds(own, pd.Index(TRAIN["id"][2:]), "f")
    assert foreign_folds.compared(his, ordered, np.arange(2, 6), own, TRAIN).kind == "equal"
    assert foreign_folds.compared(his, ordered, np.arange(2, 6), own[["id", "fold"]], TRAIN).kind == "different"


def test_groups_that_given_folds_split_are_counted() -> None:
    assert foreign_folds.split_groups(np.array([0, 1, 1, 0]), np.array(["a", "a", "b", "c"])) == 1


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (TABLE.rename(columns={"fold": "f"}), "no column 'fold'"),
        (TABLE[1:], "1 missing, first 'r0'"),
        (pd.concat([TABLE, TABLE[:1]]), "1 repeated, first 'r0'"),
        (TABLE.assign(fold=["", *TABLE["fold"][1:]]), "1 rows without a fold, first 'r0'"),
    ],
)
def test_folds_that_miss_a_row_are_refused(table: pd.DataFrame, told: str) -> None:
    with raises_code("import_folds", "folds.csv", told):
        foreign_folds.given_folds(table, pd.Index(TRAIN["id"]), "folds.csv")
