"""Which things a road scene shows: several labels of a photograph, from CamVid's label maps."""

from __future__ import annotations

from competitions.road_scenes import data
from competitions.road_scenes.recipes import RECIPES
from competitions.road_scenes.submission import METRIC, SUBMISSION, grade
from goldfold import metrics
from goldfold.competition import Competition

COMPETITION = Competition(
    slug="road-scenes",
    metric=METRIC,
    also=(
        metrics.multilabel_auroc(data.LABELS),
        metrics.multilabel_f1(data.LABELS),
        metrics.hamming_loss(data.LABELS),
        metrics.label_ranking_average_precision(data.LABELS),
    ),
    targets=data.TARGETS,
    group="block",
    neighbors=data.NEIGHBORS,
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
    sample_data="camvid_240x180",
)
