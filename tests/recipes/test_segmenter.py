"""The segmenter: its network is timm's, crops and masks stay together, losses and predictions are what they claim."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from error_codes import raises_code
from pandas import DataFrame, concat
from pydantic import ValidationError
from torch import nn

from goldfold.competition import Plan, Runtime
from goldfold.nn import backbones, batches
from goldfold.recipes import segmenter
from goldfold.recipes.segmentation import network, truths

SMALL = {"image_size": 64, "crop": 32, "batch_size": 4, "decoder_channels": (16, 16, 8, 8, 8)}


def masks(rows: DataFrame) -> Iterator[np.ndarray]:
    return (np.load(path) for path in rows["mask_path"])


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """24 gray images of one size with bright discs on dark ground, and maps of the discs."""
    folder = tmp_path_factory.mktemp("圆")
    random = np.random.default_rng(0)
    table = []
    for number in range(24):
        objects = np.zeros((64, 64), np.int32)
        for label in range(1, 5):
            cv2.circle(objects, random.integers(4, 60, 2).tolist(), int(random.integers(4, 9)), label, thickness=-1)
        pixels = np.where(objects > 0, 150, 60)[..., None] + random.normal(0, 20, (64, 64, 3))
        path, mask_path = folder / f"点{number}.png", folder / f"{number}.npy"
        cv2.imencode(".png", pixels.clip(0, 255).astype(np.uint8))[1].tofile(path)
        np.save(mask_path, objects)
        table.append((f"点{number}", path, mask_path))
    return DataFrame(table, columns=["id", "path", "mask_path"])


def plan(rows: DataFrame, tmp_path: Path, **params: object) -> Plan:
    recipe = segmenter.recipe(masks, **SMALL)
    torch.manual_seed(0)
    return recipe.build(recipe.params(**params), rows, Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path))


def predicted(plan: Plan, rows: DataFrame) -> np.ndarray:
    plan.model.eval()
    with torch.inference_mode():
        return plan.predict(plan.model, plan.finish(plan.model), rows.drop(columns="mask_path"))


@pytest.mark.parametrize("pretrained", [True, False])
def test_encoder_gives_the_feature_maps_of_timm(pretrained: bool) -> None:
    params = segmenter.SegmenterParams(pretrained=pretrained)
    backbone = backbones.create(params.backbone, pretrained)
    weights = backbone.model.state_dict()
    options = {"bn_eps": 1e-3, "pad_type": "same"} if pretrained else {}
    reference = timm.create_model(params.backbone, features_only=True, **options)
    reference.load_state_dict({name: weights[name] for name in reference.state_dict()})
    encoder = network.create(params, backbone).encoder
    images = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        found, expected = encoder.eval()(images)[1:], reference.eval()(images)
    assert len(found) == 5
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet18"])
@pytest.mark.parametrize("architecture", ["unet", "unetplusplus", "manet"])
def test_every_parameter_learns(architecture: str, backbone: str) -> None:
    params = segmenter.SegmenterParams(architecture=architecture, backbone=backbone, decoder_channels=(16, 16, 8, 8, 8))
    model = network.create(params, backbones.create(backbone, pretrained=False))
    logits = model(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 1, 64, 64)
    logits.mean().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_backbone_without_maps_is_refused() -> None:
    params = segmenter.SegmenterParams(backbone="vit_tiny_patch16_224")
    with raises_code("backbone_unsuitable", "vit_tiny_patch16_224", "unet"):
        network.create(params, backbones.create(params.backbone, pretrained=False))


@pytest.mark.parametrize("augmentation", ["none", "flips", "light", "strong"])
def test_crops_and_masks_stay_together(rows: DataFrame, tmp_path: Path, augmentation: str) -> None:
    """Discs are bright, so that pixel and mask are correlated only as long as both are moved alike."""
    stage = plan(rows, tmp_path, augmentation=augmentation, pretrained=False).stages[0]
    images, truths = (torch.cat(parts) for parts in zip(*stage.batches(0), strict=True))
    assert images.dtype == truths.dtype == torch.uint8
    assert images.shape == (24, 32, 32, 3)
    assert truths.shape == (24, 32, 32)
    assert set(truths.unique().tolist()) == {0, 1}
    gray = images.float().mean(dim=-1)
    assert gray[truths == 1].mean() - gray[truths == 0].mean() > 60


def test_batches_repeat_for_an_epoch_and_change_with_it(rows: DataFrame, tmp_path: Path) -> None:
    stage = plan(rows, tmp_path, pretrained=False).stages[0]
    first, other, again = (torch.cat([batch[0] for batch in stage.batches(epoch)]) for epoch in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first.float().mean((1, 2, 3)).sort()[0], other.float().mean((1, 2, 3)).sort()[0])


def test_copies_of_a_row_are_cropped_differently(rows: DataFrame, tmp_path: Path) -> None:
    copied = concat([rows, rows], ignore_index=True)
    images = torch.cat([batch[0] for batch in plan(copied, tmp_path, pretrained=False).stages[0].batches(0)])
    assert len(images.flatten(1).unique(dim=0)) == len(copied)


def test_losses_are_their_formulas(rows: DataFrame, tmp_path: Path) -> None:
    made = plan(rows, tmp_path, bce=0.5, dice=2.0, pretrained=False)
    pixels, truth = next(iter(made.stages[0].batches(0)))
    made.model.eval()
    terms = made.stages[0].losses(made.model, (pixels, truth))
    mean, std = (np.array(values) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    inputs = torch.tensor((pixels.numpy() / 255 - mean) / std, dtype=torch.float32).permute(0, 3, 1, 2)
    p = made.model(inputs)[:, 0].sigmoid().detach().double().numpy()
    y = truth.numpy()
    assert terms["bce"].item() == pytest.approx(-0.5 * np.where(y, np.log(p), np.log(1 - p)).mean(), rel=1e-4)
    assert terms["dice"].item() == pytest.approx(2 * (1 - 2 * (p * y).sum() / (p.sum() + y.sum())), rel=1e-4)
    alone = plan(rows, tmp_path, bce=0.0, pretrained=False).stages[0].losses(made.model, (pixels, truth))
    assert list(alone) == ["dice"]


def test_learns_discs(rows: DataFrame, tmp_path: Path) -> None:
    train, held_out = rows.iloc[:16], rows.iloc[16:]
    made = plan(train, tmp_path, epochs=12, learning_rate=5e-3)
    (stage,) = made.stages
    optimizer = stage.optimizer(made.model)
    schedule = stage.schedule(optimizer, stage.epochs, len(stage.batches(0)))
    for epoch in range(stage.epochs):
        for batch in stage.batches(epoch):
            optimizer.zero_grad()
            sum(stage.losses(made.model, batch).values()).backward()
            optimizer.step()
            schedule.step()
    found = predicted(made, held_out) > 0.5
    truth = np.stack(list(masks(held_out))) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8  # all foreground: 0.2


def test_predictions_do_not_depend_on_the_batch(rows: DataFrame, tmp_path: Path) -> None:
    maps, singly = (predicted(plan(rows, tmp_path, batch_size=size, pretrained=False), rows[:5]) for size in (4, 1))
    assert maps.shape == (5, 64, 64)
    assert maps.dtype == np.float16
    assert maps.min() >= 0
    assert maps.max() <= 1
    np.testing.assert_allclose(maps, singly, atol=2e-3)


def test_images_of_any_size(rows: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    cv2.imencode(".png", np.full((50, 200, 4), 90, np.uint8))[1].tofile(path)
    np.save(tmp_path / "wide.npy", np.ones((50, 200), np.int32))
    mixed = DataFrame(
        {"id": ["a", "b"], "path": [path, rows["path"][0]], "mask_path": [tmp_path / "wide.npy", rows["mask_path"][0]]}
    )
    made = plan(mixed, tmp_path, pretrained=False)
    assert next(iter(made.stages[0].batches(0)))[1].float().mean() > 0.5
    assert predicted(made, mixed).shape == (2, 64, 64)


SYMMETRIES = {
    "mirrored": [np.fliplr],
    "flips": [np.fliplr, np.flipud, lambda image: image[::-1, ::-1]],
    "turns": [np.fliplr, np.rot90, lambda image: image.swapaxes(0, 1), lambda image: np.rot90(image, 3)],
}


@pytest.mark.parametrize("views", SYMMETRIES)
def test_maps_averaged_over_views_turn_with_the_image(rows: DataFrame, tmp_path: Path, views: str) -> None:
    """Averaged over a group of symmetries any network is equivariant under it; alone an untrained one is not."""
    pixels = cv2.imdecode(np.fromfile(rows["path"][0], np.uint8), cv2.IMREAD_COLOR)
    turned = [tmp_path / f"{number}.png" for number in range(len(SYMMETRIES[views]))]
    for path, symmetry in zip(turned, SYMMETRIES[views], strict=True):
        cv2.imencode(".png", np.ascontiguousarray(symmetry(pixels)))[1].tofile(path)
    paths = [rows["path"][0], *turned]
    pictures = DataFrame({"id": range(len(paths)), "path": paths, "mask_path": ""})
    averaged, plain = (
        predicted(plan(rows, tmp_path, views=each, pretrained=False), pictures).astype(float)
        for each in (views, "none")
    )
    for place, symmetry in enumerate(SYMMETRIES[views], start=1):
        np.testing.assert_allclose(averaged[place], symmetry(averaged[0]), atol=2e-3)
        assert np.abs(plain[place] - symmetry(plain[0])).max() > 5e-3


def test_a_map_is_the_mean_over_views_turned_back(rows: DataFrame, tmp_path: Path) -> None:
    made = plan(rows, tmp_path, views="turns", pretrained=False)
    found = predicted(made, rows[:2])
    single = plan(rows, tmp_path, pretrained=False)
    maps = []
    for quarters in range(4):
        for mirrored in (False, True):
            paths = [tmp_path / f"{quarters}-{mirrored}-{number}.png" for number in range(2)]
            for path, source in zip(paths, rows["path"], strict=False):
                pixels = cv2.imdecode(np.fromfile(source, np.uint8), cv2.IMREAD_COLOR)
                seen = np.rot90(pixels[:, ::-1] if mirrored else pixels, quarters)
                cv2.imencode(".png", np.ascontiguousarray(seen))[1].tofile(path)
            shown = DataFrame({"id": [0, 1], "path": paths, "mask_path": ""})
            back = np.rot90(predicted(single, shown).astype(float), -quarters, (1, 2))
            maps.append(back[:, :, ::-1] if mirrored else back)
    np.testing.assert_allclose(found, np.mean(maps, axis=0), atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(128, 64), (128, 192)])
def test_shrunk_foreground_is_what_covers_half_a_pixel(height: int, width: int) -> None:
    objects = np.random.default_rng(0).integers(-3, 4, (height, width)).clip(0)
    blocks = (objects > 0).reshape(64, height // 64, 64, width // 64).mean(axis=(1, 3))
    assert np.array_equal(truths.foreground(objects, 64), blocks > 0.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop": 512}, "crop must not exceed image_size"),
        ({"bce": 0, "dice": 0, "ce": 0}, "above 0"),
        ({"image_size": 250}, "multiple of 32.*224 and 256 are the nearest"),
        ({"image_size": (192, 250)}, "multiple of 32"),
        ({"crop": (128, 288)}, "128 x 288 > 256 x 256"),
        ({"pos_weight": 0.0}, "pos_weight must be above 0"),
        ({"class_weights": (1.0, 0.0)}, "class_weights must be above 0"),
        ({"crops": 64}, "crops"),
        ({"views": "crops"}, "'none', 'mirrored', 'flips' or 'turns'"),
    ],
)
def test_impossible_parameters_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        segmenter.SegmenterParams(**wrong)


def test_a_mask_of_another_size_names_its_row(tmp_path: Path, rows: DataFrame) -> None:
    wide = rows[:8].copy()
    path = tmp_path / "wide.png"
    cv2.imencode(".png", np.zeros((64, 80, 3), np.uint8))[1].tofile(path)
    wide.loc[3, "path"] = path
    with raises_code("mask_size_differs", "点3", "64 x 64", "80 x 64"):
        plan(wide, tmp_path)


def test_large_images_are_predicted_in_smaller_batches_with_equal_maps(
    tmp_path: Path, rows: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, seen = plan(rows[:8], tmp_path), []
    fitted.model.register_forward_pre_hook(lambda model, inputs: seen.append(len(inputs[0])))
    expected = predicted(fitted, rows[:6])
    assert seen == [4, 2]
    monkeypatch.setattr(batches, "PIXELS", (64 * 64, 64 * 64))
    found = predicted(fitted, rows[:6])
    assert seen[2:] == [1] * 6
    np.testing.assert_allclose(found.astype(np.float32), expected.astype(np.float32), atol=1e-3)


def spot(maps: int = 1) -> nn.Module:
    """A network that sees two pixels to each side, in place of the recipe's."""
    torch.manual_seed(3)
    return nn.Conv2d(3, maps, 5, padding=2).requires_grad_(False)


@pytest.mark.parametrize("changes", [{}, {"views": "flips"}, {"fit": "letterbox", "image_size": (160, 256)}])
def test_tiles_have_no_seams(rows: DataFrame, tmp_path: Path, changes: dict) -> None:
    """The network sees fewer pixels than tiles share, so that tiles must give the maps of whole images."""
    few, size = rows[:3], {"image_size": 192, **changes}
    expected, found = (
        made.predict(spot(), None, few.drop(columns="mask_path")).astype(np.float32)
        for made in (plan(few, tmp_path, **size, **tiling) for tiling in ({}, {"tiles": 64}))
    )
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=5e-4)  # float16


def test_tiles_of_several_classes(rows: DataFrame, tmp_path: Path) -> None:
    recipe = segmenter.recipe(lambda some: (each > 0 for each in masks(some)), ("ground", "disc"), **SMALL)
    few, runtime = rows[:2], Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path)
    shown = []
    for tiling in ({}, {"tiles": (64, 96)}):
        made = recipe.build(recipe.params(image_size=(128, 160), **tiling), few, runtime)
        shown.append(made.predict(spot(2), None, few.drop(columns="mask_path")).astype(np.float32))
    assert shown[0].shape == (2, 2, 128, 160)
    np.testing.assert_allclose(*shown, atol=5e-4)


def test_a_tile_of_the_size_of_the_image_changes_no_bit(rows: DataFrame, tmp_path: Path) -> None:
    without, tiled = (predicted(plan(rows, tmp_path, tiles=tiles), rows) for tiles in (None, 64))
    assert np.array_equal(without, tiled)


def test_images_of_any_size_are_predicted_in_tiles(rows: DataFrame, tmp_path: Path) -> None:
    assert predicted(plan(rows[:2], tmp_path, image_size=(100, 75), tiles=64), rows[:2]).shape == (2, 100, 75)
    assert predicted(plan(rows[:2], tmp_path, image_size=(50, 75), tiles=64), rows[:2]).shape == (2, 50, 75)


def test_sizes_of_tiles_are_checked() -> None:
    params = segmenter.recipe(masks, **SMALL).params
    for values, fact in [
        ({"image_size": 100}, "image_size must be a multiple of 32.*96 and 128 are the nearest"),
        (
            {"image_size": 256, "tiles": 512},
            "tiles must not exceed image_size, got 512 x 512 > 256 x 256: set",
        ),
        ({"image_size": 256, "tiles": 100}, "tiles must be a multiple of 32"),
        ({"image_size": 256, "tiles": 32}, "tiles must be at least 64"),
        ({"image_size": 256, "tiles": 64, "overlap": 0.9}, "overlap"),
    ]:
        with pytest.raises(ValidationError, match=fact):
            params(**values)


@pytest.mark.parametrize("changes", [{}, {"rare_crops": 1.0}, {"pos_weight": "balanced"}])
def test_images_that_do_not_fit_into_memory_give_the_same_batches_and_losses(
    rows: DataFrame, tmp_path: Path, changes: dict
) -> None:
    held, read = (plan(rows, tmp_path, memory=memory, **changes).stages[0] for memory in (4.0, 0.0))
    torch.manual_seed(0)
    network = spot()
    for ours, theirs in zip(held.batches(1), read.batches(1), strict=True):
        assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
        assert held.losses(network, ours) == read.losses(network, theirs)
