"""Features of the passenger list: title, party size, fare per person, and the survival of travel companions."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame, Series
from pydantic import Field
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from goldfold.recipes import boosting, tabular, tabular_network

NUMERIC = ["Pclass", "Age", "family", "party", "fare_per_head"]
CATEGORICAL = ["title", "sex_and_class", "Embarked"]
COMPANIONS = {"ticket": ["Ticket"], "kin": ["surname", "Pclass", "Fare"]}
SURVIVAL = [f"{name}_survival" for name in COMPANIONS]
SYNONYMS = {"Mlle": "Miss", "Ms": "Miss", "Mme": "Mrs", "Lady": "Mrs", "the Countess": "Mrs", "Dona": "Mrs"}


class TitanicParams(tabular.TabularParams):
    """Parameters of the estimator and of the features."""

    companions: bool = Field(
        True, description="use the survival rate of travel companions among the training rows as a feature"
    )


def row_features(rows: DataFrame) -> DataFrame:
    """Add the features that depend on a single row: surname, title, sex with class, family size."""
    name = rows["Name"].str.extract(r"^(?P<surname>[^,]*),\s*(?P<title>[^.]*)\.")
    title = name["title"].replace(SYNONYMS)
    return rows.assign(
        surname=name["surname"],
        title=title.where(title.isin(["Mr", "Mrs", "Miss", "Master"]), "other"),
        sex_and_class=rows["Sex"] + rows["Pclass"].astype(str),
        family=rows["SibSp"] + rows["Parch"] + 1,
    )


class Companions(TransformerMixin, BaseEstimator):
    """Adds the number and the survival rate of passengers with the same ticket, or the same surname, class and fare.

    Companions are searched among the rows it was fitted on. `fit_transform` excludes the row itself, like
    scikit-learn's TargetEncoder, so that features have the same distribution in training and prediction.
    """

    def fit(self, rows: DataFrame, survived: Series) -> Companions:
        """Count passengers and survivors of each group of companions."""
        known = rows.assign(survived=survived)
        self.groups_ = {
            name: known.groupby(keys, dropna=False)["survived"].agg(["sum", "count"]).reset_index()
            for name, keys in COMPANIONS.items()
        }
        self.share_ = float(np.mean(survived))
        return self

    def fit_transform(self, rows: DataFrame, survived: Series) -> DataFrame:
        """Fit, then add the features of the training rows, each without its own survival."""
        return self.fit(rows, survived)._add_features(rows, survived.to_numpy(), 1)

    def transform(self, rows: DataFrame) -> DataFrame:
        """Add the features of new rows."""
        return self._add_features(rows, 0, 0)

    def _add_features(self, rows: DataFrame, own_survival: np.ndarray | int, own_count: int) -> DataFrame:
        added = {}
        for name, keys in COMPANIONS.items():
            found = rows[keys].merge(self.groups_[name], how="left", on=keys)[["sum", "count"]].fillna(0).to_numpy()
            survivors, count = found[:, 0] - own_survival, found[:, 1] - own_count
            added |= {f"{name}_count": count, f"{name}_survival": (survivors + self.share_) / (count + 1)}
        party = added["ticket_count"] + 1
        return rows.assign(**added, party=party, fare_per_head=np.log1p(rows["Fare"] / party))


def features(params: object, seed: int) -> Pipeline:
    """Build the transformer that adds all features, fitted on training rows."""
    return make_pipeline(FunctionTransformer(row_features), Companions())


def estimator(params: TitanicParams, seed: int) -> Pipeline:
    """Build the pipeline: features, preprocessing, classifier."""
    numeric = [*NUMERIC, *SURVIVAL] if params.companions else NUMERIC
    return make_pipeline(
        *features(params, seed), tabular.preprocess(numeric, CATEGORICAL), tabular.classifier(params, seed)
    )


COLUMNS = {"numeric": [*NUMERIC, *SURVIVAL], "categorical": CATEGORICAL, "features": features}
RECIPES = {
    "tabular": tabular.recipe(TitanicParams, estimator, target="Survived", kind="binary"),
    "boosting": boosting.recipe("Survived", "binary", **COLUMNS),
    "tabular_network": tabular_network.recipe("Survived", (0, 1), **COLUMNS),
}
