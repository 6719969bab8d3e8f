"""Anomaly detection on industrial products, trained on normal images only, without any test labels (a homework)."""

from __future__ import annotations

from competitions.industrial_defects import data
from competitions.industrial_defects.recipes import RECIPES
from competitions.industrial_defects.submission import SUBMISSION
from goldfold.competition import Competition
from goldfold.data.rules import ONE_MODEL
from goldfold.metrics import pseudo_auroc

COMPETITION = Competition(
    slug="industrial-defects",
    metric=pseudo_auroc("defect"),
    targets=data.TARGETS,
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    object_class="class",
    rules=(ONE_MODEL,),
)
