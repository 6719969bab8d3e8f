"""Retrieval of similar frames in your own recordings: ultrasound, video or images, some frames labeled."""

from __future__ import annotations

from competitions.recordings import data
from competitions.recordings.recipes import RECIPES
from competitions.recordings.submission import METRIC, PROTOCOL, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.metrics import retrieval

COMPETITION = Competition(
    slug="recordings",
    metric=METRIC,
    also=(
        retrieval.mean_average_precision(data.pairs, protocol=PROTOCOL),
        retrieval.map_at_r(data.pairs, protocol=PROTOCOL),
        retrieval.reciprocal_rank(data.pairs, protocol=PROTOCOL),
        *(retrieval.hit_at(data.pairs, k, protocol=PROTOCOL) for k in (1, 5)),
        *(retrieval.precision_at(data.pairs, k, protocol=PROTOCOL) for k in (1, 5, 10)),
        *(retrieval.recall_at(data.pairs, k, protocol=PROTOCOL) for k in (10, 20, 50)),
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
)
