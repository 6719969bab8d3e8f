"""Posters: which genres a film has, from its poster."""

from competitions.posters.data import GENRES, load, prepare, split
from competitions.posters.recipes import RECIPES
from competitions.posters.submission import METRIC, SUBMISSION, grade

from goldfold.competition import Competition
from goldfold.metrics import hamming_loss, label_ranking_average_precision, multilabel_auroc, multilabel_f1

COMPETITION = Competition(
    slug="posters",
    metric=METRIC,
    also=[each(GENRES) for each in (multilabel_auroc, multilabel_f1, hamming_loss, label_ranking_average_precision)],
    targets=GENRES,
    prepare=prepare,
    load=load,
    split=split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
)
