"""Features of a house: its areas and ages, grades as numbers, and 43 columns of categories."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from competitions.house_prices.data import TARGET
from goldfold.recipes import boosting, tabular, tabular_network

GRADES = {
    "Ex": 5,
    "Gd": 4,
    "TA": 3,
    "Fa": 2,
    "Po": 1,
}  # a missing grade means that there is no such part
GRADED = ["ExterQual", "ExterCond", "BsmtQual", "BsmtCond", "HeatingQC", "KitchenQual", "FireplaceQu", "GarageQual"]
GRADED += ["GarageCond", "PoolQC"]
AREAS = ["LotArea", "MasVnrArea", "BsmtFinSF1", "BsmtFinSF2", "BsmtUnfSF", "TotalBsmtSF", "1stFlrSF", "2ndFlrSF"]
AREAS += ["LowQualFinSF", "GrLivArea", "GarageArea", "WoodDeckSF", "OpenPorchSF", "EnclosedPorch", "3SsnPorch"]
AREAS += ["ScreenPorch", "PoolArea", "MiscVal", "LotFrontage"]
NUMERIC = [*AREAS, *GRADED, "OverallQual", "OverallCond", "YearBuilt", "YearRemodAdd", "GarageYrBlt", "GarageCars"]
NUMERIC += ["BsmtFullBath", "BsmtHalfBath", "FullBath", "HalfBath", "BedroomAbvGr", "KitchenAbvGr", "TotRmsAbvGrd"]
NUMERIC += ["Fireplaces", "MoSold", "YrSold", "area", "baths", "age", "since_remodeling", "quality_area"]
CATEGORICAL = ["MSSubClass", "MSZoning", "Street", "Alley", "LotShape", "LandContour", "Utilities", "LotConfig"]
CATEGORICAL += ["LandSlope", "Neighborhood", "Condition1", "Condition2", "BldgType", "HouseStyle", "RoofStyle"]
CATEGORICAL += ["RoofMatl", "Exterior1st", "Exterior2nd", "MasVnrType", "Foundation", "BsmtExposure", "BsmtFinType1"]
CATEGORICAL += ["BsmtFinType2", "Heating", "CentralAir", "Electrical", "Functional", "GarageType", "GarageFinish"]
CATEGORICAL += ["PavedDrive", "Fence", "MiscFeature", "SaleType", "SaleCondition"]


def row_features(rows: DataFrame) -> DataFrame:
    """Add the features of a single row: logarithms of areas, grades as numbers, sums of areas and baths, ages."""
    area = rows["TotalBsmtSF"].fillna(0) + rows["1stFlrSF"] + rows["2ndFlrSF"]
    return rows.assign(
        **{name: np.log1p(rows[name]) for name in AREAS},
        **{name: rows[name].map(GRADES).fillna(0) for name in GRADED},
        area=np.log1p(area),
        baths=rows[["FullBath", "BsmtFullBath"]].sum(axis=1) + rows[["HalfBath", "BsmtHalfBath"]].sum(axis=1) / 2,
        age=rows["YrSold"] - rows["YearBuilt"],
        since_remodeling=rows["YrSold"] - rows["YearRemodAdd"],
        quality_area=rows["OverallQual"] * np.log1p(area),
    )


def features(params: object, seed: int) -> FunctionTransformer:
    """Build the transformer that adds all features; none of them is fitted."""
    return FunctionTransformer(row_features)


def estimator(params: tabular.TabularParams, seed: int) -> Pipeline:
    """Build the pipeline: features, preprocessing, regressor."""
    return make_pipeline(
        features(params, seed), tabular.preprocess(NUMERIC, CATEGORICAL), tabular.regressor(params, seed)
    )


COLUMNS = {"numeric": NUMERIC, "categorical": CATEGORICAL, "features": features}
RECIPES = {
    "tabular": tabular.recipe(tabular.TabularParams, estimator, target=TARGET, kind="regression"),
    "boosting": boosting.recipe(TARGET, "regression", **COLUMNS),
    "tabular_network": tabular_network.recipe(value=TARGET, **COLUMNS),
}
