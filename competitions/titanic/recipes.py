"""What a passenger list tells: title, party, fare per head, and what became of those who travelled together."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame, Series
from pydantic import Field
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from goldfold.recipes import tabular

NUMERIC = ["Pclass", "Age", "family", "party", "fare_per_head"]
CATEGORICAL = ["title", "sex_and_class", "Embarked"]
COMPANIONS = {"ticket": ["Ticket"], "kin": ["surname", "Pclass", "Fare"]}
SYNONYMS = {"Mlle": "Miss", "Ms": "Miss", "Mme": "Mrs", "Lady": "Mrs", "the Countess": "Mrs", "Dona": "Mrs"}


class TitanicParams(tabular.TabularParams):
    """The table's parameters and the features' own."""

    companions: bool = Field(True, description="use what became of companions among the training rows")


def described(rows: DataFrame) -> DataFrame:
    """The rows with what each of them says by itself."""
    name = rows["Name"].str.extract(r"^(?P<surname>[^,]*),\s*(?P<title>[^.]*)\.")
    title = name["title"].replace(SYNONYMS)
    return rows.assign(
        surname=name["surname"],
        title=title.where(title.isin(["Mr", "Mrs", "Miss", "Master"]), "other"),
        sex_and_class=rows["Sex"] + rows["Pclass"].astype(str),
        family=rows["SibSp"] + rows["Parch"] + 1,
    )


class Companions(TransformerMixin, BaseEstimator):
    """Adds who shared a passenger's ticket, or surname, class and fare: how many, and what share of them survived.

    Known are the rows it was fitted on. A row is never its own companion: `fit_transform` leaves it out, as
    scikit-learn's TargetEncoder does, so that an estimator learns from the same kind of number it will predict from.
    """

    def fit(self, rows: DataFrame, survived: Series) -> Companions:
        known = rows.assign(survived=survived)
        self.groups_ = {
            name: known.groupby(keys, dropna=False)["survived"].agg(["sum", "count"]).reset_index()
            for name, keys in COMPANIONS.items()
        }
        self.share_ = float(np.mean(survived))
        return self

    def fit_transform(self, rows: DataFrame, survived: Series) -> DataFrame:
        return self.fit(rows, survived)._joined(rows, survived.to_numpy(), 1)

    def transform(self, rows: DataFrame) -> DataFrame:
        return self._joined(rows, 0, 0)

    def _joined(self, rows: DataFrame, own_survival: np.ndarray | int, own_count: int) -> DataFrame:
        added = {}
        for name, keys in COMPANIONS.items():
            found = rows[keys].merge(self.groups_[name], how="left", on=keys)[["sum", "count"]].fillna(0).to_numpy()
            saved, count = found[:, 0] - own_survival, found[:, 1] - own_count
            added |= {f"{name}_count": count, f"{name}_survival": (saved + self.share_) / (count + 1)}
        party = added["ticket_count"] + 1
        return rows.assign(**added, party=party, fare_per_head=np.log1p(rows["Fare"] / party))


def estimator(params: TitanicParams, seed: int) -> Pipeline:
    survival = [f"{name}_survival" for name in COMPANIONS] if params.companions else []
    return make_pipeline(
        FunctionTransformer(described),
        Companions(),
        tabular.preprocess([*NUMERIC, *survival], CATEGORICAL),
        tabular.classifier(params, seed),
    )


RECIPES = {"tabular": tabular.recipe(TitanicParams, estimator, target="Survived", kind="binary")}
