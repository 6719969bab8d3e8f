"""Draw the epoch atlas of a run: what every kept epoch made of some rows, and which epoch each rule would choose."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment import saved_epochs as kept_epochs
from goldfold.experiment.fits import Experiment, fit_folder
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.saved_epochs import EpochOutput, RuleCost
from goldfold.experiment.setup import rebuild
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json, write_text
from goldfold.report.epochs import tables
from goldfold.report.epochs.draw import draw
from goldfold.training.devices import choose_device
from goldfold.training.state import History
from goldfold.trust.audits.code import code_changed
from goldfold.workflows.conclude import add_findings

SHOWN = 12  # rows that are shown where none are named


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """The epoch atlas of one fit; its pages and tables are files in `folder`.

    rules: which epoch each rule would choose over all fits, as a Markdown table with its explanation.
    costs: the same as a DataFrame: select, epochs (one per fit), metric, cost.
    by_epoch: a row per scored epoch: epoch, loss, scores, monitored values and alarms.
    by_image: every score of every shown row in every kept epoch: epoch, score, a column per id; empty if the run
    predicts no scores per row.
    seconds: that it took to draw.
    """

    run: str
    fold: int
    seed: int
    folder: Path
    rules: str
    costs: DataFrame
    by_epoch: DataFrame
    by_image: DataFrame
    seconds: float

    @property
    def pictures(self) -> list[Path]:
        """Curves, a page for each epoch and the contact sheet; rows without images have curves alone."""
        return sorted(self.folder.glob("*.png"))

    @property
    def text(self) -> str:
        files = len(list(self.folder.iterdir()))
        where = f"atlas of fold {self.fold} seed {self.seed} in {self.folder}"
        return f"{self.rules}\n\n{where}: {files} files in {self.seconds:.1f} s"

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def epochs(
    workspace: Workspace,
    run: Path,
    *,
    fold: int | None = None,
    seed: int | None = None,
    ids: Sequence[str] = (),
    device: str | None = None,
    accept: Sequence[str] = (),
) -> Atlas:
    """Write the atlas of one fit below the run's folder; nothing is trained.

    fold, seed: whose epochs are shown; the lowest numbers by default. ids: rows to show; twelve of the fold by
    default.

    Raises:
        GoldfoldError: the run kept no weights, has no such fold, seed or id, or its code or data has changed since.
    """
    started = time.perf_counter()
    histories = _histories(run)
    fold, seed = _fit(histories, fold, seed)
    kept = kept_epochs.all_checkpoints(fit_folder(run, fold, seed))
    found = rebuild(workspace, run, choose_device(device), accept)
    rows = _shown(found.experiment, fold, [str(each) for each in ids])
    looks: list[EpochOutput] = []
    with closing(workspace.observer):
        for look in kept_epochs.epoch_outputs(found.experiment, run, fold, seed, rows):
            looks.append(look)
            workspace.observer.work("epochs", len(looks), len(kept))
    folder = run / f"epochs-fold{fold}-seed{seed}"
    competition, history = found.experiment.competition, histories[fold, seed]
    draw(competition, folder, rows, looks, history, _chance(found.experiment, fold))
    costs = kept_epochs.rule_costs(list(histories.values()), competition.metric.higher_is_better)
    atlas = Atlas(
        run=run_name(run),
        fold=fold,
        seed=seed,
        folder=folder,
        rules=tables.rules(competition.metric, costs),
        costs=DataFrame([asdict(cost) for cost in costs], columns=list(RuleCost.__dataclass_fields__)),
        by_epoch=tables.by_epoch(history),
        by_image=tables.by_image(looks, list(rows["id"])),
        seconds=time.perf_counter() - started,
    )
    _write(atlas)
    add_findings(workspace, run, code_changed(found.code_changes, folder.name))
    return atlas


def _write(atlas: Atlas) -> None:
    """Write the tables as CSV and Markdown."""
    if len(atlas.by_image):
        write_text(atlas.folder / "scores.csv", atlas.by_image.to_csv(index=False))
    write_text(atlas.folder / "epochs.csv", atlas.by_epoch.to_csv(index=False))
    page = tables.page(atlas.run, atlas.rules, (atlas.fold, atlas.seed), atlas.by_epoch, atlas.by_image)
    write_text(atlas.folder / "epochs.md", page + "\n")


def _histories(run: Path) -> dict[tuple[int, int], History]:
    """(fold, seed) -> the history of each fit, in the order of both numbers."""
    fits = [read_json(path) for path in run.glob("fold*-seed*/fit.json")]
    keys = sorted((fit["fold"], fit["seed"]) for fit in fits)
    trained = {key: read_json(fit_folder(run, *key) / "history.json") for key in keys}
    if not any(trained.values()):
        raise GoldfoldError("no_epochs", f"run '{run_name(run)}' trained nothing by epochs: there is none to show")
    return trained


def _fit(histories: Mapping[tuple[int, int], Any], fold: int | None, seed: int | None) -> tuple[int, int]:
    """The first fit of a fold and a seed, each any if it is None."""
    folds, seeds = ({key[part] for key in histories} for part in (0, 1))
    if fold is not None and fold not in folds:
        raise unknown("fold in this run", str(fold), map(str, folds), code="unknown_fold")
    if seed is not None and seed not in seeds:
        raise unknown("seed in this run", str(seed), map(str, seeds), code="unknown_seed")
    return next(key for key in histories if fold in (None, key[0]) and seed in (None, key[1]))


def _chance(experiment: Experiment, fold: int) -> float:
    """The chance level of the metric on the rows a fold validates on."""
    scored = experiment.tables.train.iloc[experiment.folds[fold].validation].reset_index(drop=True)
    return float(experiment.competition.metric.chance(scored))


def _shown(experiment: Experiment, fold: int, ids: Sequence[str]) -> DataFrame:
    """The rows with these ids, else twelve that the fold validates on, as many of each answer as there are."""
    train = experiment.tables.train
    if ids:
        known = dict(zip(train["id"].astype(str), train.index, strict=True))
        absent = [each for each in ids if each not in known]
        if absent:
            raise unknown("id in the train table", absent[0], known, code="unknown_id")
        return train.loc[[known[each] for each in ids]].reset_index(drop=True)
    scored = train.iloc[experiment.folds[fold].validation]
    answers = scored[experiment.competition.targets[0]]
    drawn = scored.iloc[np.random.default_rng(0).permutation(len(scored))]
    turn = drawn.groupby(answers.reindex(drawn.index).astype(str)).cumcount()
    shown = drawn.loc[turn.sort_values(kind="stable").index[:SHOWN]]
    return shown.sort_values(experiment.competition.targets[0], kind="stable").reset_index(drop=True)
