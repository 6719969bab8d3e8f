"""The Dice that a size of predictions allows: thin membranes are reported, coarse shapes and large sizes are not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from goldfold import metrics
from goldfold.metrics.masks.ceiling import dice_by_size
from goldfold.recipes import segmenter
from goldfold.trust.audits import mask_sizes

SIDE = 256


@cache
def membranes(seed: int, side: int = SIDE) -> np.ndarray:
    """Walls of two to three pixels between cells."""
    centers = np.random.default_rng(seed).random((40, 2)) * side
    rows, columns = np.indices((side, side))
    far = np.sort(np.hypot(rows[..., None] - centers[:, 0], columns[..., None] - centers[:, 1]), axis=2)
    return (far[..., 1] - far[..., 0] < 2.5).astype(np.uint8)


def cells(seed: int) -> np.ndarray:
    """Large discs."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for row, column in np.random.default_rng(seed).integers(40, 216, (3, 2)).tolist():
        cv2.circle(mask, (column, row), 30, 1, -1)
    return mask


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    folder, found = tmp_path_factory.mktemp("masks"), {}
    makers = {
        "gray": lambda seed: 90 + 90 * cells(seed),
        "thin": membranes,
        "coarse": cells,
        "classes": lambda seed: cells(seed) + 2 * membranes(seed) * (1 - cells(seed)),
    }
    for kind, make in makers.items():
        paths = [folder / f"{kind}{seed}.png" for seed in range(6)]
        for seed, path in enumerate(paths):
            cv2.imwrite(str(path), make(seed))
        found[kind] = pd.DataFrame({"id": range(6), "mask_path": paths})
    return found


def test_the_ceiling_is_the_dice_of_resized_truth(tables: dict) -> None:
    maps = [membranes(seed) for seed in range(3)]
    rows, truth = pd.DataFrame({"id": range(3)}), lambda rows: (maps[i] for i in rows["id"])
    soft = np.stack([cv2.resize(each.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA) for each in maps])
    dice = metrics.dice(truth).options.per_row
    better = np.maximum(dice(rows, soft), dice(rows, (soft > 0.5).astype(np.float32)))
    found = dice_by_size(maps, (64, SIDE), 1)
    assert found[:, 0] == pytest.approx([better.mean(), 1.0], abs=1e-12)
    assert 0.5 < found[0, 0] < 0.9


def test_absent_classes_have_no_ceiling_and_void_pixels_do_not_count() -> None:
    stripes = np.indices((64, 64))[1] % 2
    found = dice_by_size([stripes, np.where(stripes, 255, 0)], (64, 32), 3)
    assert found[0].tolist() == pytest.approx([1, 1, np.nan], nan_ok=True)
    # the second image has class 0 alone; at half the size the first class of two equal ones takes all
    assert found[1].tolist() == pytest.approx([(2 / 3 + 1) / 2, 0, np.nan], nan_ok=True)


def test_thin_masks_at_a_small_size_are_reported_with_larger_sizes(tables: dict) -> None:
    check = mask_sizes.ceiling(tables["thin"], (1, 64))
    (found,) = check.findings
    told = [dice_by_size([membranes(seed) for seed in range(6)], (side,), 1)[0, 0] for side in (64, 128, 256)]
    assert (found.code, found.level) == ("mask_size_ceiling", "warning")
    assert f"64 x 64 pixels cannot exceed a mean Dice of {told[0]:.4f} on 6 masks" in found.message
    assert f"128 x 128 allows {told[1]:.4f}, 256 x 256 allows 1" in found.message


def test_the_class_that_is_bounded_most_is_named(tables: dict) -> None:
    (found,) = mask_sizes.ceiling(tables["classes"], (3, 64)).findings
    assert "of class 2" in found.message


@pytest.mark.parametrize(("kind", "shape"), [("coarse", (1, 64)), ("thin", (1, SIDE)), ("classes", (3, SIDE))])
def test_sizes_that_suffice_are_silent(tables: dict, kind: str, shape: tuple[int, int]) -> None:
    check = mask_sizes.ceiling(tables[kind], shape)
    assert check.what.endswith("6 of 6 masks")
    assert not check.findings


def test_what_cannot_be_looked_at_is_said(tables: dict, tmp_path: Path) -> None:
    for rows, shape, why in (
        (tables["thin"][["id"]], (1, 64), "no `mask_path`"),
        (tables["thin"], None, "no square masks"),
        (tables["thin"].assign(mask_path=tmp_path / "absent.png"), (1, 64), "no mask"),
        (tables["thin"].assign(mask_path=None), (1, 64), "no mask"),
        (tables["gray"], (3, 64), "no class indices"),
    ):
        check = mask_sizes.ceiling(rows, shape)
        assert why in check.skipped
        assert not check.findings


def test_size_and_classes_are_those_of_the_recipe() -> None:
    recipe = segmenter.recipe(lambda rows: [])
    assert mask_sizes.predicted(recipe, recipe.params(image_size=64, crop=64), None) == (1, 64)


def test_many_large_masks_cost_little(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.tile(membranes(0), (8, 8)))
    rows = pd.DataFrame({"id": range(400), "mask_path": [path] * 400})
    read = list(mask_sizes._sample(rows, 9 << 22))
    assert len(read) == 9
    small = rows.assign(mask_path=tmp_path / "small.png")
    cv2.imwrite(str(tmp_path / "small.png"), membranes(0, 32))
    assert len(list(mask_sizes._sample(small, 9 << 22))) == mask_sizes.MOST_MASKS
