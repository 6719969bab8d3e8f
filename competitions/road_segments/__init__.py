"""Semantic segmentation of road scenes: one of eleven classes for every pixel of CamVid's frames."""

from __future__ import annotations

from competitions.road_segments import data
from competitions.road_segments.recipes import RECIPES
from competitions.road_segments.submission import SUBMISSION, grade
from goldfold import metrics
from goldfold.competition import Competition

COMPETITION = Competition(
    slug="road-segments",
    metric=metrics.mean_iou(data.masks, data.CLASSES, void=data.VOID),
    also=(
        metrics.mean_dice(data.masks, data.CLASSES, void=data.VOID),
        metrics.mean_iou_per_image(data.masks, data.CLASSES, void=data.VOID),
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
