"""Recognition of finger motions: 16 positions of a finger tip in time, from the landmarks of a webcam's hand."""

from __future__ import annotations

from competitions.hand_gestures import data
from competitions.hand_gestures.recipes import RECIPES
from competitions.hand_gestures.submission import METRIC, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.metrics import f1, log_loss

COMPETITION = Competition(
    slug="hand-gestures",
    metric=METRIC,
    also=(f1("motion", classes=data.MOTIONS), log_loss("motion", classes=data.MOTIONS)),
    targets=data.TARGETS,
    group="block",
    neighbors=data.NEIGHBORS,
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
    sample_data="hand_keypoints",
)
