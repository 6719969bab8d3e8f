"""Write the pictures of the epoch atlas: curves over epochs, a page of images per epoch, and the contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pandas import DataFrame

from goldfold.competition import Competition
from goldfold.experiment.saved_epochs import EpochOutput, epochs_by_rule
from goldfold.io.files import write_bytes
from goldfold.report.epochs import atlas, contact_sheet, curves, tables
from goldfold.report.masks import colors
from goldfold.report.masks import page as masks
from goldfold.report.plotting import photographs
from goldfold.report.plotting.row_labels import labels
from goldfold.training.state import History

SIDE = 192  # pixels of the longer side of an image


def draw(
    competition: Competition,
    folder: Path,
    rows: DataFrame,
    looks: Sequence[EpochOutput],
    history: History,
    chance: float,
) -> None:
    """Draw curves over epochs into `folder` and, if there are images, a page per epoch and the contact sheet.

    Epochs are numbered through all stages; if there are several stages, an epoch is named by its stage and its number
    there. rows: the images shown. looks: the outputs of each saved epoch for them. history: of one fit. chance: chance
    level of the whole fold, which the curves score.
    """
    metric = competition.metric
    numbers = {(row["stage"], row["epoch"]): number for number, row in enumerate(history, 1)}
    rules = epochs_by_rule(history, metric.higher_is_better)
    chosen = {rule: numbers[row["stage"], row["epoch"]] for rule, row in rules.items()}
    names = _names(history)
    table, scores = tables.numbered(history), list(history[-1]["scores"])
    write_bytes(folder / "by_epoch.png", curves.by_epoch(table, scores, chosen, chance, metric.name, names))
    truths = masks.truths_of(competition, rows)
    masked = truths is not None and masks.are_masks(looks[0].predictions)
    if "path" not in rows or not (looks[0].pictures or masked):
        return
    probes, private = _probes(competition, rows), competition.private_images
    if masked and not private:
        classes = masks.class_names(competition, looks[0].predictions)
        probes = replace(probes, colors=colors.named(looks[0].predictions, classes))
        drawn = [masks.pictures(probes.images, rows, look.predictions, truths) for look in looks]
        probes = replace(probes, truths=drawn[0].get(masks.TRUTH))
        drawn = [{name: each[name] for name in each if name != masks.TRUTH} for each in drawn]
        looks = [replace(look, pictures={**look.pictures, **own}) for look, own in zip(looks, drawn, strict=True)]
    looks = [replace(look, pictures=photographs.shown(look.pictures, probes.ids, private=private)) for look in looks]
    shown = [_epoch(look, numbers[look.row["stage"], look.row["epoch"]], names) for look in looks]
    _draw_images(folder, probes, looks, shown, chosen)


def _draw_images(
    folder: Path,
    probes: atlas.Probes,
    looks: Sequence[EpochOutput],
    epochs: Sequence[atlas.Epoch],
    chosen: Mapping[str, int],
) -> None:
    ranges = atlas.heat_ranges(epoch.pictures for epoch in epochs)
    for look, epoch in zip(looks, epochs, strict=True):
        name = f"epoch_{look.row['epoch']:03d}.png"
        file = folder / (f"{look.row['stage']}_{name}" if epoch.name else name)
        write_bytes(file, atlas.epoch_page(probes, epoch, ranges, chosen))
    write_bytes(folder / "contact_sheet.png", contact_sheet.contact_sheet(probes, epochs, ranges, chosen))


def _probes(competition: Competition, rows: DataFrame) -> atlas.Probes:
    targets = competition.targets
    answers, ids = rows[targets[0]], [str(each) for each in rows["id"]]
    private = competition.private_images
    images = photographs.read_all(rows["path"].tolist(), ids, private=private, side=SIDE)
    defects = answers.dtype.kind in "biuf" and answers.between(0, 1).all()
    return atlas.Probes(
        ids=ids,
        labels=labels(rows, targets[:1] if competition.metric.retrieval else targets),
        images=np.stack(images) / 255,
        anomalous=(answers > 0).tolist() if defects else None,
        masks=photographs.defects(rows, private=private) if defects else None,
    )


def _names(history: History) -> dict[int, str]:
    """Number of each epoch -> its name, if there are several stages; else empty."""
    if len({row["stage"] for row in history}) == 1:
        return {}
    return {number: f"{row['stage']} {row['epoch']}" for number, row in enumerate(history, 1)}


def _epoch(look: EpochOutput, number: int, names: Mapping[int, str]) -> atlas.Epoch:
    predictions, monitored = look.predictions, look.row["monitored"]
    floats = [name for name in predictions.dtype.names or () if predictions.dtype[name].kind == "f"]
    ranking = {name: each["value"] for name, each in monitored.items() if each["higher_is_better"] is not None}
    return atlas.Epoch(
        number=number,
        name=names.get(number, ""),
        pictures=look.pictures,
        scores={name: predictions[name] for name in floats if predictions[name].ndim == 1},
        facts={**look.row["scores"], **ranking},
        alarms=[each["alarm"] for each in monitored.values() if each["alarm"]],
    )
