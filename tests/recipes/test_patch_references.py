"""Images beside their reference: drawn boards with small shifts and spots, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from made_boards import SIDE, rows, save
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from goldfold.competition import Runtime
from goldfold.images import reading
from goldfold.recipes import patch_library
from goldfold.recipes.patches import references
from goldfold.trust.audits import unaligned_references

DEFAULTS = {"backbone": "test_resnet", "pretrained": False, "image_size": SIDE, "strides": (4, 8), "library": 200}
RECIPE = patch_library.recipe("defect", normal=0, **DEFAULTS)


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return rows(tmp_path_factory.mktemp("платы"))


def predicted(shown: pd.DataFrame, cache: Path, known: pd.DataFrame | None = None, **changes) -> np.ndarray:
    known = shown if known is None else known
    runtime = Runtime(seed=0, device=torch.device("cpu"), cache=cache)
    plan = RECIPE.build(RECIPE.params(**changes), known[known["defect"] == 0][::2], runtime)
    with torch.inference_mode():
        return plan.predict(None, plan.finish(None), shown.drop(columns="defect"))


WAYS = [{"reference": "pixels"}, {"reference": "patches"}, {"reference": "pixels", "fusion": "product"}]


@pytest.mark.parametrize("changes", WAYS)
def test_spots_of_five_pixels_are_found_and_placed_on_boards_that_are_shifted(boards, tmp_path, changes):
    found, truth = predicted(boards, tmp_path, **changes), boards["defect"].to_numpy()
    assert found.dtype.names == ("score", "map", "aligned")
    assert (found["aligned"] == 1).all()
    auroc = roc_auc_score(truth, found["score"])
    assert auroc > 0.95
    side, right = found["map"].shape[1], 0
    for row, values in zip(boards[truth == 1].itertuples(), found["map"][truth == 1], strict=True):
        y, x = (np.array(np.unravel_index(values.argmax(), values.shape)) + 0.5) * SIDE / side
        right += abs(x - row.x) < 8 and abs(y - row.y) < 8
    assert right >= 7  # of 8
    unmoved = predicted(boards, tmp_path, **changes, alignment="none")
    assert unmoved.dtype.names == ("score", "map")
    assert roc_auc_score(truth, unmoved["score"]) < auroc - 0.1
    assert roc_auc_score(truth, predicted(boards, tmp_path)["score"]) < auroc - 0.15


def test_the_product_is_the_geometric_mean_of_both(boards, tmp_path):
    library, pixels, both = (predicted(boards[-4:], tmp_path, known=boards, **each) for each in ({}, WAYS[0], WAYS[2]))
    for name in ("score", "map"):
        np.testing.assert_allclose(both[name], np.sqrt(library[name] * pixels[name]), rtol=1e-5)


def test_an_equal_image_differs_nowhere_and_views_change_nothing_of_that(boards, tmp_path):
    same = boards[:2].assign(path=boards["reference_path"][:2])
    for changes in (WAYS[0], WAYS[1], {**WAYS[1], "views": "mirrored"}):
        assert predicted(same, tmp_path, known=boards, **changes)["score"] == pytest.approx(0, abs=0.05)


def test_an_image_that_cannot_be_aligned_is_compared_as_it_is_and_told(boards, tmp_path):
    others = boards.assign(reference_path=boards["reference_path"].to_numpy()[::-1])
    found = predicted(others, tmp_path, reference="pixels")
    assert (found["aligned"] == 0).all()
    unmoved = predicted(others, tmp_path, reference="pixels", alignment="none")
    np.testing.assert_array_equal(found["map"], unmoved["map"])
    (told,) = unaligned_references(found["aligned"], others["id"], "test")
    assert (told.code, told.level) == ("unaligned_references", "warning")
    assert "18 of 18 test images" in told.message
    assert "'板0-0'" in told.message
    assert unaligned_references(np.ones(18), others["id"], "test") == []


def refused(code: str, train: pd.DataFrame, *facts: object, test: pd.DataFrame | None = None) -> None:
    with raises_code(code, *facts):
        references.check(RECIPE.params(reference="pixels"), train, train if test is None else test)


def test_rows_without_a_usable_reference_are_refused(boards, tmp_path):
    references.check(RECIPE.params(reference="pixels"), boards, boards)
    references.check(RECIPE.params(), boards.drop(columns="reference_path"), boards)
    refused("no_reference_column", boards.drop(columns="reference_path"), "reference=none")
    without = boards.drop(columns="reference_path")
    refused("no_reference_column", boards, "the test table", test=without)
    for nothing in (np.nan, None, "nirgends.png", 7):
        broken = boards.astype({"reference_path": object}).copy()
        broken.loc[3, "reference_path"] = nothing
        refused("reference_missing", broken, "1 of 18 rows of the train table", "'板0-3'", str(nothing))
    copy = save(tmp_path / "copie.png", reading.read(boards["path"][5]))
    refused("reference_is_image", boards.assign(reference_path=boards["path"]), "'板0-0'", "itself")
    refused("reference_is_image", boards[5:6].assign(reference_path=copy), "'板0-5'", "copie.png")
    small = save(tmp_path / "klein.png", cv2.resize(reading.read(boards["reference_path"][0]), (64, 32)))
    refused("reference_size_differs", boards[:1].assign(reference_path=small), "64 x 32", f"{SIDE} x {SIDE}")


def test_options_that_need_the_library_alone_are_refused():
    for changes in ({"contrast": True}, {"pseudo": "cutpaste_scar"}):
        with pytest.raises(ValidationError, match="leave both out with a reference"):
            RECIPE.params(reference="pixels", **changes)


def test_a_library_per_class_compares_with_references_as_well(boards, tmp_path):
    known = boards.assign(board=boards["board"].astype(str))
    recipe = patch_library.recipe("defect", class_="board", **DEFAULTS)
    params = recipe.params(libraries="per_class", reference="pixels")
    plan = recipe.build(params, known, Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path))
    with torch.inference_mode():
        found = plan.predict(None, plan.finish(None), known.drop(columns=["defect", "board"]))
    np.testing.assert_array_equal(found["score"], predicted(known, tmp_path, reference="pixels")["score"])
    assert found.dtype.names == ("score", "map", "aligned", "routed")
