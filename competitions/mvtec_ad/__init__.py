"""Anomaly detection and localization with one model for all classes: MVTec AD, or data in its layout."""

from __future__ import annotations

from competitions.mvtec_ad import data
from competitions.mvtec_ad.recipes import RECIPES
from competitions.mvtec_ad.submission import METRIC, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.data.rules import ONE_MODEL
from goldfold.metrics import aupro, auroc_class_mean, pixel_auroc, pseudo_auroc, routing_accuracy

COMPETITION = Competition(
    slug="mvtec-ad",
    metric=METRIC,
    also=(
        auroc_class_mean("defect", "class"),
        pixel_auroc(data.masks),
        aupro(data.masks),
        pseudo_auroc("defect"),
        routing_accuracy("class"),
    ),
    targets=data.TARGETS,
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
    object_class="class",
    rules=(ONE_MODEL,),
)
