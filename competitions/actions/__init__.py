"""Recognition of 20 actions from the joints of a person over time: MSR-Action3D, recorded by a depth camera."""

from __future__ import annotations

from competitions.actions import data
from competitions.actions.recipes import RECIPES
from competitions.actions.submission import METRIC, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.metrics import f1, log_loss

COMPETITION = Competition(
    slug="actions",
    metric=METRIC,
    also=(f1("action", classes=data.ACTIONS), log_loss("action", classes=data.ACTIONS)),
    targets=data.TARGETS,
    group="subject",
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    other_splits={"cross_subject": data.cross_subject},
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
    sample_data="skeleton/MSRAction3D",
)
