"""Spoken digits: English digits in many synthetic voices and accents, scored on voices that were not trained on."""

from __future__ import annotations

from competitions.spoken_digits import data
from competitions.spoken_digits.recipes import RECIPES
from competitions.spoken_digits.submission import METRIC, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.metrics import log_loss

COMPETITION = Competition(
    slug="spoken-digits",
    metric=METRIC,
    also=(log_loss("label", classes=data.DIGITS),),
    targets=("label",),
    group="voice",
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
)
