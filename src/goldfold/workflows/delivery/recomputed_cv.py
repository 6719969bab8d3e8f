"""Recompute the CV of a run from its out-of-fold predictions, so that no edited number is submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from goldfold.competition import Competition, Metric, Tables
from goldfold.data.fold_tables import folds_from_table
from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import fit_folder
from goldfold.experiment.run_folders import BLEND, run_name
from goldfold.experiment.run_results import text_table
from goldfold.experiment.scoring import score
from goldfold.io.files import read_array, read_json

TOLERANCE = 1e-6  # of a score, relative and absolute: another machine may round otherwise


def check(competition: Competition, data: Tables, run: Path) -> Mapping[str, Any]:
    """Return the summary of the competition's metric in metrics.json if the predictions have these scores.

    data: tables of today. Fits of several seeds are scored each, as `train` does.

    Raises:
        GoldfoldError: `cv_not_repeated`, the scores are others; a file of the run is missing or damaged.
    """
    metric = competition.metric
    own = read_json(run / "metrics.json", dict).get(metric.name)
    if not isinstance(own, dict) or not isinstance(own.get("folds"), dict):
        raise GoldfoldError("file_damaged", f"{run / 'metrics.json'} has no scores of {metric.name}: train again")
    found = _scores(metric, data, run, [int(fold) for fold in own["folds"]])
    found["mean"] = float(np.mean(list(found.values())))
    told = {**own["folds"], "mean": own.get("mean")}
    wrong = [key for key, value in found.items() if not _equal(value, told[key])]
    if wrong:
        what = "the mean over folds" if wrong[0] == "mean" else f"fold {wrong[0]}"
        raise GoldfoldError(
            "cv_not_repeated",
            f"metrics.json of run '{run_name(run)}' has {metric.name} {told[wrong[0]]} for {what}, and its out-of-fold "
            f"predictions give {found[wrong[0]]:.6g}: the run, the labels or the metric were changed, so train again",
        )
    return own


def _scores(metric: Metric, data: Tables, run: Path, folds: Sequence[int]) -> dict[str, float]:
    """Fold -> its score, the mean over seeds."""
    drawn = folds_from_table(text_table(run / "folds.csv"), data.train["id"].tolist())
    seeds = [0] if (run / BLEND).exists() else read_json(run / "config.json", dict).get("seeds", [0])
    oof, ids = read_array(run / "oof.npy"), text_table(run / "oof_ids.csv")["id"].tolist()
    if len(oof) != len(ids):
        raise GoldfoldError(
            "file_damaged", f"{run / 'oof.npy'} has {len(oof):,} rows for {len(ids):,} ids: restore it, or train again"
        )
    places = {id_: place for place, id_ in enumerate(ids)}
    found = {}
    for fold in folds:
        rows = data.train.iloc[drawn[fold].validation].reset_index(drop=True)
        if len(seeds) > 1:
            parts = [read_array(fit_folder(run, fold, seed) / "validation.npy") for seed in seeds]
        else:
            parts = [oof[[places[id_] for id_ in rows["id"].astype(str)]]]
        found[str(fold)] = float(np.mean([score(metric, rows, part) for part in parts]))
    return found


def _equal(one: float, other: object) -> bool:
    return isinstance(other, (int, float)) and isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
