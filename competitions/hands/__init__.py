"""Re-identification of persons by photographs of their hands: 11k Hands, with the protocol of published studies."""

from __future__ import annotations

from competitions.hands import data
from competitions.hands.recipes import RECIPES
from competitions.hands.submission import ALSO, METRIC, SUBMISSION, grade
from goldfold.competition import Competition
from goldfold.data.rules import no_mirroring_unless

COMPETITION = Competition(
    slug="hands",
    metric=METRIC,
    also=ALSO,
    targets=data.TARGETS,
    group="person",
    prepare=data.prepare,
    load=data.load,
    split=data.split,
    recipes=RECIPES,
    submission=SUBMISSION,
    grade=grade,
    rules=(no_mirroring_unless(data.SIDES_MERGED),),
    private_images=True,  # hands identify people
    sample_data="hands_11k",
)
