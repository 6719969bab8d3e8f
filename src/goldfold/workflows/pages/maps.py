"""Write the anomaly map of every image of a run at the image's size, with boxes of what exceeds a threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.data import csv_tables
from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment import run_results
from goldfold.experiment.identity import intact
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_bytes, write_json, write_text
from goldfold.io.formatting import count, digits
from goldfold.report.anomaly import full_maps, heat_maps
from goldfold.report.anomaly.defect_kinds import truth_of
from goldfold.report.plotting import markdown, photographs

Side = Literal["test", "oof"]

ALARMS = 0.05  # share of normal images with a blob at the threshold


@dataclass(frozen=True, kw_only=True)
class Maps:
    """The maps of one side of a run; the same as files in `folder`.

    blobs: a row per region at or above the threshold, the highest peak first: id, x, y, width, height, area (pixels of
    the image), peak (value of the map), peak_x, peak_y. images: a row per image, the highest score first: id, score,
    blobs (number), map, overlay (files).
    threshold: in units of the map. limits: the values of 0 and 65,535 in the 16-bit maps.
    """

    run: str
    folder: Path
    blobs: DataFrame
    images: DataFrame
    threshold: float
    limits: tuple[float, float]

    @property
    def text(self) -> str:
        low, high = map(digits, self.limits)
        marked = int((self.images["blobs"] > 0).sum())
        return "\n".join(
            [
                f"{self.run}  {count(len(self.images), 'map')}, {marked:,} of them with a region at or above the "
                f"threshold {digits(self.threshold)}",
                f"{self.folder / 'blobs.csv'}: {count(len(self.blobs), 'region')}, box, area and peak of each",
                f"{self.folder / 'images.csv'}: score and files of each image",
                f"{self.folder / 'overlays'}: colors over the image, white outline at the threshold",
                f"{self.folder / 'maps'}: 16-bit PNG, 0 is {low} and 65,535 is {high}, the same in all",
            ]
        )

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)


def maps(
    workspace: Workspace,
    run: Path,
    *,
    side: Side = "test",
    ids: Sequence[str] = (),
    threshold: float | None = None,
) -> Maps:
    """Write the maps of the test images, or of the out-of-fold ones, into the run's folder; nothing is predicted again.

    ids: images to write; all by default. threshold: in units of the map; by default the value that the maps of 5 % of
    the normal out-of-fold images reach somewhere, or of all images where the first target is not 0 and 1.

    Raises:
        GoldfoldError: the run predicts no maps, its images are private, an id is unknown, or an image cannot be read.
    """
    if side not in ("test", "oof"):
        raise unknown("side of a run", str(side), ("test", "oof"), code="unknown_side")
    intact.refuse_damaged(run)
    competition, tables = workspace.competition(run.parent.name), workspace.load(run.parent.name)
    if competition.private_images:
        raise GoldfoldError(
            "private_images",
            f"the images of '{run.parent.name}' are private, so neither they nor their maps are written: read "
            "run.oof.values['map'] in Python instead",
        )
    parts: list[tuple[Side, DataFrame]] = [("oof", tables.train), ("test", tables.test)]
    every = {each: _rows(run, each, table) for each, table in parts}
    found = {
        each: heat_maps.Detected(rows=rows, predictions=values, targets=competition.targets)
        for each, (rows, values) in every.items()
    }
    limit = _threshold(found["oof"]) if threshold is None else threshold
    both = [each.predictions["map"] for each in found.values()]
    limits = float(min(each.min() for each in both)), float(max(each.max() for each in both))
    chosen, folder = found[side], run / f"maps-{side}"
    positions = _chosen(chosen.rows, ids, side)
    with closing(workspace.observer):
        lines = list(_written(workspace, chosen, positions, folder, (limits, found["oof"].range, limit)))
    blobs = full_maps.table([(id_, blob) for id_, _, regions in lines for blob in regions])
    images = DataFrame([{**image, "blobs": len(regions)} for _, image, regions in lines])
    images = images[["id", "score", "blobs", "map", "overlay"]].sort_values("score", ascending=False, ignore_index=True)
    for name, table in (("blobs.csv", blobs), ("images.csv", images)):
        write_text(folder / name, csv_tables.to_text(table))
    write_json(folder / "scale.json", {"low": limits[0], "high": limits[1], "threshold": limit})
    return Maps(run=run_name(run), folder=folder, blobs=blobs, images=images, threshold=limit, limits=limits)


def _rows(run: Path, side: Side, table: DataFrame) -> tuple[DataFrame, np.ndarray]:
    """The rows of the table that a side of the run predicted, in its order, and their predictions."""
    predicted = run_results.predictions(run, side)
    if isinstance(predicted, DataFrame) or not heat_maps.has_maps(predicted.values):
        raise GoldfoldError(
            "no_anomaly_maps",
            f"run '{run_name(run)}' predicts no anomaly maps: train `patch_library` with unit=patch, or `autoencoder`",
        )
    ids = table["id"].astype(str)
    positions = pd.Index(ids).get_indexer(predicted.ids.astype(str))
    if (positions < 0).any():
        raise GoldfoldError(
            "run_inputs_changed",
            f"row {str(predicted.ids[positions < 0][0])!r} of run '{run_name(run)}' is no longer in the "
            f"{'train' if side == 'oof' else 'test'} table: train anew",
        )
    return table.iloc[positions].reset_index(drop=True), predicted.values


def _threshold(scored: heat_maps.Detected) -> float:
    """The value that the maps of 5 % of the normal images reach somewhere."""
    truth = truth_of(scored.rows, scored.targets)
    normal = np.ones(len(scored.rows), bool) if truth is None or truth.all() else truth == 0
    return full_maps.threshold_of(scored.predictions["map"][normal], ALARMS)


def _chosen(rows: DataFrame, ids: Sequence[str], side: Side) -> list[int]:
    if not ids:
        return list(range(len(rows)))
    places = {str(each): place for place, each in enumerate(rows["id"])}
    for each in ids:
        if str(each) not in places:
            raise unknown(f"id among the {side} images of this run", str(each), places, code="unknown_id")
    return list(dict.fromkeys(places[str(each)] for each in ids))


def _written(
    workspace: Workspace,
    found: heat_maps.Detected,
    positions: Sequence[int],
    folder: Path,
    scale: tuple[tuple[float, float], tuple[float, float], float],
) -> Iterator[tuple[str, dict[str, object], list[dict[str, float]]]]:
    """Write both pictures of each row; yields its id, its line and its regions. scale: limits, colors, threshold."""
    limits, colors, threshold = scale
    names = full_maps.file_names([str(each) for each in found.rows["id"]])
    for done, at in enumerate(positions, 1):
        row = found.rows.iloc[at]
        id_, image = str(row["id"]), photographs.read(row["path"], str(row["id"]), private=found.private)
        values = full_maps.at_size(found.predictions["map"][at], image.shape[:2])
        truth = full_maps.truth_of_mask(row.get("mask_path"), row["path"])
        files = {"map": Path("maps", f"{names[at]}.png"), "overlay": Path("overlays", f"{names[at]}.png")}
        write_bytes(folder / files["map"], full_maps.sixteen_bit(values, limits))
        write_bytes(folder / files["overlay"], full_maps.overlay(image, values, colors, threshold, truth))
        line = {"id": id_, "score": float(found.predictions["score"][at])}
        yield id_, line | {name: path.as_posix() for name, path in files.items()}, full_maps.blobs(values, threshold)
        workspace.observer.work("maps", done, len(positions))
