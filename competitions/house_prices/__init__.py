"""House prices: predict the sale price of homes in Ames, Iowa. Kaggle's introductory regression, 1,460 rows."""

from __future__ import annotations

from competitions.house_prices.data import TARGET, load, prepare, split
from competitions.house_prices.recipes import RECIPES
from competitions.house_prices.submission import SUBMISSION
from goldfold.competition import Competition
from goldfold.metrics import rmse

COMPETITION = Competition(
    slug="house-prices-advanced-regression-techniques",
    metric=rmse(TARGET),
    targets=(TARGET,),
    prepare=prepare,
    load=load,
    split=split,
    recipes=RECIPES,
    submission=SUBMISSION,
    sample_data="kaggle_tabular/house-prices",
)
