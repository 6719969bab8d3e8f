"""Submission of one row of run lengths per nucleus, from probability maps; grading by Kaggle's metric."""

from __future__ import annotations

import cv2
import numpy as np
from pandas import DataFrame

from competitions.nuclei.data import COLUMNS
from competitions.nuclei.recipes import objects
from goldfold import metrics
from goldfold.competition import Submission
from goldfold.submission import checks as submission_checks
from goldfold.submission import rle


def write(test: DataFrame, probabilities: np.ndarray) -> DataFrame:
    """Write one row per nucleus at the image's own size; an image without nuclei has one row without run lengths.

    probabilities: maps, or the (n,) maps of nuclei that a config's `decide:` makes of them.
    """
    rows = []
    for id_, height, width, own in zip(test["id"], test["height"], test["width"], probabilities, strict=True):
        found = own if own.dtype.kind in "iu" else objects(_resized(own, width, height))
        rows += [(id_, code) for code in rle.encode_instances(found) or [""]]
    return DataFrame(rows, columns=COLUMNS)


def _resized(probability: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(probability.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def sizes(test: DataFrame) -> dict[str, tuple[int, int]]:
    """Return id -> (height, width)."""
    ids, heights, widths = (test[name].tolist() for name in ("id", "height", "width"))
    return dict(zip(ids, zip(heights, widths, strict=True), strict=True))


def grade(submission: DataFrame, solution: DataFrame) -> float:
    """Return Kaggle's score: the mean over images of the average precision at IoU 0.5 to 0.95."""
    found = submission.groupby("ImageId")["EncodedPixels"].agg(list)
    scores = []
    for id_, nuclei in solution.groupby("ImageId"):
        size = int(nuclei["Height"].iloc[0]), int(nuclei["Width"].iloc[0])
        maps = (rle.decode_instances(codes, *size) for codes in (nuclei["EncodedPixels"].tolist(), found[id_]))
        scores.append(metrics.instance_average_precision(*maps))
    return float(np.mean(scores))


SUBMISSION = Submission(
    write=write,
    checks={"EncodedPixels": submission_checks.run_lengths(sizes)},
    many_per_id=True,
    may_be_empty=("EncodedPixels",),  # an image without a nucleus
)
