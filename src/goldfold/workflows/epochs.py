"""`epochs`: the atlas of a run, what every kept epoch made of chosen images and which epoch each rule would choose."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame

from goldfold.cli.progress import Bar
from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment import run_folders as runs
from goldfold.experiment import saved_epochs, workspace
from goldfold.experiment.fits import Experiment, fit_folder
from goldfold.experiment.saved_epochs import EpochOutput
from goldfold.experiment.setup import again, code_changed
from goldfold.images import reading as images
from goldfold.io.files import read_json, write_bytes, write_text
from goldfold.report.epochs import atlas, contact_sheet, curves
from goldfold.report.epochs import tables as epoch_tables
from goldfold.report.plotting.row_labels import labels
from goldfold.workflows.conclude import note
from goldfold.workflows.train import device_of

SHOWN = 12
SIDE = 192  # pixels of an image as the atlas shows it


def run(arguments: Namespace) -> None:
    started = time.perf_counter()
    run = runs.find_run(workspace.RUNS, arguments.run)
    shown = arguments.fold, arguments.images
    folder, told = draw(run, *shown, arguments.device, arguments.quiet, arguments.accept)
    print(f"{told}\n\natlas {folder}: {len(list(folder.iterdir()))} files in {time.perf_counter() - started:.1f} s")


def draw(
    run: Path,
    fold: int | None,
    ids: Sequence[str] | None,
    device: str | None,
    quiet: bool = False,
    accept: Sequence[str] = (),
) -> tuple[Path, str]:
    """Write the atlas of one fit below the run's folder; returns its folder, and which epochs the rules choose.

    Raises:
        GoldfoldError: the run kept no weights, has no such fold or image, or its code or data has changed since.
    """
    histories = _histories(run)
    fold, seed = _fit(histories, fold)
    kept = saved_epochs.all_checkpoints(fit_folder(run, fold, seed))
    found = again(run, device_of(device), accept)
    experiment = found.experiment
    metric = experiment.competition.metric
    probes = _probes(experiment, fold, ids)
    bar, looks = Bar(1, metric.name, quiet), []
    for look in saved_epochs.epoch_outputs(experiment, run, fold, seed, probes):
        looks.append(look)
        bar.work("epochs", len(looks), len(kept))
    bar.close()
    folder = run / f"epochs-fold{fold}-seed{seed}"
    history = histories[fold, seed]
    scored = experiment.tables.train.iloc[experiment.folds[fold].validation].reset_index(drop=True)
    _draw(experiment, folder, probes, looks, history, float(metric.chance(scored)))
    told = epoch_tables.rules(metric, saved_epochs.rule_costs(list(histories.values()), metric.higher_is_better))
    scores = epoch_tables.by_image(looks, list(probes["id"]))
    if len(scores):
        write_text(folder / "scores.csv", scores.to_csv(index=False))
    table = epoch_tables.by_epoch(history)
    write_text(folder / "epochs.csv", table.to_csv(index=False))
    title = runs.run_name(run)
    write_text(folder / "epochs.md", epoch_tables.page(title, told, fold, table, scores) + "\n")
    note(run, code_changed(found.code_changes, folder.name))
    return folder, told


def _histories(run: Path) -> dict[tuple[int, int], saved_epochs.History]:
    """(fold, seed) -> the history of each fit that was trained."""
    fits = sorted((read_json(path) for path in run.glob("fold*-seed*/fit.json")), key=lambda fit: fit["fold"])
    found = {(fit["fold"], fit["seed"]): fit_folder(run, fit["fold"], fit["seed"]) for fit in fits}
    trained = {key: read_json(place / "history.json") for key, place in found.items()}
    if not any(trained.values()):
        raise GoldfoldError(f"run '{runs.run_name(run)}' trained nothing by epochs: nothing to look at")
    return trained


def _fit(histories: Mapping[tuple[int, int], Any], fold: int | None) -> tuple[int, int]:
    folds = {number for number, _ in histories}
    if fold is not None and fold not in folds:
        raise unknown("fold in this run", str(fold), map(str, sorted(folds)))
    return next(key for key in histories if fold in (None, key[0]))


def _probes(experiment: Experiment, fold: int, ids: Sequence[str] | None) -> DataFrame:
    """The rows with these ids, else twelve of the scored fold, as many of each answer as there are."""
    train = experiment.tables.train
    if ids:
        known = dict(zip(train["id"].astype(str), train.index, strict=True))
        absent = [each for each in ids if each not in known]
        if absent:
            raise unknown("id in the train table", absent[0], known)
        return train.loc[[known[each] for each in ids]].reset_index(drop=True)
    scored = train.iloc[experiment.folds[fold].validation]
    answers = scored[experiment.competition.targets[0]]
    drawn = scored.iloc[np.random.default_rng(0).permutation(len(scored))]
    turn = drawn.groupby(answers.reindex(drawn.index).astype(str)).cumcount()
    shown = drawn.loc[turn.sort_values(kind="stable").index[:SHOWN]]
    return shown.sort_values(experiment.competition.targets[0], kind="stable").reset_index(drop=True)


def _draw(
    experiment: Experiment,
    folder: Path,
    rows: DataFrame,
    looks: Sequence[EpochOutput],
    history: saved_epochs.History,
    chance: float,
) -> None:
    """Curves over epochs; where there are images to show also a page per epoch and the contact sheet.

    Epochs are numbered through all stages; where there are several each is called by its stage and its number there.
    rows: the images shown; chance: of the whole fold, whose scores the curves are.
    """
    metric, targets = experiment.competition.metric, experiment.competition.targets
    places = {(row["stage"], row["epoch"]): place for place, row in enumerate(history, 1)}
    rules = saved_epochs.epochs_by_rule(history, metric.higher_is_better)
    chosen = {rule: places[row["stage"], row["epoch"]] for rule, row in rules.items()}
    names = _names(history)
    table, scores = epoch_tables.numbered(history), list(history[-1]["scores"])
    write_bytes(
        folder / "by_epoch.png",
        curves.by_epoch(table, scores, chosen, chance, metric.name, names),
    )
    if "path" not in rows or not looks[0].pictures:
        return
    answers = rows[targets[0]]
    probes = atlas.Probes(
        ids=[str(each) for each in rows["id"]],
        labels=labels(rows, targets[:1] if metric.retrieval else targets),
        images=np.stack([images.resize(images.read(path), SIDE) for path in rows["path"]]) / 255,
        anomalous=(answers > 0).tolist() if answers.dtype.kind in "biuf" and answers.between(0, 1).all() else None,
    )
    at = [places[look.row["stage"], look.row["epoch"]] for look in looks]
    shown = [_epoch(look, place, names.get(place, "")) for look, place in zip(looks, at, strict=True)]
    ranges = atlas.heat_ranges(epoch.pictures for epoch in shown)
    for look, epoch in zip(looks, shown, strict=True):
        name = f"epoch_{look.row['epoch']:03d}.png"
        file = folder / (f"{look.row['stage']}_{name}" if names else name)
        write_bytes(file, atlas.epoch_page(probes, epoch, ranges, chosen))
    write_bytes(folder / "contact_sheet.png", contact_sheet.contact_sheet(probes, shown, ranges, chosen))


def _names(history: saved_epochs.History) -> dict[int, str]:
    """What each epoch is called where there are several stages; nothing where its number says it."""
    if len({row["stage"] for row in history}) == 1:
        return {}
    return {place: f"{row['stage']} {row['epoch']}" for place, row in enumerate(history, 1)}


def _epoch(look: EpochOutput, place: int, title: str) -> atlas.Epoch:
    predictions, monitored = look.predictions, look.row["monitored"]
    names = [name for name in predictions.dtype.names or () if predictions.dtype[name].kind == "f"]
    ranking = {name: each["value"] for name, each in monitored.items() if each["higher_is_better"] is not None}
    return atlas.Epoch(
        number=place,
        name=title,
        pictures=look.pictures,
        scores={name: predictions[name] for name in names if predictions[name].ndim == 1},
        facts={**look.row["scores"], **ranking},
        alarms=[each["alarm"] for each in monitored.values() if each["alarm"]],
    )
