"""IoU and Dice of several mask classes: against torchmetrics, pixel by pixel, and at their edges."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from torchmetrics.functional.segmentation import dice_score
from torchmetrics.functional.segmentation import mean_iou as torch_mean_iou

from goldfold import metrics

CLASSES = ("sky", "road", "car")
FACTORIES = (metrics.mean_iou, metrics.mean_dice, metrics.mean_iou_per_image, metrics.mean_dice_per_image)
VOID = 255


def class_map(seed: int, size: tuple[int, int] = (24, 30)) -> np.ndarray:
    """Smooth regions of the three classes."""
    noise = np.random.default_rng(seed).standard_normal((3, *size))
    return np.stack([cv2.GaussianBlur(each, (0, 0), 3) for each in noise]).argmax(axis=0).astype(np.uint8)


MAPS = [class_map(seed) for seed in range(4)]
ROWS = pd.DataFrame({"id": range(4)})


def truth_of(rows: pd.DataFrame):
    return (MAPS[i] for i in rows["id"])


def guesses(seed: int = 9) -> np.ndarray:
    """Probabilities (4, 3, 24, 30) that are roughly right."""
    noise = np.random.default_rng(seed).gumbel(size=(4, 3, 24, 30))
    values = np.exp(3 * np.stack([np.eye(3)[each].transpose(2, 0, 1) for each in MAPS]) + noise)
    return (values / values.sum(axis=1, keepdims=True)).astype(np.float16)


def tensors(predictions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    guess = torch.from_numpy(predictions.astype(np.float32).argmax(axis=1))
    return guess, torch.from_numpy(np.stack(MAPS).astype(np.int64))


@pytest.mark.parametrize("background", [True, False])
def test_scores_by_image_are_those_of_torchmetrics(background: bool) -> None:
    predictions = guesses()
    options = {"num_classes": 3, "include_background": background, "input_format": "index"}
    iou = torch_mean_iou(*tensors(predictions), per_class=True, **options)
    dice = dice_score(*tensors(predictions), average=None, **options)
    for factory, known in ((metrics.mean_iou_per_image, iou), (metrics.mean_dice_per_image, dice)):
        metric = factory(truth_of, CLASSES, background=background)
        assert metric.options.per_row(ROWS, predictions) == pytest.approx(known.numpy().mean(axis=1), abs=1e-6)
        by_class = metric.options.mask_classes.by_class(ROWS, predictions)(np.arange(4))
        assert by_class == pytest.approx(known.numpy().mean(axis=0), abs=1e-6)


def test_scores_over_the_data_set_are_those_of_one_image_with_all_pixels() -> None:
    predictions = guesses()
    joined = [each.reshape(1, 96, 30) for each in tensors(predictions)]
    options = {"num_classes": 3, "include_background": True, "input_format": "index"}
    iou, dice = torch_mean_iou(*joined, per_class=True, **options), dice_score(*joined, average=None, **options)
    for factory, known in ((metrics.mean_iou, iou), (metrics.mean_dice, dice)):
        metric = factory(truth_of, CLASSES)
        assert metric.score(ROWS, predictions) == pytest.approx(float(known.mean()), abs=1e-6)
        by_class = metric.options.mask_classes.by_class(ROWS, predictions)
        assert by_class(np.arange(4)) == pytest.approx(known.numpy()[0], abs=1e-6)
        repeated = np.array([0, 2, 2])
        again = metric.score(ROWS.iloc[repeated].reset_index(drop=True), predictions[repeated])
        assert metric.options.resampled(ROWS, predictions)(repeated) == pytest.approx(again, abs=1e-12)


def test_void_pixels_do_not_count() -> None:
    predictions, holes = guesses(), np.random.default_rng(0).random((24, 30)) < 0.3
    holed = [np.where(holes, VOID, each) for each in MAPS]
    guess = predictions.argmax(axis=1)
    values = []
    for index in range(3):
        true, said = np.stack(MAPS)[:, ~holes] == index, guess[:, ~holes] == index
        values.append((true & said).sum() / (true | said).sum())
    metric = metrics.mean_iou(lambda rows: (holed[i] for i in rows["id"]), CLASSES, void=VOID)
    assert metric.score(ROWS, predictions) == pytest.approx(np.mean(values), abs=1e-12)
    assert metric.score(ROWS, predictions) != pytest.approx(
        metrics.mean_iou(truth_of, CLASSES).score(ROWS, predictions)
    )
    nothing = metrics.mean_iou_per_image(lambda rows: [np.full((24, 30), VOID)] * len(rows), CLASSES, void=VOID)
    assert nothing.score(ROWS, predictions) == 1.0


def test_absent_classes_are_skipped_and_a_wrong_guess_of_one_is_not() -> None:
    truth = np.array([[0, 0, 1, 1]])
    right = np.stack([truth == 0, truth == 1, truth == 2])[None].astype(np.float32)
    wrong = right.copy()
    wrong[0, :, 0, 3] = 0, 0, 1
    rows = pd.DataFrame({"id": [0]})
    for factory in FACTORIES:
        metric = factory(lambda rows: [truth] * len(rows), CLASSES)
        assert metric.score(rows, right) == 1.0
        one, other = (1 / 2, 0.0) if "iou" in metric.name else (2 / 3, 0.0)
        assert metric.score(rows, wrong) == pytest.approx((1 + one + other) / 3, abs=1e-12)
        found = metric.options.mask_classes.by_class(rows, right)(np.array([0]))
        np.testing.assert_array_equal(found, [1, 1, np.nan])


@pytest.mark.parametrize("factory", FACTORIES)
def test_chance_is_the_best_constant(factory) -> None:
    metric = factory(truth_of, CLASSES)
    constants = [np.broadcast_to(each[:, None, None], (4, 3, 2, 2)) for each in np.eye(3, dtype=np.float32)]
    assert metric.chance(ROWS) == pytest.approx(max(metric.score(ROWS, each) for each in constants), abs=1e-12)
    layers = [np.stack([each == 0, each > 0, each > 9]).astype(np.uint8) for each in MAPS]
    metric = factory(lambda rows: (layers[i] for i in rows["id"]), CLASSES, overlapping=True)
    constants = [np.broadcast_to(np.array(some)[:, None, None], (4, 3, 2, 2)) for some in np.ndindex(2, 2, 2)]
    assert metric.chance(ROWS) == pytest.approx(max(metric.score(ROWS, each) for each in constants), abs=1e-12)


def test_overlapping_classes_are_scored_each_at_one_half() -> None:
    layers = np.stack([np.stack([each < 2, each > 0]) for each in MAPS]).astype(np.uint8)
    predictions = np.random.default_rng(2).random((4, 2, 24, 30)).astype(np.float32)
    metric = metrics.mean_dice(lambda rows: layers[rows["id"]], ("soft", "hard"), overlapping=True)
    said, true = predictions > 0.5, layers > 0
    by_class = 2 * (said & true).sum(axis=(0, 2, 3)) / (said.sum(axis=(0, 2, 3)) + true.sum(axis=(0, 2, 3)))
    assert metric.score(ROWS, predictions) == pytest.approx(by_class.mean(), abs=1e-12)


def test_maps_are_resized_to_the_truth_before_the_class_is_chosen() -> None:
    small = np.random.default_rng(4).random((4, 3, 12, 15)).astype(np.float16)
    large = [[cv2.resize(each.astype(np.float32), (30, 24)) for each in maps] for maps in small]
    metric = metrics.mean_iou(truth_of, CLASSES)
    assert metric.score(ROWS, small) == metric.score(ROWS, np.array(large))


def test_two_classes_take_maps_of_the_second() -> None:
    second = np.random.default_rng(4).random((4, 24, 30)).astype(np.float16)
    metric = metrics.mean_iou(lambda rows: (each > 0 for each in truth_of(rows)), ("none", "thing"))
    both = np.stack([1 - second.astype(np.float32), second.astype(np.float32)], axis=1)
    assert metric.score(ROWS, second) == metric.score(ROWS, both)


def test_wrong_shapes_and_class_maps_are_named() -> None:
    metric, predictions = metrics.mean_iou(truth_of, CLASSES), guesses()
    for wrong in (predictions[:, :2], predictions[:, 0], predictions[..., None]):
        with raises_code("wrong_prediction_shape", "3 classes"):
            metric.score(ROWS, wrong)
    spoilt = predictions.copy()
    spoilt[1, 0, 0, 0] = np.nan
    with raises_code("predictions_not_finite", "1 of 4"):
        metric.score(ROWS, spoilt)
    for bad, fact in ((MAPS[0] + 2, "found 3"), (MAPS[0] / 1, "float64"), (MAPS[0][None], r"\(1, 24, 30\)")):
        with raises_code("class_map_invalid", fact):
            metrics.mean_iou(lambda rows, bad=bad: [bad] * len(rows), CLASSES).score(ROWS, predictions)
    named = ROWS.assign(id=[f"点{at}" for at in range(len(ROWS))], mask_path="遮罩.png")
    with raises_code("class_map_invalid", "row '点0' ('遮罩.png')", "0 to 2", "found 3"):
        metrics.mean_iou(lambda rows: [MAPS[0] + 2] * len(rows), CLASSES).score(named, predictions)
    with raises_code("no_rows"):
        metric.chance(ROWS[:0])
    with raises_code("too_few_classes"):
        metrics.mean_iou(truth_of, ("only",), background=False)
