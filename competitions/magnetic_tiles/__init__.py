"""Anomaly detection on magnetic tiles, trained on tiles without defects, with masks for localization."""

from __future__ import annotations

from competitions.magnetic_tiles import data
from competitions.magnetic_tiles.recipes import RECIPES
from competitions.magnetic_tiles.submission import METRIC, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.metrics import aupro, f1_at_first_jump, f1_at_quantile, f1_best, pixel_auroc, pseudo_auroc

COMPETITION = Competition(
    slug="magnetic-tiles",
    metric=METRIC,
    also=(
        pixel_auroc(data.masks),
        aupro(data.masks),
        f1_at_quantile("defect"),
        f1_at_first_jump("defect"),
        f1_best("defect"),
        pseudo_auroc("defect"),
    ),
    targets=data.TARGETS,
    group="tile",
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
    sample_data="magnetic_tile",
)
