"""Submission of run lengths per class and image; grading by mean IoU over all pixels that have a class."""

from __future__ import annotations

import cv2
import numpy as np
from pandas import DataFrame

from competitions.road_segments.data import CLASSES, COLUMNS
from goldfold.competition import Submission
from goldfold.images import reading
from goldfold.submission import checks as submission_checks
from goldfold.submission import rle


def write(test: DataFrame, probabilities: np.ndarray) -> DataFrame:
    """Write a row per image and class at the image's own size: the pixels where the class is the most probable one."""
    rows = []
    for id_, path, maps in zip(test["id"], test["path"], probabilities, strict=True):
        height, width = reading.size(path)
        whole = [cv2.resize(each.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) for each in maps]
        labels = np.argmax(whole, axis=0)
        rows += [(id_, number, rle.encode(labels == number)) for number in range(len(CLASSES))]
    return DataFrame(rows, columns=COLUMNS)


def sizes(test: DataFrame) -> dict[str, tuple[int, int]]:
    """Return id -> (height, width)."""
    return dict(zip(test["id"], map(reading.size, test["path"]), strict=True))


def grade(submission: DataFrame, solution: DataFrame) -> float:
    """Return the mean over classes of IoU, with the pixels of all images added up; absent classes are skipped."""
    found = submission.astype({"ClassId": int}).set_index(["ImageId", "ClassId"])["EncodedPixels"].to_dict()
    overlap, union = np.zeros((2, len(CLASSES)), np.int64)
    for id_, rows in solution.astype({"ClassId": int}).groupby("ImageId"):
        size = int(rows["Height"].iloc[0]), int(rows["Width"].iloc[0])
        numbers = rows["ClassId"].tolist()
        truth = [rle.decode(text, *size) for text in rows["EncodedPixels"]]
        counted = np.any(truth, axis=0)  # void pixels are in no class
        for number, true in zip(numbers, truth, strict=True):
            guess = rle.decode(found[id_, number], *size) & counted
            overlap[number] += np.count_nonzero(true & guess)
            union[number] += np.count_nonzero(true | guess)
    return float(np.mean(overlap[union > 0] / union[union > 0]))


SUBMISSION = Submission(
    write=write,
    checks={"EncodedPixels": submission_checks.run_lengths(sizes)},
    keys=("ImageId", "ClassId"),
    may_be_empty=("EncodedPixels",),  # an image without a pixel of the class
)
