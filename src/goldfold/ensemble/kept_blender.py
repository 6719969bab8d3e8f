"""The blender of a finished blend, to predict test rows again with the runs it is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pandas import DataFrame

from goldfold.competition import Competition
from goldfold.ensemble.members import alike, read_ids, read_predictions
from goldfold.ensemble.methods import METHODS, WEIGHTED, Blender, BlendTask, weighted_blender
from goldfold.ensemble.weight_search import Objective
from goldfold.experiment.run_folders import BLEND
from goldfold.io.files import read_json


def member_folders(run: Path) -> list[Path]:
    """The folders of the runs that the blend in the folder `run` is made of, in the order of its weights."""
    return [run.parent / name for name in read_json(run / BLEND, dict)["runs"]]


def has_weights(run: Path) -> bool:
    """Whether a blend is a weighted mean; if not, `kept_blender` reads the runs' out-of-fold predictions."""
    return read_json(run / BLEND, dict)["method"] in WEIGHTED


def kept_blender(competition: Competition, train: DataFrame, run: Path) -> Blender:
    """The blender of a blend's test predictions: its kept weights, or its method learned again without weights.

    train: the train table, with the targets.
    """
    facts = read_json(run / BLEND, dict)
    method = facts["method"]
    if has_weights(run):
        return weighted_blender(np.array(facts["methods"][method]["weights"]["all"]))
    folders = member_folders(run)
    scored = train["id"].astype(str).isin(read_ids(folders[0] / "oof_ids.csv")["id"])
    rows = train[scored].reset_index(drop=True)
    oof = alike([read_predictions(folder, "oof", rows["id"].astype(str).tolist()) for folder in folders])
    task = BlendTask(competition.metric, competition.targets, rows, oof, Objective(competition.metric, rows, oof))
    return METHODS[method].learn(task, np.arange(len(rows)))
