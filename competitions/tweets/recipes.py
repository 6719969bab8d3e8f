"""Ridge regression on TF-IDF, a head on frozen features, and an encoder that is fine-tuned."""

from __future__ import annotations

from pydantic import Field
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from competitions.tweets.data import TARGET
from goldfold.params import Params
from goldfold.recipes import tabular, text_classifier


class TfidfParams(Params):
    """Features and penalty."""

    words: int = Field(2, ge=1, description="longest run of words that is a feature")
    characters: int = Field(5, ge=2, description="longest run of characters within a word that is a feature")
    alpha: float = Field(1.0, gt=0, description="strength of the L2 penalty")


def ridge(params: TfidfParams, seed: int) -> BaseEstimator:
    """Build the pipeline; vocabulary and weights are of the training rows of one fold."""
    words = TfidfVectorizer(ngram_range=(1, params.words), sublinear_tf=True)
    parts = TfidfVectorizer(ngram_range=(2, params.characters), analyzer="char_wb", min_df=2, sublinear_tf=True)
    return make_pipeline(make_column_transformer((words, "text"), (parts, "text")), Ridge(params.alpha))


RECIPES = {
    "tfidf": tabular.recipe(TfidfParams, ridge, target=TARGET, kind="regression"),
    "frozen": text_classifier.frozen(values=TARGET),
    "text_classifier": text_classifier.recipe(values=TARGET, max_tokens=64),
}
