"""Classification of your own windows of features in two classes, such as skeletons or sensors over time."""

from __future__ import annotations

from competitions.windows import data
from competitions.windows.recipes import RECIPES
from competitions.windows.submission import METRIC, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.metrics import accuracy, auroc

COMPETITION = Competition(
    slug="windows",
    metric=METRIC,
    also=(auroc("label"), accuracy("label")),
    targets=data.TARGETS,
    group="group",
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
)
