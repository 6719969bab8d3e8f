"""The recipe on small made surfaces: what it learns, what it watches, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from goldfold.anomaly import autoencoder_diagnostics, autoencoders, reconstruction_error
from goldfold.competition import Runtime
from goldfold.errors import GoldfoldError
from goldfold.images import reading as images
from goldfold.nn import collapse
from goldfold.recipes import autoencoder
from goldfold.training.loop import train
from goldfold.training.predictor import finish_plan
from goldfold.training.settings import LoopOptions

CPU = torch.device("cpu")
SMALL = {"backbone": "plain", "widths": (32, 16, 8), "image_size": 32, "batch_size": 8, "library": 16}
KINDS = ("地毯", "screw")


def surface(number: int, kind: str) -> np.ndarray:
    """Stripes that run down or across, at another phase in each image."""
    waves = 127 + 90 * np.sin(np.arange(40) / 3 + number)
    image = np.repeat(np.tile(waves, (40, 1))[..., None], 3, axis=2)
    return (image if kind == "screw" else image.transpose(1, 0, 2) * (1.0, 0.7, 0.4)).astype(np.uint8)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    """Twenty whole and six spotted surfaces of two classes."""
    folder = tmp_path_factory.mktemp("面")
    table = []
    for number in range(26):
        kind, defect = KINDS[number % 2], int(number >= 20)
        image = surface(number, kind)
        if defect:
            image[8:20, 8:20] = 255 - image[8:20, 8:20]
        path = folder / f"{kind}{number}.png"
        cv2.imencode(".png", image)[1].tofile(path)
        table.append({"id": f"{kind}{number}", "path": path, "class": kind, "defect": defect})
    return pd.DataFrame(table)


def planned(rows: pd.DataFrame, tmp_path: Path, **given):
    recipe = autoencoder.recipe("defect", class_="class", **SMALL)
    return recipe.build(recipe.params(**given), rows, Runtime(seed=0, device=CPU, cache=tmp_path))


def fitted(rows: pd.DataFrame, tmp_path: Path, select: str = "last", **given):
    torch.manual_seed(0)
    plan = planned(rows, tmp_path, **given)
    history, _ = train(plan, loop=LoopOptions(select=select), device=CPU, validate=lambda model, last: {"none": 0.0})
    return plan, history, finish_plan(plan, plan.model, ("defect",), "float32")


def test_it_learns_to_reconstruct_and_its_loss_is_the_mean_of_the_error_map(rows, tmp_path):
    _, history, predict = fitted(rows, tmp_path, epochs=12, learning_rate=5e-3)
    assert history[-1]["loss"].keys() == {"mse", "ssim"}
    losses = [row["monitored"]["validation_loss"]["value"] for row in history]
    assert losses[-1] < 0.7 * losses[0]
    found = predict(rows)
    assert found.dtype.names == ("score", "score_pixel", "score_feature", "score_library", "map", "pseudo")
    assert found["map"].shape == (26, 32, 32)
    np.testing.assert_allclose(found["score"], found["map"].astype(float).mean(axis=(1, 2)), rtol=2e-3)
    assert np.array_equal(found["score"], found["score_pixel"])


def test_scores_are_those_of_the_images_alone_and_repeat(rows, tmp_path):
    _, _, predict = fitted(rows, tmp_path, epochs=1)
    together, alone = predict(rows), predict(rows.iloc[[22]].reset_index(drop=True))
    for name in together.dtype.names:
        np.testing.assert_allclose(together[name][22], alone[name][0], rtol=1e-3, atol=1e-6)
    assert np.array_equal(together, predict(rows))


@pytest.mark.parametrize("unit", ["image", "patch"])
def test_the_library_score_is_the_distance_to_the_nearest_normal_image(rows, tmp_path, unit):
    plan, _, predict = fitted(rows, tmp_path, epochs=1, score="library", unit=unit)
    normal, found = predict.finished, predict(rows)
    assert np.array_equal(found["score"], found["score_library"])
    if unit == "image":
        pixels = autoencoder_diagnostics.to_float(images.load_resized(list(rows["path"]), 32), CPU)
        with torch.no_grad():
            features = plan.model.encode(pixels).flatten(1)
        by_hand = torch.cdist(features, normal).square().min(1).values / normal.shape[1]
        np.testing.assert_allclose(found["score_library"], by_hand, rtol=1e-3, atol=1e-6)
    assert len(normal) == (16 if unit == "image" else 16 * 8 * 8)


def test_the_holdout_is_not_trained_on_and_is_drawn_by_seed(rows, tmp_path):
    recipe = autoencoder.recipe("defect", **SMALL)
    params = recipe.params(holdout=0.3)
    train, kept = autoencoder._train_and_holdout(params, rows[rows["defect"] == 0], seed=1)
    assert (len(train), len(kept)) == (14, 6)
    assert not set(train["id"]) & set(kept["id"])
    again, other = (autoencoder._train_and_holdout(params, rows[rows["defect"] == 0], seed)[1] for seed in (1, 2))
    assert kept["id"].tolist() == again["id"].tolist()
    assert kept["id"].tolist() != other["id"].tolist()


def test_holes_and_damage_are_seen_and_not_wanted(rows, tmp_path):
    """The target is the image before dropping, or black holes would be learnt."""
    plan = planned(rows, tmp_path, dropout=True, damages=("cutpaste_patch",), batch_size=18)
    seen, wanted = next(iter(plan.stages[0].batches(0)))
    assert (seen != wanted).flatten(1).any(1).all()
    assert (seen == 0).flatten(1).any(1).all()
    assert not (wanted == 0).all(dim=3).flatten(1).any()


def test_an_epoch_repeats_and_the_next_is_drawn_anew(rows, tmp_path):
    stage = planned(rows, tmp_path, dropout=True, crop=0.5, batch_size=18).stages[0]
    (first, _), (again, _), (other, _) = (next(iter(stage.batches(epoch))) for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_copies_of_a_row_are_drawn_differently(rows, tmp_path):
    copied = pd.concat([rows, rows], ignore_index=True)
    seen = torch.cat([batch[0] for batch in planned(copied, tmp_path, crop=0.5, batch_size=4).stages[0].batches(0)])
    assert len(seen.flatten(1).unique(dim=0)) == len(seen)


def test_signs_agree_with_their_bricks(rows, tmp_path):
    plan, history, _ = fitted(rows, tmp_path, epochs=1, holdout=0.4)
    with torch.no_grad():
        signs = plan.monitor(plan.model.eval())
    assert signs["validation_loss"].higher_is_better is False
    assert signs["pseudo_auroc"].higher_is_better is True
    assert 0 <= signs["pseudo_auroc"].value <= 1
    assert signs["cluster_purity"].value >= 0.5
    assert history[0]["monitored"]["validation_loss"]["value"] == pytest.approx(signs["validation_loss"].value)


def test_each_sign_against_a_slow_reading(rows):
    torch.manual_seed(1)
    model = autoencoders.plain("none", (8, 16), 32).eval()
    pixels = images.load_resized(list(rows["path"][:8]), 32)
    kept = autoencoder_diagnostics.held_out(pixels, list(rows["id"][:8]), "cutpaste_patch", None, CPU)
    with torch.no_grad():
        signs = autoencoder_diagnostics.measure(model, kept, 1.0, 1.0)
        normal = reconstruction_error.score(reconstruction_error.error_map(kept.images, model(kept.images)))
        damaged = reconstruction_error.score(reconstruction_error.error_map(kept.damaged, model(kept.damaged)))
        outputs = model(kept.images)
        repaired = model(kept.damaged)
    assert signs["validation_loss"].value == pytest.approx(normal.mean().item(), rel=1e-5)
    assert signs["pseudo_auroc"].value == roc_auc_score([0] * 8 + [1] * 8, torch.cat([normal, damaged]))
    changed = kept.changed[:, None].expand_as(repaired)
    left = (repaired - kept.damaged)[changed].square().sum()
    made = (kept.images - kept.damaged)[changed].square().sum()
    assert signs["damage_copied"].value == pytest.approx(1 - (left / made).item(), rel=1e-4)
    assert signs["output_std"].value == pytest.approx(collapse.measure_outputs(kept.images, outputs).spatial_std)


def test_copying_the_image_rings_an_alarm_and_so_does_grey(rows):
    class Copy(torch.nn.Module):
        def forward(self, shown):
            return shown

        def reconstruct_and_encode(self, shown):
            return self(shown), shown[:, :, ::8, ::8]

    class Grey(Copy):
        def forward(self, shown):
            return torch.full_like(shown, 0.5)

    pixels = images.load_resized(list(rows["path"][:8]), 32)
    kept = autoencoder_diagnostics.held_out(pixels, list(rows["id"][:8]), "cutpaste_scar", None, CPU)
    copied, gray = (autoencoder_diagnostics.measure(model, kept, 1.0, 1.0) for model in (Copy(), Grey()))
    assert copied["damage_copied"].alarm == "copies damage"
    assert copied["damage_copied"].value == pytest.approx(1)
    assert copied["output_std"].alarm == ""
    assert gray["damage_copied"].alarm == ""
    assert "gray" in gray["output_std"].alarm


def test_one_model_per_class_learns_from_its_own_class_and_routes_without_labels(rows, tmp_path):
    plan, history, predict = fitted(rows, tmp_path, models="per_class", epochs=2)
    assert [row["stage"] for row in history] == ["reconstruct_1"] * 2 + ["reconstruct_2"] * 2
    found = predict(rows)
    assert (found["routed"] == rows["class"]).mean() > 0.8
    alone = planned(rows[rows["class"] == "screw"], tmp_path, epochs=2)
    assert len(alone.stages[0].batches(0)) == len(plan.stages[0].batches(0)) == len(plan.stages[1].batches(0))
    pictures = predict.pictures(rows)
    assert pictures["reconstruction"].shape == (26, 32, 32, 3)
    assert pictures["error"].shape == (26, 32, 32)


@pytest.mark.parametrize(
    ("chosen", "given", "told"),
    [
        (slice(0, 1), {}, "this fold has 1"),
        (slice(20, 26), {}, "this fold has 0"),
        (slice(0, 26), {"skips": (7,)}, "this network's levels"),
    ],
)
def test_unusable_rows_and_skips_raise(rows, tmp_path, chosen, given, told):
    with pytest.raises(GoldfoldError, match=told):
        planned(rows.iloc[chosen], tmp_path, **given)


def test_a_loss_of_nothing_is_refused():
    with pytest.raises(ValueError, match="mse and ssim are both 0"):
        autoencoder.AutoencoderParams(mse=0, ssim=0)


def test_one_model_per_class_needs_classes(rows, tmp_path):
    recipe = autoencoder.recipe("defect", **SMALL)
    with pytest.raises(GoldfoldError, match="models=one"):
        recipe.build(recipe.params(models="per_class"), rows, Runtime(seed=0, device=CPU, cache=tmp_path))
