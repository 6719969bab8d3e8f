"""The library of patches finds a planted defect, says where it is, and learns from normal rows alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from goldfold.competition import Runtime
from goldfold.errors import GoldfoldError
from goldfold.recipes import patch_library

SIDE = 64
RECIPE = patch_library.recipe("defect", normal=0, image_size=SIDE, library=200)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """30 pieces of one striped cloth, of which the last 6 have a hole at a known place."""
    folder = tmp_path_factory.mktemp("布")
    draw = np.random.default_rng(0)
    made = []
    for number in range(30):
        stripes = 120 + 60 * np.sin(np.arange(SIDE) / 3 + draw.uniform(0, 6))[None, :, None]
        cloth = np.clip(stripes + draw.normal(0, 12, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        defect, (top, left) = int(number >= 24), draw.integers(8, 40, 2)
        if defect:
            cloth[top : top + 16, left : left + 16] = 10
        path = folder / f"{number}.png"
        cv2.imencode(".png", cloth)[1].tofile(path)
        made.append((f"块{number}", path, defect, top, left))
    return pd.DataFrame(made, columns=["id", "path", "defect", "top", "left"])


def predictions(rows: pd.DataFrame, shown: pd.DataFrame, cache: Path, **changes) -> np.ndarray:
    params = RECIPE.params(**changes)
    plan = RECIPE.build(params, rows, Runtime(seed=1, device=torch.device("cpu"), cache=cache))
    with torch.no_grad():
        return plan.predict(plan.model, plan.finish(plan.model), shown.drop(columns="defect"))


def test_defects_score_higher_and_lie_where_the_map_says(rows, tmp_path):
    known = rows[:16]
    found = predictions(known, rows[16:], tmp_path)
    whole, holed = found["score"][:8], found["score"][8:]
    assert whole.max() < holed.min()
    assert found["map"].shape == (14, SIDE // 8, SIDE // 8)
    for row, scores in zip(rows[24:].itertuples(), found["map"][8:], strict=True):
        y, x = np.unravel_index(scores.argmax(), scores.shape)
        assert row.top - 8 <= 8 * y < row.top + 16
        assert row.left - 8 <= 8 * x < row.left + 16


def test_defective_training_rows_change_nothing(rows, tmp_path):
    alone = predictions(rows[:16], rows[16:], tmp_path)
    together = predictions(pd.concat([rows[:16], rows[27:]]), rows[16:], tmp_path)
    assert np.array_equal(alone["score"], together["score"])


def test_the_whole_library_knows_its_own_images(rows, tmp_path):
    found = predictions(rows[:4], rows[:4], tmp_path, library=10_000)
    assert found["score"] == pytest.approx(0, abs=0.05)  # the library is kept as float16 until it is drawn from
    assert predictions(rows[:4], rows[4:8], tmp_path, library=10_000)["score"].min() > 1


def test_one_vector_per_image_has_no_map(rows, tmp_path):
    found = predictions(rows[:16], rows[16:], tmp_path, unit="image")
    assert found.dtype.names == ("score",)
    assert found["score"][:8].max() < found["score"][8:].min()


def test_without_a_normal_image_or_a_map_it_says_so(rows, tmp_path):
    with pytest.raises(GoldfoldError, match="of 6 training rows none has 0 in 'defect'"):
        predictions(rows[24:], rows, tmp_path)
    with pytest.raises(GoldfoldError, match="maps at strides 2, 4, 8, 16, 32, not 6"):
        predictions(rows, rows, tmp_path, strides=(6,))
