"""Which categories an icon belongs to, from its drawing and its search terms; several per icon."""

from __future__ import annotations

from competitions.icons import data, recipes, submission
from goldfold import metrics
from goldfold.competition import Competition
from goldfold.retrieval.pairs import by_shared_label


def sharing(rows):
    """Pairs of icons of one fold; those that share a category are relevant to each other."""
    return by_shared_label(rows[list(data.LABELS)].to_numpy())


COMPETITION = Competition(
    slug="icons",
    metric=submission.METRIC,
    also=(
        metrics.multilabel_auroc(data.LABELS),
        metrics.multilabel_f1(data.LABELS),
        metrics.hamming_loss(data.LABELS),
        metrics.label_ranking_average_precision(data.LABELS),
        metrics.hash_map(sharing, field="code"),
        metrics.hash_precision(sharing, field="code"),
        metrics.hash_map(sharing, field="code", database="training_rows"),
    ),
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    other_splits={"by_text": data.by_text},
    recipes=recipes.RECIPES,
    submission=submission.SUBMISSION,
    targets=data.LABELS,
    grade=submission.grade,
)
