"""Titanic on Kaggle's own files: features by hand, folds that leak nothing, and a score worth having."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code

from competitions.titanic import COMPETITION
from competitions.titanic.recipes import Companions, TitanicParams, row_features
from goldfold.competition import Runtime, Tables
from goldfold.submission.writing import check

RECIPE = COMPETITION.recipes["tabular"]


def passenger(name: str, **values: object) -> dict[str, object]:
    common = {"id": 1, "Pclass": 3, "Sex": "male", "Age": 30.0, "SibSp": 0, "Parch": 0, "Ticket": "A", "Fare": 8.0}
    return {**common, "Cabin": None, "Embarked": "S", "Name": name, **values}


def test_a_passenger_is_described_by_the_name():
    names = [
        "Reuchlin, Jonkheer. John George",
        "Rothes, the Countess. of (Lucy Noel)",
        "Ödahl, Mr. Nils",
        "O'Brien, Mlle. 王",
    ]
    made = row_features(pd.DataFrame([passenger(name, SibSp=1, Parch=2) for name in names]))
    assert made["title"].tolist() == ["other", "Mrs", "Mr", "Miss"]
    assert made["surname"].tolist() == ["Reuchlin", "Rothes", "Ödahl", "O'Brien"]
    assert made["family"].tolist() == [4] * 4
    assert made["sex_and_class"].tolist() == ["male3"] * 4


def party() -> tuple[pd.DataFrame, pd.Series]:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(
        [
            passenger(
                f"{'ABC'[draw.integers(3)]}, Mr. X",
                Ticket=str(draw.integers(9)),
                Fare=[7.0, 8.0, np.nan][draw.integers(3)],
            )
            for _ in range(40)
        ]
    )
    return row_features(rows), pd.Series(draw.integers(0, 2, 40))


def by_hand(known: pd.DataFrame, survived: pd.Series, row: pd.Series, leave_out: int | None) -> tuple[int, float]:
    """Companions of a row, on its ticket and by surname, class and fare: count and smoothed share of survivors."""
    others = [i for i in range(len(known)) if i != leave_out]
    ticket = [survived[i] for i in others if known["Ticket"][i] == row["Ticket"]]
    kin = [
        survived[i]
        for i in others
        if known[["surname", "Pclass", "Fare"]].loc[i].equals(row[["surname", "Pclass", "Fare"]])
    ]
    prior = survived.mean()
    return len(ticket), (sum(ticket) + prior) / (len(ticket) + 1), len(kin), (sum(kin) + prior) / (len(kin) + 1)


COLUMNS = ["ticket_count", "ticket_survival", "kin_count", "kin_survival"]


def test_companions_are_others_among_the_training_rows():
    rows, survived = party()
    known, answers, unseen = rows[:30], survived[:30], rows[30:].reset_index(drop=True)
    companions = Companions()
    fitted = companions.fit_transform(known, answers)
    for i in range(30):
        np.testing.assert_allclose(fitted[COLUMNS].loc[i].astype(float), by_hand(known, answers, known.loc[i], i))
    seen = companions.transform(unseen)
    for i in range(10):
        np.testing.assert_allclose(seen[COLUMNS].loc[i].astype(float), by_hand(known, answers, unseen.loc[i], None))
    assert seen["id"].tolist() == unseen["id"].tolist()


def test_absent_files_are_named_with_the_command(tmp_path):
    with raises_code("raw_data_missing", "nowhere/train.csv", "make prepare COMP=titanic"):
        COMPETITION.prepare(tmp_path / "nowhere", tmp_path, tmp_path)


def test_a_file_without_its_columns_is_refused(tmp_path):
    (tmp_path / "train.csv").write_text("PassengerId,Survived\n1,0\n", encoding="utf-8")
    with raises_code("raw_data_invalid", "'Pclass', only PassengerId, Survived"):
        COMPETITION.prepare(tmp_path, tmp_path, tmp_path)
    (tmp_path / "train.csv").write_bytes(b"")
    with raises_code("raw_data_invalid", "CSV"):
        COMPETITION.prepare(tmp_path, tmp_path, tmp_path)


# --- Kaggle's own files ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    samples = os.environ.get("GOLDFOLD_SAMPLE_DATA")
    if not samples:
        pytest.skip("GOLDFOLD_SAMPLE_DATA is not set: it holds Kaggle's files of titanic")
    public, private = tmp_path_factory.mktemp("public"), tmp_path_factory.mktemp("private")
    COMPETITION.prepare(Path(samples, COMPETITION.sample_data), public, private)
    assert not list(private.iterdir())
    return COMPETITION.load(public)


def predicted(train: pd.DataFrame, rows: pd.DataFrame, **params: object) -> np.ndarray:
    runtime = Runtime(seed=0, device=torch.device("cpu"), cache=Path())
    plan = RECIPE.build(TitanicParams(**params), train.reset_index(drop=True), runtime)
    return plan.predict(None, plan.finish(None), rows.drop(columns="Survived", errors="ignore").reset_index(drop=True))


def accuracy(tables: Tables, **params: object) -> float:
    """Mean over the folds of seed 0."""
    scores = []
    for fold in COMPETITION.split(tables.train, 0):
        train, held_out = tables.train.iloc[fold.train], tables.train.iloc[fold.validation]
        scores.append(COMPETITION.metric.score(held_out, predicted(train, held_out, **params)))
    return float(np.mean(scores))


def test_the_baseline_is_worth_its_place(tables):
    assert accuracy(tables) >= 0.84
    assert accuracy(tables, companions=False) >= 0.81


def test_a_prediction_does_not_depend_on_the_rows_beside_it(tables):
    fold = COMPETITION.split(tables.train, 0)[0]
    train, held_out = tables.train.iloc[fold.train], tables.train.iloc[fold.validation]
    together = predicted(train, held_out)
    np.testing.assert_allclose(predicted(train, held_out[::-1])[::-1], together, rtol=1e-12)
    np.testing.assert_allclose(predicted(train, held_out[:1]), together[:1], rtol=1e-12)


def test_the_test_rows_become_a_valid_submission(tables):
    frame = COMPETITION.submission.write(tables.test, predicted(tables.train, tables.test))
    check(frame, tables.sample_submission, tables.test, COMPETITION.submission)
    assert 0.3 < frame["Survived"].mean() < 0.45  # 0.38 of the training rows survived
    with raises_code("submission_value_invalid", "as an integer"):
        check(frame.astype({"Survived": float}), tables.sample_submission, tables.test, COMPETITION.submission)
