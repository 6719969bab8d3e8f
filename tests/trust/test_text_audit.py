"""Rows without text are counted and reported once, by the column that the recipe's parameters name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
from error_codes import raises_code
from made_tables import on_columns, train

from goldfold import metrics
from goldfold.params import TextColumn

METRIC = metrics.accuracy("y", classes=("a", "b"))
TRAIN = pd.DataFrame(
    {"id": range(40), "x": range(40), "y": ["a", "a", "b", "b"] * 10, "caption": ["a cat", "two dogs"] * 20}
)
TEST = TRAIN.drop(columns="y").head(10)
RECIPE = on_columns(["x"], kind="binary")


class Captioned(RECIPE.params):  # type: ignore[name-defined]
    text: TextColumn = "caption"


def findings(train_rows: pd.DataFrame, test_rows: pd.DataFrame) -> list:
    run = train(METRIC, replace(RECIPE, params=Captioned), (train_rows, test_rows))
    return [found for found in run.findings if found.code == "missing_texts"]


def test_missing_texts_are_reported_once_with_both_counts(toy: Path) -> None:
    assert findings(TRAIN, TEST) == []
    blank = {"caption": [None, " ", *TRAIN["caption"][2:]]}
    (found,) = findings(TRAIN.assign(**blank), TEST.assign(caption=[None, *TEST["caption"][1:]]))
    assert (found.level, found.where) == ("warning", "data")
    assert found.message.startswith("2 of 40 train rows and 1 of 10 test rows have no text in 'caption': ")


def test_a_missing_column_is_refused_before_training(toy: Path) -> None:
    for tables in (TRAIN.rename(columns={"caption": "captions"}), TEST), (TRAIN, TEST.drop(columns="caption")):
        with raises_code("unknown_column", "'caption'", "known|did you mean 'captions'"):
            findings(*tables)
    assert not list(Path("runs").glob("table/*"))
