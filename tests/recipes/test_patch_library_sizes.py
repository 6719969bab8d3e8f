"""A patch library says which sizes it misses, with a trial of a finer one, and embeds no more images than it may."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from goldfold.anomaly.defect_sizes import SIZES
from goldfold.anomaly.patch_features import PatchBackbone
from goldfold.competition import Runtime
from goldfold.recipes import patch_library
from goldfold.recipes.patches.sizes import PASSES, _evenly_ranked, finer_params

SIDE, IMAGES = 96, 5 * 4 * PASSES  # of which a fifth are four images of each size
RECIPE = patch_library.recipe("defect", normal=0, image_size=SIDE, library=300)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """20 pieces of noisy striped cloth; the last one has a defect."""
    folder, draw, made = tmp_path_factory.mktemp("cloth"), np.random.default_rng(0), []
    for number in range(20):
        stripes = 120 + 50 * np.sin(np.arange(SIDE) / 3 + draw.uniform(0, 6))[None, :, None]
        cloth = np.clip(stripes + draw.normal(0, 15, (SIDE, SIDE, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)
        cv2.imencode(".png", cloth)[1].tofile(folder / f"{number}.png")
        made.append((str(number), folder / f"{number}.png", int(number == 19)))
    return pd.DataFrame(made, columns=["id", "path", "defect"])


def probed(rows: pd.DataFrame, cache: Path, images: int = IMAGES, **changes: Any) -> Mapping[str, Any]:
    known, held_out = rows[:12], rows[12:].reset_index(drop=True)
    runtime = Runtime(seed=1, device=torch.device("cpu"), cache=cache)
    plan = RECIPE.build(RECIPE.params(**changes), known, runtime)
    with torch.no_grad():
        library = plan.finish(None)
        predictions = plan.predict(None, library, held_out[["id", "path"]])
        return plan.probe(None, library, held_out, predictions, images)


@pytest.mark.parametrize("changes", [{}, {"normality": "gaussians"}])
def test_a_coarse_library_sees_large_spots_and_a_finer_trial_sees_smaller_ones(rows, tmp_path, changes) -> None:
    found = probed(rows, tmp_path, strides=(32,), **changes)["defect_sizes"]
    assert found["images"] == 4
    assert list(found["auroc"]) == [str(size) for size in SIZES]
    assert found["auroc"]["32"] == 1
    assert found["auroc"]["2"] < 0.7
    trial = found["trial"]
    larger = {} if "normality" in changes else {"library": 1200}
    assert trial["set"] == {"strides": (16,), **larger}
    assert trial["images"] == 8
    assert trial["finer"]["4"] >= trial["auroc"]["4"] + 0.1


def test_no_more_images_are_embedded_than_a_fifth_of_those_predicted(rows, tmp_path, monkeypatch) -> None:
    counted: list[int] = []
    forward = PatchBackbone.forward

    def counting(self: PatchBackbone, pixels: torch.Tensor) -> torch.Tensor:
        if pixels.float().std() < 70:  # uniform noise has 74: folding looks at it, not at images
            counted.append(len(pixels))
        return forward(self, pixels)

    monkeypatch.setattr(PatchBackbone, "forward", counting)
    probed(rows, tmp_path, strides=(32,))
    assert sum(counted) - len(rows) == IMAGES // 5  # the rows themselves are embedded before
    counted.clear()
    assert probed(rows, tmp_path, images=IMAGES - 1, strides=(32,)) == {}
    assert not counted


def test_fine_strides_have_no_finer_trial(rows, tmp_path) -> None:
    assert "trial" not in probed(rows, tmp_path, strides=(4,))["defect_sizes"]
    assert finer_params(RECIPE.params(strides=(4, 8))) is None


def test_images_without_a_spot_are_at_chance_however_few() -> None:
    scores = np.random.default_rng(0).normal(size=57)
    for count in (4, 11, 32):
        chosen = scores[_evenly_ranked(scores, count)]
        assert len(chosen) == count
        assert np.mean(chosen[:, None] > scores) == pytest.approx(0.5, abs=0.02)


def test_libraries_of_whole_images_or_of_classes_are_not_probed(rows, tmp_path) -> None:
    runtime = Runtime(seed=1, device=torch.device("cpu"), cache=tmp_path)
    assert RECIPE.build(RECIPE.params(unit="image"), rows, runtime).probe is None
    of_classes = patch_library.recipe("defect", class_="kind", image_size=SIDE)
    params = of_classes.params(libraries="per_class")
    assert of_classes.build(params, rows.assign(kind="a"), runtime).probe is None
