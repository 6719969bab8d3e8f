"""Defect detection in electroluminescence photographs of solar cells, 300 x 300 pixels."""

from __future__ import annotations

from competitions.solar_cells import data
from competitions.solar_cells.recipes import RECIPES
from competitions.solar_cells.submission import METRIC, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.metrics import auroc, average_precision, pseudo_auroc, routing_accuracy

COMPETITION = Competition(
    slug="solar-cells",
    metric=METRIC,
    also=(
        auroc("probability", classes=(0.0, 1.0), other_classes="leave_out"),
        average_precision("defect"),
        pseudo_auroc("probability", normal=0.0),
        routing_accuracy("type"),
    ),
    targets=data.TARGETS,
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
)
