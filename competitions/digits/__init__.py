"""Handwritten digit classification on 5,000 MNIST images of 28 x 28 pixels: the tutorial competition."""

from __future__ import annotations

from competitions.digits import data
from competitions.digits.recipes import RECIPES
from competitions.digits.submission import METRIC, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.metrics import log_loss

COMPETITION = Competition(
    slug="digits",
    metric=METRIC,
    also=(log_loss("label", classes=data.DIGITS),),
    targets=("label",),
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
)
