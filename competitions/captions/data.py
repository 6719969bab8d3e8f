"""COCO with captions: Karpathy's train and val images to train on, and his test images with hidden labels."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import folds, self_hosting
from goldfold.data.label_sets import indicator_columns
from goldfold.data.layouts import coco

TRAIN, TEST = ("train", "val"), "test"  # parts of Karpathy's split; "restval", 30,504 images, is in neither, see README
FOLDS = 5
LABELS = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # numbers without a category
CATEGORIES = dict(zip((number for number in range(1, 91) if number not in UNUSED), LABELS, strict=True))


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Join captions, categories and images, and hide the labels of the test images."""
    images = coco.karpathy(raw / "dataset_coco.json")
    images = images[images["part"].isin((*TRAIN, TEST))].reset_index(drop=True)
    annotations = {name: raw / "annotations" / f"instances_{name}.json" for name in images["folder"].unique()}
    shown = coco.label_sets(images, annotations, CATEGORIES)
    paths = images["folder"] + "/" + images["file"]
    coco.check_images(raw, paths.tolist())
    rows = pd.DataFrame(
        {
            "id": images["id"],
            "path": "images/" + images["file"],
            "caption": images["captions"].str[0],
            "captions": images["captions"].str.join(" "),
        }
    )
    (public / "images").mkdir()
    for source, path in zip(paths, rows["path"], strict=True):
        _place(raw / source, public / path)
    self_hosting.write(
        rows.join(indicator_columns(shown, LABELS)),
        (images["part"] == TEST).to_numpy().nonzero()[0],
        targets=LABELS,
        sample=dict.fromkeys(LABELS, 0.5),
        public=public,
        private=private,
    )


def _place(source: Path, target: Path) -> None:
    """Link the file, since the images take 19 GB; copy it where the file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def load(public: Path) -> Tables:
    """Load both tables: id, path, caption (the first), captions (all in one text); train also has the `LABELS`."""
    return self_hosting.read(public, text=["caption", "captions"])


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds, stratified over all labels but those with fewer than five images."""
    labels = train[list(LABELS)]
    rare = labels.columns[labels.sum() < FOLDS]
    return folds.multilabel_stratified(labels, FOLDS, seed, leave_out=rare)


def study_split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw the study's folds: scikit-learn's KFold over the rows in their order; it had the seed 42."""
    return folds.k_fold(train, FOLDS, seed)
