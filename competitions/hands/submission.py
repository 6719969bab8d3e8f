"""Submission of ranked lists of hidden photographs; Rank-k and mAP are means over ten stored query/gallery splits."""

from __future__ import annotations

from functools import partial

import numpy as np
from pandas import DataFrame

from competitions.hands import data
from goldfold.competition import Submission
from goldfold.metrics import hit_at, map_trapezoid, mean_average_precision, over_splits

DEFINITIONS = {
    "mAP (ap_standard)": mean_average_precision,
    "mAP (ap_trapezoid)": map_trapezoid,
    **{f"Rank-{k}": partial(hit_at, k=k) for k in (1, 5, 10)},
}
GALLERIES = {
    "with_distractors": (data.with_distractors, "one photograph of each identity of all aspects"),
    "plain": (data.plain, "one photograph of each identity of the query's aspect"),
    f"plain, {data.STUDIED}": (data.plain_of_studied, f"one photograph of each identity, {data.STUDIED} alone"),
}
METRIC, *ALSO = [
    over_splits(metric, pairs, data.SPLITS, name=f"{definition}, {gallery}", protocol=f"gallery of {told}")
    for gallery, (pairs, told) in GALLERIES.items()
    for definition, metric in DEFINITIONS.items()
]


def grade(submission: DataFrame, solution: DataFrame) -> float:
    """Return the mean over splits of the mAP of the submitted lists, gallery `with_distractors`."""
    splits = (data.with_distractors(solution, split) for split in range(data.SPLITS))
    return float(np.mean([data.LISTS.grade(submission, solution, pairs) for pairs in splits]))


SUBMISSION = Submission(write=data.LISTS.write, checks={data.LISTS.column: data.LISTS.check}, whole_gallery=True)
