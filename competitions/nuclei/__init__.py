"""Data Science Bowl 2018: instance segmentation of cell nuclei in microscope images."""

from __future__ import annotations

from competitions.nuclei.data import load, masks, prepare, split
from competitions.nuclei.recipes import DECISION, RECIPES, objects
from competitions.nuclei.submission import SUBMISSION, grade
from goldfold import metrics
from goldfold.competition import Competition

COMPETITION = Competition(
    slug="data-science-bowl-2018",
    metric=metrics.dsb2018_map(truth=masks, instances=objects, decision=DECISION),
    also=(metrics.dice(truth=masks), metrics.iou(truth=masks)),
    targets=("mask_path",),
    prepare=prepare,
    load=load,
    split=split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
    sample_data="nuclei_dsb2018",
)
