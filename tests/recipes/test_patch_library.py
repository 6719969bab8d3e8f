"""The library of patches finds a planted defect, says where it is, and learns from normal rows alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from scipy.ndimage import gaussian_filter

from goldfold.anomaly import patch_features
from goldfold.anomaly.synthetic_defects import KINDS, damage
from goldfold.competition import Runtime
from goldfold.errors import GoldfoldError
from goldfold.images import reading as images
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
    with raises_code("no_normal_images", "of 6 training rows none has 0 in 'defect'"):
        predictions(rows[24:], rows, tmp_path)
    with pytest.raises(GoldfoldError, match="maps at strides 2, 4, 8, 16, 32, not 6"):
        predictions(rows, rows, tmp_path, strides=(6,))


def test_scores_are_what_their_names_say_of_the_map(rows, tmp_path):
    known, shown = rows[:16], rows[16:]
    plain = predictions(known, shown, tmp_path)
    distances = plain["map"].reshape(14, -1).astype(float)
    top = [np.mean(sorted(row)[-6:]) for row in distances]  # 10 % of 64
    medians = np.median(distances, axis=1)
    assert predictions(known, shown, tmp_path, score="top", top=0.1)["score"] == pytest.approx(top, rel=2e-3)
    contrast = predictions(known, shown, tmp_path, score="top", top=0.1, contrast=True)["score"]
    assert contrast == pytest.approx(top - medians, abs=0.02)
    weighted = predictions(known, shown, tmp_path, contrast=True)["score"]
    assert weighted == pytest.approx(plain["score"] - medians, abs=0.02)


def test_the_blur_is_told_in_pixels(rows, tmp_path):
    sharp, soft = (predictions(rows[:16], rows[16:], tmp_path, blur=blur)["map"].astype(float) for blur in (0, 12))
    np.testing.assert_allclose(soft, gaussian_filter(sharp, (0, 1.5, 1.5)), atol=0.03)  # patches are 8 pixels apart


def test_mirrored_views_make_an_image_and_its_mirror_image_alike(rows, tmp_path):
    mirrored = rows[24:].copy()
    for position, path in zip(mirrored.index, rows["path"][24:], strict=True):
        mirrored.loc[position, "path"] = tmp_path / f"{position}.png"
        cv2.imencode(".png", images.read(path)[:, ::-1, ::-1])[1].tofile(mirrored.loc[position, "path"])
    both = pd.concat([rows[24:], mirrored])
    straight, turned = np.split(predictions(rows[:16], both, tmp_path, views="mirrored"), 2)
    assert straight["score"] == pytest.approx(turned["score"], rel=1e-3)
    np.testing.assert_allclose(straight["map"], turned["map"][:, :, ::-1], atol=0.05)
    seen_once = predictions(rows[:16], both, tmp_path)["score"]
    assert seen_once[:6] != pytest.approx(seen_once[6:], rel=1e-2)


def test_relative_patches_are_compared_where_it_is_asked_for(rows, tmp_path, monkeypatch):
    asked = predictions(rows[:16], rows[16:], tmp_path, relative=True)
    monkeypatch.setattr(
        patch_features,
        "join_maps",
        lambda maps, join_maps=patch_features.join_maps: patch_features.subtract_image_mean(join_maps(maps)),
    )
    assert np.array_equal(predictions(rows[:16], rows[16:], tmp_path)["score"], asked["score"])
    assert asked["score"][:8].max() < asked["score"][8:].min()


@pytest.mark.parametrize("kind", KINDS)
def test_pseudo_is_the_score_of_the_damaged_copy(rows, tmp_path, kind):
    copies = rows[16:].copy()
    for position, path in zip(copies.index, rows["path"][16:], strict=True):
        copies.loc[position, "path"] = tmp_path / f"{position}.png"
        damaged, _ = damage(images.read(path), kind, 0, images.content_hash(path))
        cv2.imencode(".png", cv2.cvtColor(damaged, cv2.COLOR_RGB2BGR))[1].tofile(copies.loc[position, "path"])
    expected = predictions(rows[:16], copies, tmp_path)
    found = predictions(rows[:16], rows[16:], tmp_path, pseudo=kind)
    assert found.dtype["pseudo"] == np.float32
    assert found["pseudo"] == pytest.approx(expected["score"], rel=1e-3)
    assert np.array_equal(found["score"], predictions(rows[:16], rows[16:], tmp_path)["score"])
    alone = predictions(rows[:16], rows[20:21], tmp_path / "elsewhere", pseudo=kind)
    assert alone["pseudo"] == pytest.approx(found["pseudo"][4:5], rel=1e-3)  # whoever is beside it


def test_one_normal_image_of_another_size_and_mode_is_enough(rows, tmp_path):
    odd = rows[:2].copy()
    for position, pixels in zip(odd.index, (np.full((40, 90), 99), np.full((200, 30, 4), 180)), strict=True):
        odd.loc[position, "path"] = tmp_path / f"{position}.png"
        cv2.imencode(".png", pixels.astype(np.uint8))[1].tofile(odd.loc[position, "path"])
    found = predictions(rows[:1], pd.concat([odd, rows[16:]]), tmp_path, library=10_000)
    assert np.isfinite(found["score"]).all()
    assert found["score"][2:10].max() < found["score"][10:].min()


def test_a_file_that_is_no_image_is_named(rows, tmp_path):
    broken = rows[:3].assign(path=[rows["path"][0], tmp_path / "砖.png", rows["path"][2]])
    (tmp_path / "砖.png").write_bytes(b"no image")
    with pytest.raises(GoldfoldError, match=r"砖\.png' cannot be read"):
        predictions(broken, rows, tmp_path)


@pytest.mark.parametrize("option", ["relative", "contrast"])
def test_what_needs_patches_is_refused_for_whole_images(option):
    with pytest.raises(ValueError, match="set both to false with unit=image"):
        RECIPE.params(unit="image", **{option: True})


@pytest.fixture(scope="module")
def two_cloths(rows, tmp_path_factory) -> pd.DataFrame:
    """The striped cloth, and the same photographs turned by a quarter, as two classes."""
    folder = tmp_path_factory.mktemp("turned")
    turned = rows.assign(path=[folder / path.name for path in rows["path"]], id=rows["id"] + "转", kind="转")
    for path, copy in zip(rows["path"], turned["path"], strict=True):
        cv2.imencode(".png", np.rot90(images.read(path)))[1].tofile(copy)
    return pd.concat([rows.assign(kind="直"), turned], ignore_index=True)


@pytest.mark.parametrize("route", ["library", "prototype"])
def test_a_library_per_class_judges_what_is_routed_to_it(two_cloths, tmp_path, route):
    recipe = patch_library.recipe("defect", normal=0, class_="kind", image_size=SIDE, library=200)
    runtime = Runtime(seed=1, device=torch.device("cpu"), cache=tmp_path)
    params = recipe.params(libraries="per_class", route=route, textures=())
    plan = recipe.build(params, two_cloths, runtime)
    shown = two_cloths[::5].reset_index(drop=True)
    found = plan.predict(None, plan.finish(None), shown.drop(columns=["defect", "kind"]))
    right = found["routed"] == shown["kind"]
    assert right.mean() > (0.9 if route == "library" else 0.4)  # mean images of stripes in any phase are alike
    for kind in ("直", "转"):
        own = two_cloths[two_cloths["kind"] == kind]
        alone = predictions(own, shown[found["routed"] == kind], tmp_path)
        assert np.array_equal(found["score"][found["routed"] == kind], alone["score"])
        assert np.array_equal(found["map"][found["routed"] == kind], alone["map"])


def test_a_library_per_class_needs_classes(rows, tmp_path):
    with pytest.raises(GoldfoldError, match="libraries=one"):
        predictions(rows, rows, tmp_path, libraries="per_class")


def test_gaussians_know_what_is_usual_at_each_place(tmp_path):
    """A lamp that stands on the other side is made of patches that every normal photograph has."""
    draw = np.random.default_rng(0)
    made = []
    for number in range(40):
        lamp, moved = draw.normal(90, 8, (SIDE, SIDE, 3)), number >= 34
        columns = slice(36, 60) if moved else slice(4, 28)
        lamp[20:44, columns] += 120
        path = tmp_path / f"{number}.png"
        cv2.imencode(".png", np.clip(lamp, 0, 255).astype(np.uint8))[1].tofile(path)
        made.append((str(number), path, int(moved)))
    lamps = pd.DataFrame(made, columns=["id", "path", "defect"])
    found = predictions(lamps[:30], lamps[30:], tmp_path, normality="gaussians")
    assert found["score"][:4].max() < found["score"][4:].min() / 2
    assert found["score"] == pytest.approx(found["map"].reshape(10, -1).max(1), rel=1e-3)
    mirrored = predictions(lamps[:30], lamps[30:], tmp_path, normality="gaussians", views="mirrored")
    assert mirrored["score"].max() < found["score"].max()  # mirrored, either side is usual


def test_gaussians_are_no_library_to_route_to():
    with pytest.raises(ValueError, match="set route=prototype"):
        RECIPE.params(normality="gaussians", libraries="per_class")
