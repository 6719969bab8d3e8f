"""How positive or negative 4,200 tweets are, by the mean rating of people who read them."""

from __future__ import annotations

from competitions.tweets.data import TARGET, load, prepare, split
from competitions.tweets.recipes import RECIPES
from competitions.tweets.submission import METRIC, SUBMISSION, grade
from goldfold.competition import Competition

COMPETITION = Competition(
    slug="tweets",
    metric=METRIC,
    targets=(TARGET,),
    group="wording",
    prepare=prepare,
    load=load,
    split=split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
)
