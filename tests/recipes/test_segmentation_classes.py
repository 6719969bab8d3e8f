"""The segmenter with several classes: exclusive, with void pixels, and overlapping ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from error_codes import raises_code
from pandas import DataFrame

from goldfold.competition import Plan, Runtime
from goldfold.images import letterbox
from goldfold.nn.mask_losses import IGNORED
from goldfold.params import without_effect
from goldfold.recipes import segmenter
from goldfold.recipes.segmentation import network, truths
from goldfold.recipes.segmentation.params import SegmenterParams
from goldfold.recipes.segmentation.truths import PixelLabels

TINY = "test_efficientnet"  # timm's own for tests
SMALL = {
    "image_size": (64, 96),
    "crop": 32,
    "batch_size": 4,
    "decoder_channels": (16, 16, 8, 8, 8),
    "epochs": 1,
    "backbone": TINY,
}
NAMES = ("ground", "red", "green", "blue")
VOID = 9


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """Twelve images of 48 x 96 with a red, a green and sometimes a small blue box; a border of void pixels."""
    folder = tmp_path_factory.mktemp("色")
    random = np.random.default_rng(0)
    table = []
    for number in range(12):
        labels = np.zeros((48, 96), np.int32)
        for which in (1, 2):
            top, left = random.integers(0, 24), random.integers(0, 60)
            labels[top : top + 20, left : left + 30] = which
        if number % 3 == 0:
            labels[20:26, 40:46] = 3
        pixels = np.full((48, 96, 3), 60, np.uint8)
        for which in (1, 2, 3):
            pixels[labels == which, which - 1] = 220
        labels[:, :4] = VOID
        path = folder / f"{number}.png"
        cv2.imencode(".png", pixels[..., ::-1])[1].tofile(path)
        np.save(folder / f"{number}.npy", labels)
        table.append((f"{number}", path, folder / f"{number}.npy"))
    return DataFrame(table, columns=["id", "path", "mask_path"])


def exclusive(rows: DataFrame) -> Iterable[np.ndarray]:
    return (np.load(path) for path in rows["mask_path"])


def overlapping(rows: DataFrame) -> Iterable[np.ndarray]:
    """Red, green, and colored at all."""
    return (np.stack([labels == 1, labels == 2, labels > 0]).astype(np.uint8) for labels in exclusive(rows))


KINDS: dict[str, tuple[Callable, dict]] = {
    "multiclass": (exclusive, {"classes": NAMES, "void": VOID}),
    "multilabel": (overlapping, {"classes": ("red", "green", "colored"), "overlapping": True}),
}


def plan(kind: str, rows: DataFrame, tmp_path: Path, **params: object) -> Plan:
    masks, options = KINDS[kind]
    recipe = segmenter.recipe(masks, **options, **SMALL)
    torch.manual_seed(0)
    runtime = Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path)
    return recipe.build(recipe.params(**{"pretrained": False, **params}), rows, runtime)


def predicted(plan: Plan, rows: DataFrame) -> np.ndarray:
    plan.model.eval()
    with torch.inference_mode():
        return plan.predict(plan.model, plan.finish(plan.model), rows.drop(columns="mask_path"))


def train(made: Plan, epochs: int) -> None:
    (stage,) = made.stages
    optimizer = stage.optimizer(made.model.train())
    for epoch in range(epochs):
        for batch in stage.batches(epoch):
            optimizer.zero_grad()
            sum(stage.losses(made.model, batch).values()).backward()
            optimizer.step()


def test_exclusive_classes_are_learned(rows: DataFrame, tmp_path: Path) -> None:
    made = plan("multiclass", rows, tmp_path, learning_rate=2e-2)
    train(made, 16)
    maps = predicted(made, rows)
    assert maps.shape == (12, 4, 64, 96)
    assert maps.dtype == np.float16
    np.testing.assert_allclose(maps.astype(float).sum(1), 1, atol=5e-3)
    truth = np.stack([cv2.resize(each, (96, 64), interpolation=cv2.INTER_NEAREST) for each in exclusive(rows)])
    counted = truth != VOID
    assert (maps.argmax(1) == truth)[counted].mean() > 0.85  # ground alone: 0.72


def test_overlapping_classes_are_learned(rows: DataFrame, tmp_path: Path) -> None:
    made = plan("multilabel", rows, tmp_path, learning_rate=2e-2)
    train(made, 16)
    maps = predicted(made, rows)
    assert maps.shape == (12, 3, 64, 96)
    truth = np.stack([np.stack([cv2.resize(part, (96, 64)) for part in each]) for each in overlapping(rows)]) > 0
    assert ((maps > 0.5) == truth).mean() > 0.85  # none: 0.73
    assert maps.astype(float).sum(1).max() > 1.5


@pytest.mark.parametrize("views", ["flips", "mirrored"])
def test_maps_of_classes_turn_back_with_the_views(rows: DataFrame, tmp_path: Path, views: str) -> None:
    made = plan("multiclass", rows, tmp_path, views=views)
    flipped = tmp_path / "flipped.png"
    pixels = cv2.imdecode(np.fromfile(rows["path"][0], np.uint8), cv2.IMREAD_COLOR)
    cv2.imencode(".png", np.ascontiguousarray(pixels[:, ::-1]))[1].tofile(flipped)
    pictures = DataFrame({"id": [0, 1], "path": [rows["path"][0], flipped], "mask_path": ""})
    one, other = predicted(made, pictures).astype(float)
    np.testing.assert_allclose(other, one[:, :, ::-1], atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("augmentation", ["light", "strong"])
def test_crops_and_truths_stay_together(rows: DataFrame, tmp_path: Path, kind: str, augmentation: str) -> None:
    stage = plan(kind, rows, tmp_path, augmentation=augmentation).stages[0]
    images, truth = (torch.cat(parts) for parts in zip(*stage.batches(0), strict=True))
    red = truth[:, 0] == 1 if kind == "multilabel" else truth == 1
    assert images.shape == (12, 32, 32, 3)
    assert truth.shape == ((12, 3, 32, 32) if kind == "multilabel" else (12, 32, 32))
    channel = images.float()[..., 0] - images.float()[..., 1]
    assert channel[red].mean() - channel[~red].mean() > 80


def test_rare_crops_hold_rare_classes(rows: DataFrame, tmp_path: Path) -> None:
    """Boxes of the rare class have 36 pixels; a crop around a class that is drawn by its rarity has them."""

    def share(**params: object) -> float:
        batches = (
            plan("multiclass", rows[rows.index % 3 == 0], tmp_path, augmentation="none", **params).stages[0].batches
        )
        crops = torch.cat([batch[1] for epoch in range(6) for batch in batches(epoch)])
        return (crops == 3).flatten(1).any(1).float().mean().item()

    assert share(rare_crops=1.0) > 0.95
    assert share(rare_crops=0.0) < 0.75
    repeated = [plan("multiclass", rows, tmp_path, rare_crops=0.5).stages[0].batches(3) for _ in range(2)]
    assert all(torch.equal(a[1], b[1]) for a, b in zip(*repeated, strict=True))


def test_void_pixels_and_padding_are_ignored(rows: DataFrame) -> None:
    labels = PixelLabels(NAMES, void=VOID)
    plain = truths.load(exclusive, rows, labels, (64, 96), boxed=False)
    boxed = truths.load(exclusive, rows, labels, (64, 96), boxed=True)
    assert set(np.unique(plain)) == {0, 1, 2, 3, IGNORED}
    assert (plain[:, :, :4] == IGNORED).all()
    own = letterbox.window((48, 96), (64, 96))
    np.testing.assert_array_equal(
        boxed[:, *own.slices],
        np.stack(list(exclusive(rows))).clip(max=255) % VOID + (np.stack(list(exclusive(rows))) == VOID) * IGNORED,
    )
    assert (boxed[:, : own.top] == IGNORED).all()
    counts = truths.pixel_counts(boxed, labels)
    assert counts.sum() == (boxed != IGNORED).sum()
    assert counts[3] == 4 * 36


def test_letterboxed_maps_cover_the_whole_image(rows: DataFrame, tmp_path: Path) -> None:
    """The map of an image is that of the padded image, cut to the window and stretched."""
    made = plan("multiclass", rows, tmp_path, fit="letterbox")
    found = predicted(made, rows[:1]).astype(float)[0]
    path = tmp_path / "padded.png"
    (padded,) = letterbox.load([rows["path"][0]], (64, 96))
    cv2.imencode(".png", padded[..., ::-1])[1].tofile(path)
    whole = predicted(made, rows[:1].assign(path=[path]))[0].astype(np.float32)
    rows_of, columns = letterbox.window((48, 96), (64, 96)).slices
    expected = np.stack([cv2.resize(part[rows_of, columns], (96, 64)) for part in whole])
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_batch_changes_rounding_only(rows: DataFrame, tmp_path: Path, kind: str) -> None:
    seen = []
    made = plan(kind, rows, tmp_path, prediction_batch=3)
    made.model.register_forward_pre_hook(lambda model, inputs: seen.append(len(inputs[0])))
    np.testing.assert_allclose(
        predicted(made, rows[:5]), predicted(plan(kind, rows, tmp_path, prediction_batch=1), rows[:5]), atol=2e-3
    )
    assert seen == [3, 2]


@pytest.mark.parametrize(
    ("mask", "labels", "code", "facts"),
    [
        (np.full((48, 96), 7), PixelLabels(NAMES), "mask_value_unknown", ("holds 7", "4,608 pixels", "void=7")),
        (np.zeros((3, 48, 96)), PixelLabels(NAMES), "mask_shape_wrong", ("(3, 48, 96)",)),
        (np.zeros((2, 48, 96)), PixelLabels(NAMES, overlapping=True), "mask_shape_wrong", ("4 classes",)),
        (np.zeros((96, 48)), PixelLabels(NAMES), "mask_size_differs", ("48 x 96", "96 x 48")),
    ],
)
def test_masks_that_do_not_fit_name_their_row(
    rows: DataFrame, mask: np.ndarray, labels: PixelLabels, code: str, facts: tuple[str, ...]
) -> None:
    with raises_code(code, "'0'", *facts):
        truths.load(lambda _: [mask.astype(np.int32)], rows[:1], labels, 64, boxed=False)
    if code == "mask_value_unknown":
        with raises_code(code, "'遮罩.png'"):
            truths.load(
                lambda _: [mask.astype(np.int32)], rows[:1].assign(mask_path="遮罩.png"), labels, 64, boxed=False
            )


def test_void_pixels_of_a_foreground_are_ignored(rows: DataFrame) -> None:
    mask = np.zeros((48, 96), np.int32)
    mask[10:20], mask[20:30] = 1, 200
    (found,) = truths.load(lambda _: [mask], rows[:1], PixelLabels(void=200), (48, 96), boxed=False)
    assert np.array_equal(found, np.where(mask == 200, IGNORED, mask))


def test_weights_of_classes_come_from_the_training_rows(rows: DataFrame, tmp_path: Path) -> None:
    losses = {}
    for weights in ("equal", "balanced", (1.0, 1.0, 1.0, 5.0)):
        made = plan("multiclass", rows, tmp_path, class_weights=weights, dice=0.0)
        losses[str(weights)] = made.stages[0].losses(made.model.eval(), next(iter(made.stages[0].batches(0))))["ce"]
    assert len({round(each.item(), 5) for each in losses.values()}) == 3
    balanced = plan("multilabel", rows, tmp_path, pos_weight="balanced", dice=0.0)
    plain = plan("multilabel", rows, tmp_path, dice=0.0)
    batch = next(iter(plain.stages[0].batches(0)))
    assert balanced.stages[0].losses(plain.model, batch)["bce"] > plain.stages[0].losses(plain.model, batch)["bce"]


def test_parameters_of_other_kinds_have_no_effect() -> None:
    several = segmenter.recipe(exclusive, NAMES).params(bce=2.0)
    assert list(without_effect(several)) == ["bce"]
    assert list(without_effect(segmenter.recipe(exclusive).params(ce=2.0))) == ["ce"]
    assert list(without_effect(segmenter.recipe(exclusive).params(focal_gamma=1.0))) == ["focal_gamma"]


def test_class_weights_need_one_number_per_class(rows: DataFrame) -> None:
    recipe = segmenter.recipe(exclusive, NAMES)
    with raises_code("class_weights_mismatch", "2 numbers for 4 classes", "ground, red"):
        recipe.check(recipe.params(class_weights=(1.0, 2.0)), rows, rows)


@pytest.mark.parametrize("architecture", ["linknet", "fpn", "deeplabv3", "deeplabv3plus", "upernet", "segformer"])
def test_every_decoder_trains_with_a_last_batch_of_one(rows: DataFrame, tmp_path: Path, architecture: str) -> None:
    made = plan("multiclass", rows[:5], tmp_path, architecture=architecture, crop=64)
    train(made, 1)
    assert predicted(made, rows[:2]).shape == (2, 4, 64, 96)


@pytest.mark.parametrize("backbone", ["test_convnext", "test_resnet", "mobilenetv3_small_050", "mobilevit_xxs"])
def test_families_of_backbones_give_maps_of_every_size(backbone: str) -> None:
    params = SegmenterParams(backbone=backbone, pretrained=False, image_size=(96, 64), crop=64)
    model = network.create(params, network.encoder(params), 5)
    network.check_sizes(model, params)
    with torch.inference_mode():
        assert model.eval()(torch.zeros(1, 3, 96, 64)).shape == (1, 5, 96, 64)


def test_a_size_that_a_network_cannot_take_names_those_it_can() -> None:
    """PAN halves the coarsest map, 1/16 of an image, three times."""
    params = SegmenterParams(architecture="pan", backbone=TINY, pretrained=False, crop=64)
    model = network.create(params, network.encoder(params), 2)
    with raises_code("image_size_unsuitable", "crop=64 x 64", "crop=128 x 128", "crop equal to image_size"):
        network.check_sizes(model, params)


def test_a_backbone_without_dilation_is_refused() -> None:
    params = SegmenterParams(architecture="deeplabv3", backbone="test_vit", pretrained=False)
    with raises_code("backbone_unsuitable", "test_vit", "deeplabv3"):
        network.create(params, network.encoder(params), 2)
