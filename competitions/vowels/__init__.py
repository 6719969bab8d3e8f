"""Speaker recognition from one Japanese vowel: 640 utterances of nine speakers, each 7 to 29 frames long."""

from __future__ import annotations

from competitions.vowels import data
from competitions.vowels.recipes import RECIPES
from competitions.vowels.submission import METRIC, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.metrics import f1, log_loss

COMPETITION = Competition(
    slug="vowels",
    metric=METRIC,
    also=(f1("speaker", classes=data.SPEAKERS), log_loss("speaker", classes=data.SPEAKERS)),
    targets=("speaker",),
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
)
