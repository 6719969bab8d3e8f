"""Image retrieval on classes that were not in training: your own folders, or 1,000 MNIST digits."""

from __future__ import annotations

from competitions.lookalikes import data
from competitions.lookalikes.recipes import RECIPES
from competitions.lookalikes.submission import METRIC, PROTOCOL, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.metrics import retrieval

COMPETITION = Competition(
    slug="lookalikes",
    metric=METRIC,
    also=(
        retrieval.mean_average_precision(data.pairs, protocol=PROTOCOL),
        retrieval.r_precision(data.pairs, protocol=PROTOCOL),
        retrieval.hit_at(data.pairs, 1, protocol=PROTOCOL),
    ),
    targets=data.TARGETS,
    group="label",
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
)
