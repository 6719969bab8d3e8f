"""The segmenter on volumes: a slice is seen with the slices before and after it, and with no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from error_codes import raises_code
from pandas import DataFrame
from torch import nn

from goldfold.competition import Plan, Runtime
from goldfold.data import time_folds
from goldfold.recipes import segmenter
from goldfold.recipes.segmentation import inputs
from goldfold.recipes.segmentation.inputs import SliceColumns

SMALL = {"image_size": 64, "crop": 32, "batch_size": 4, "pretrained": False, "decoder_channels": (16, 16, 8, 8, 8)}
COLUMNS = SliceColumns("patient", "number")


def masks(rows: DataFrame) -> Iterator[np.ndarray]:
    return (np.tri(64, dtype=np.int32) for _ in rows["id"])


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """Two volumes of four slices in shuffled order; slice n of the first is 10 n bright, of the second 100 + 10 n."""
    folder = tmp_path_factory.mktemp("slices")
    table = []
    for patient, dark in (("a", 0), ("b", 100)):
        for number in range(4):
            path = folder / f"{patient}{number}.png"
            cv2.imwrite(str(path), np.full((64, 64), dark + 10 * number, np.uint8))
            table.append((path.stem, path, patient, number))
    return DataFrame(table, columns=["id", "path", *COLUMNS]).sample(frac=1, random_state=1, ignore_index=True)


def plan(rows: DataFrame, tmp_path: Path, **params: object) -> Plan:
    recipe = segmenter.recipe(masks, volume="patient", slice_="number", **SMALL)
    return recipe.build(recipe.params(**params), rows, Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path))


def channels(rows: DataFrame, neighbors: int) -> dict[str, list[str]]:
    ids = rows["id"].to_numpy()
    return {id_: ids[own].tolist() for id_, own in zip(ids, inputs.beside(rows, COLUMNS, neighbors), strict=True)}


def test_neighbors_are_slices_of_the_same_volume_and_ends_stand_in_for_what_is_missing(rows: DataFrame) -> None:
    found = channels(rows, 1)
    assert found["a1"] == ["a0", "a1", "a2"]
    assert found["a0"] == ["a0", "a0", "a1"]
    assert found["a3"] == ["a2", "a3", "a3"]
    assert found["b0"] == ["b0", "b0", "b1"]
    assert channels(rows, 2)["b1"] == ["b0", "b0", "b1", "b2", "b3"]
    without = rows[rows["id"] != "a2"].reset_index(drop=True)  # as between blocks of two folds
    assert channels(without, 2)["a1"] == ["a0", "a0", "a1", "a1", "a3"]


@pytest.mark.parametrize("neighbors", [1, 2])
@pytest.mark.parametrize("memory", [4.0, 0.0])
def test_training_sees_neighbors_as_channels(rows: DataFrame, tmp_path: Path, neighbors: int, memory: float) -> None:
    stage = plan(rows, tmp_path, neighbors=neighbors, memory=memory).stages[0]
    expected = channels(rows, neighbors)
    bright = {id_: int(cv2.imread(str(path))[0, 0, 0]) for id_, path in zip(rows["id"], rows["path"], strict=True)}
    seen = [each for pixels, _ in stage.batches(0) for each in pixels[:, 0, 0].tolist()]
    assert sorted(seen) == sorted([bright[id_] for id_ in own] for own in expected.values())


def test_a_network_of_five_channels_trains_and_predicts(rows: DataFrame, tmp_path: Path) -> None:
    made = plan(rows, tmp_path, neighbors=2, augmentation="light")
    stage = made.stages[0]
    loss = sum(stage.losses(made.model, next(iter(stage.batches(0)))).values())
    assert torch.isfinite(loss)
    with torch.inference_mode():
        assert made.predict(made.model.eval(), None, rows).shape == (8, 64, 64)


@pytest.mark.parametrize("changes", [{}, {"image_size": 128, "tiles": 64}, {"fit": "letterbox"}])
def test_predictions_see_the_slices_before_and_after(rows: DataFrame, tmp_path: Path, changes: dict) -> None:
    made, pick = plan(rows, tmp_path, neighbors=1, **changes), nn.Conv2d(3, 1, 1, bias=False).requires_grad_(False)
    for channel, alike in [(0, {"a0": "a1", "b0": "b1"}), (2, {"a2": "a3", "b2": "b3"})]:
        pick.weight[:] = 0
        pick.weight[0, channel] = 1
        found = dict(zip(rows["id"], made.predict(pick, None, rows)[:, 5, 7].tolist(), strict=True))
        assert all(found[one] == found[other] for one, other in alike.items())  # an end stands in
        assert len(set(found.values())) == 6
        assert found["a1"] < found["a2"] < found["b1"] < found["b2"]


def test_folds_in_blocks_leave_no_neighbor_of_a_validation_slice_in_training() -> None:
    volume, number = np.repeat(["a", "b"], 24), np.tile(np.arange(24), 2)
    blocks = time_folds.blocks(volume, number, 6)
    for fold in time_folds.folds(volume, number, blocks, 4, 2, seed=0):
        for row in fold.validation:
            near = (volume[fold.train] == volume[row]) & (np.abs(number[fold.train] - number[row]) <= 2)
            assert not near.any()


def test_rows_that_name_no_slices_are_refused(rows: DataFrame) -> None:
    recipe = segmenter.recipe(masks, volume="patient", slice_="number", **SMALL)
    params = recipe.params(neighbors=1)
    with raises_code("unknown_column", "number", "test rows"):
        recipe.check(params, rows, rows.drop(columns="number"))
    with raises_code("slice_invalid", "number", "train rows"):
        recipe.check(params, rows.assign(number=0.5), rows)
    recipe.check(recipe.params(), rows, rows.drop(columns="number"))
