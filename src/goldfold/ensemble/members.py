"""Read the runs of a blend: check that they can be blended, and align their predictions by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goldfold.competition import Competition, Fold, Tables
from goldfold.data import fields, fold_tables, tables
from goldfold.ensemble.blending import Members, align
from goldfold.errors import GoldfoldError
from goldfold.experiment.run_folders import IMPORTED, run_name
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_array, read_json
from goldfold.trust.audits import Finding, merge_places
from goldfold.trust.comparisons import comparable_metrics

OF_SCORES = (
    "worse_than_chance",
    "at_chance",
    "tiny_sample",
    "proxy_validation",
    "blend_no_better",
    "decision_no_gain",
    "decision_flatters",
)
DRAWS = ("seed", "folds", "select")  # keys of a config that decide which rows a score is of


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Runs that can be blended.

    name: of the competition's folder. metrics, configs, reproduce: each run's JSON. drawn: folds.csv's text.
    findings: of the runs, with their names, without those about their scores.
    """

    name: str
    members: Members
    tables: Tables
    folds: Sequence[Fold]
    drawn: str
    data_hash: str
    metrics: Sequence[Mapping[str, Any]]
    configs: Sequence[Mapping[str, Any]]
    reproduce: Sequence[Mapping[str, Any]]
    findings: list[Finding]


def gathered(workspace: Workspace, folders: Sequence[Path], fewest: int = 2) -> Gathered:
    """Read finished runs, and refuse those that cannot be blended.

    fewest: number of runs.

    Raises:
        GoldfoldError: fewer than two runs, one twice, or runs of different competitions, data, folds, protocols or
            kinds of predictions; a run that breaks a rule, or whose folds' predictions share no scale.
    """
    _refuse_unlike(folders, fewest)
    name, names = folders[0].parent.name, [folder.name for folder in folders]
    metrics, configs, reproduce = (
        [read_json(folder / f"{file}.json") for folder in folders] for file in ("metrics", "config", "reproduce")
    )
    drawn = [(folder / "folds.csv").read_text(encoding="utf-8") for folder in folders]
    findings = _findings(folders)
    _refuse_unpooled(names, metrics)
    _refuse_incomparable(name, names, metrics, configs, drawn)
    numbers = _scored_folds(names, metrics)
    competition, data = workspace.competition(name), workspace.load(name)
    contents = data_hash(competition, data)
    _refuse_other_data(names, [each.get("data_hash") for each in reproduce], contents)
    folds = fold_tables.folds_from_table(read_ids(folders[0] / "folds.csv"), data.train["id"])
    members = _members(competition, data, folders, {number: folds[number].validation for number in numbers})
    return Gathered(
        name=name,
        members=members,
        tables=data,
        folds=folds,
        drawn=drawn[0],
        data_hash=contents,
        metrics=metrics,
        configs=configs,
        reproduce=reproduce,
        findings=findings,
    )


def _refuse_unlike(folders: Sequence[Path], fewest: int) -> None:
    names = [run_name(folder) for folder in folders]
    if len(set(names)) < max(fewest, len(names)):
        raise GoldfoldError(
            "too_few_runs", f"a blend needs two or more different runs, got {', '.join(names)}: see make list"
        )
    if len({folder.parent for folder in folders}) > 1:
        raise GoldfoldError(
            "several_competitions",
            f"a blend needs runs of one competition, got {', '.join(names)}: leave the others out",
        )


def _findings(folders: Sequence[Path]) -> list[Finding]:
    """The findings of the runs; refuses a run that breaks a rule."""
    found = []
    for folder in folders:
        for each in read_json(folder / "findings.json"):
            if each["code"] == "rule_broken":
                raise GoldfoldError(
                    "rule_broken",
                    f"{folder.name} breaks a rule ({each['message']}), and so would a blend: leave it out",
                )
            if each["code"] not in OF_SCORES:
                found.append(Finding(**{**each, "where": f"{folder.name}, {each['where']}"}))
    return merge_places(found)


def _refuse_unpooled(names: Sequence[str], metrics: Sequence[Mapping[str, Any]]) -> None:
    for name, own in zip(names, metrics, strict=True):
        if "pooled" not in next(iter(own.values())):
            raise GoldfoldError(
                "predictions_not_pooled",
                f"{name} predicts in a space of its own for each fold, as embeddings do, so no weights can be learned "
                "over folds: blend runs of a recipe whose predictions share a scale",
            )


def _refuse_incomparable(
    name: str,
    names: Sequence[str],
    metrics: Sequence[Mapping[str, Any]],
    configs: Sequence[Mapping[str, Any]],
    drawn: Sequence[str],
) -> None:
    """Refuse runs that cannot be compared, with the command that makes them comparable."""
    for own in range(1, len(names)):
        try:
            comparable_metrics(
                [names[0], names[own]], [metrics[0], metrics[own]], [drawn[0], drawn[own]], may_differ=("seeds",)
            )
        except GoldfoldError as error:
            raise GoldfoldError(error.code, f"{error}{_command(name, configs[own], configs[0])}") from error


def _scored_folds(names: Sequence[str], metrics: Sequence[Mapping[str, Any]]) -> list[int]:
    numbers = [int(number) for number in next(iter(metrics[0].values()))["folds"]]
    if len(numbers) < 2:
        raise GoldfoldError(
            "too_few_folds",
            f"the weights for a fold are learned on other folds, and {', '.join(names)} have fold {numbers[0]} alone: "
            "train them with two or more folds",
        )
    return numbers


def _command(name: str, config: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """How to train a run of `config` on the folds of `wanted`; empty if their configs agree, and for blends."""
    unlike = [key for key in DRAWS if key in config and key in wanted and config[key] != wanted[key]]
    if not unlike or "runs" in config:
        return ""
    values = " ".join(f"{key}={_written(wanted[key])}" for key in unlike)
    return f', as make train COMP={name} CONFIG={config["config"]} SET="{values}" does'


def _written(value: Any) -> str:
    """A value as one word of SET."""
    if value is None:
        return "null"
    return str(value).replace(" ", "")


def data_hash(competition: Competition, data: Tables) -> str:
    """The hash of the data as it is prepared now, which a run records."""
    contents = (tables.content_hashes(rows, competition.targets) for rows in (data.train, data.test))
    return tables.data_hash(data, *contents)


def _refuse_other_data(names: Sequence[str], hashes: Sequence[str | None], now: str) -> None:
    for name, own in zip(names, hashes, strict=True):
        if own != now:
            raise GoldfoldError(
                "other_data", f"{name} was trained on other data than what is prepared now: train it again"
            )


def _members(
    competition: Competition, data: Tables, folders: Sequence[Path], scored: Mapping[int, np.ndarray]
) -> Members:
    """The predictions of all runs in the order of the train and the test table."""
    fold = np.full(len(data.train), -1)
    for number, positions in scored.items():
        fold[positions] = number
    rows = data.train[fold >= 0].reset_index(drop=True)
    arrays = {
        side: alike([read_predictions(folder, side, ids.astype(str).tolist()) for folder in folders])
        for side, ids in (("oof", rows["id"]), ("test", data.test["id"]))
    }
    names = [folder.name for folder in folders]
    _refuse_other_kinds(names, arrays["oof"])
    return Members(competition=competition, names=names, rows=rows, fold=fold[fold >= 0], **arrays)


def read_predictions(folder: Path, side: str, wanted: Sequence[str]) -> np.ndarray:
    """The `oof` or `test` predictions of a run, in the order of the ids `wanted`."""
    path = folder / f"{side}.npy"
    if (folder / IMPORTED).exists() and not path.exists():
        raise GoldfoldError(
            "no_test_predictions",
            f"run '{run_name(folder)}' was imported with a submission ready to be sent, which tells no predictions to "
            "blend: import it with TEST=... of predictions",
        )
    return align(read_array(path), read_ids(folder / f"{side}_ids.csv")["id"].tolist(), wanted, str(path))


def alike(predictions: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The scores alone if some runs predict records with a score and others only a score; else all as they are."""
    scores = [fields.field(each, "score") for each in predictions if "score" in (each.dtype.names or ("score",))]
    if len({each.dtype for each in predictions}) > 1 and len(scores) == len(predictions):
        return scores
    return list(predictions)


def read_ids(path: Path) -> pd.DataFrame:
    """A table with a column `id` as text: `NA` is an id like any other, `007` keeps its zeros."""
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")


def _refuse_other_kinds(names: Sequence[str], oof: Sequence[np.ndarray]) -> None:
    kinds = [kind_of(each) for each in oof]
    for at, own in enumerate(oof[1:], 1):
        if kinds[at] != kinds[0]:
            raise GoldfoldError(
                "other_kind_of_predictions",
                f"{names[at]} predicts {kinds[at]} and {names[0]} {kinds[0]}: blend runs that predict the same",
            )
        for before in range(at):
            if all(map(np.array_equal, fields.parts(own), fields.parts(oof[before]))):
                raise GoldfoldError(
                    "equal_predictions",
                    f"{names[at]} predicts exactly what {names[before]} does: leave one of them out",
                )


def kind_of(predictions: np.ndarray) -> str:
    """Shape and kind of predictions in words, whatever their precision."""
    names = predictions.dtype.names
    if names:
        return "records of " + ", ".join(f"{name} {kind_of(predictions[name])}" for name in names)
    kind = {"f": "floats", "i": "integers", "u": "integers", "b": "booleans", "U": "text"}.get(predictions.dtype.kind)
    return f"{kind or predictions.dtype} ({', '.join(['n', *map(str, predictions.shape[1:])])})"
