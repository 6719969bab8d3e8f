"""Titanic: predict which passengers survived. Kaggle's introductory competition, a table of 891 rows."""

from __future__ import annotations

from competitions.titanic.data import load, prepare, split
from competitions.titanic.recipes import RECIPES
from competitions.titanic.submission import SUBMISSION
from goldfold.competition import Competition
from goldfold.metrics import accuracy, auroc, log_loss

COMPETITION = Competition(
    slug="titanic",
    metric=accuracy("Survived"),
    also=(auroc("Survived"), log_loss("Survived")),
    targets=("Survived",),
    prepare=prepare,
    load=load,
    split=split,
    recipes=RECIPES,
    submission=SUBMISSION,
    sample_data="kaggle_tabular/titanic",
)
