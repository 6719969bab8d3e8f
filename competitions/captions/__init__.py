"""Which of 80 categories an image of COCO shows, from the image and its captions."""

from __future__ import annotations

from competitions.captions import data, recipes, submission
from goldfold import metrics
from goldfold.competition import Competition

COMPETITION = Competition(
    slug="captions",
    metric=submission.METRIC,
    also=(
        metrics.multilabel_auroc(data.LABELS),
        metrics.multilabel_f1(data.LABELS),
        metrics.hamming_loss(data.LABELS),
        metrics.label_ranking_average_precision(data.LABELS),
    ),
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    other_splits={"k_fold": data.study_split},
    recipes=recipes.RECIPES,
    submission=submission.SUBMISSION,
    targets=data.LABELS,
    grade=submission.grade,
)
