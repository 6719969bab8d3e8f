"""cells: which solar cells are defective? The first photographs of the package elpv-dataset, a fifth of them hidden."""

import os
import shutil
from pathlib import Path

import elpv_dataset
import numpy as np
import pandas as pd

from goldfold import metrics
from goldfold.competition import Competition, Submission
from goldfold.data import self_hosting
from goldfold.data.folds import stratified
from goldfold.recipes import frozen_backbone, image_classifier

IMAGES, LABELS = int(os.environ["CELLS"]), int(os.environ.get("LABELS", "0"))


def prepare(raw, public, private):
    package = Path(elpv_dataset.__file__).parent / "data"
    cells = pd.read_csv(package / "labels.csv", sep=r"\s+", names=["path", "probability", "type"])
    cells = cells.sample(IMAGES, random_state=0, ignore_index=True)
    cells = pd.DataFrame({"id": cells["path"].str[7:15], "path": cells["path"], "defect": cells["probability"] > 0.5})
    (public / "images").mkdir()
    for path in cells["path"]:
        shutil.copyfile(package / path, public / path)
    cells["defect"] = cells["defect"].astype(int)
    hidden = np.arange(LABELS or IMAGES - IMAGES // 5, IMAGES)
    self_hosting.write(cells, hidden, ["defect"], {"defect": 0.5}, public, private)


METRIC = metrics.auroc(target="defect")
COMPETITION = Competition(
    slug="cells",
    metric=METRIC,
    targets=("defect",),
    prepare=prepare,
    load=self_hosting.read,
    split=lambda train, seed: stratified(train["defect"], folds=5, seed=seed),
    recipes={
        "head": frozen_backbone.recipe("defect", (0, 1)),
        "finetune": image_classifier.recipe("defect", (0, 1), augmentation="none"),
    },
    submission=Submission(write=lambda test, values: pd.DataFrame({"id": test["id"], "defect": values})),
    grade=lambda submission, solution: METRIC.score(solution, submission["defect"].to_numpy()),
)
