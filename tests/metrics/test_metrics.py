"""Every metric equals its library or a slow re-expression, keeps its range and chance, and refuses nonsense."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import cv2
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
import torch
import torchmetrics.classification as torch_reference
from error_codes import raises_code
from scipy import stats

from goldfold import metrics
from goldfold.metrics.inputs import shape_of_rows

RNG = np.random.default_rng(11)
N = 400
KINDS = ("крыса", "地毯", "grid", "тень")


def simplex(rows: int, classes: int) -> np.ndarray:
    values = RNG.gamma(0.7, size=(rows, classes)).astype(np.float32)
    return values / values.sum(axis=1, keepdims=True)


ROWS = pd.DataFrame(
    {
        "kind": RNG.choice(KINDS, N, p=[0.5, 0.3, 0.15, 0.05]),
        "good": RNG.random(N) < 0.3,
        "grade": RNG.integers(1, 6, N),
        "price": RNG.gamma(2.0, 100.0, N),
        "a": RNG.integers(0, 2, N),
        "b": (RNG.random(N) < 0.1).astype(float),
        "never": 0,
    },
    index=RNG.permutation(N) + 50,
)
BINARY = RNG.random(N).astype(np.float32)
BINARY[:3] = 0.5  # on the threshold: negative
FOUR = simplex(N, 4)
CODES = ROWS["kind"].map(KINDS.index).to_numpy()


def test_auroc_is_scikit_learns_and_torchmetrics():
    metric = metrics.auroc("good")
    ties = BINARY.round(1)
    for scores in (BINARY, ties, ties * 20 - 7):
        assert metric.score(ROWS, scores) == pytest.approx(reference.roc_auc_score(ROWS["good"], scores), abs=1e-12)
    theirs = torch_reference.BinaryAUROC()(torch.tensor(ties), torch.tensor(ROWS["good"].to_numpy()))
    assert metric.score(ROWS, ties) == pytest.approx(float(theirs), abs=1e-6)
    assert metric.score(ROWS, np.stack([1 - ties, ties], axis=1)) == metric.score(ROWS, ties)
    assert metric.chance(ROWS) == metric.score(ROWS, np.zeros(N)) == 0.5
    good = ROWS["good"].to_numpy()
    wrong = np.sign(ties[~good][None] - ties[good][:, None]) / 2 + 0.5  # of each good row beside each other one
    assert metric.options.row_error(ROWS, ties)[good] == pytest.approx(wrong.mean(1))
    assert metric.options.row_error(ROWS, ties)[~good] == pytest.approx(wrong.mean(0))
    assert 1 - metric.options.row_error(ROWS, ties)[good].mean() == pytest.approx(metric.score(ROWS, ties))
    assert not metric.options.row_error(ROWS[good], ties[good]).any()


def test_auroc_of_one_class_is_refused():
    with raises_code("metric_one_class", "AUROC", "'never'", "all 400 rows are 0"):
        metrics.auroc("never").score(ROWS, BINARY)
    named = pd.DataFrame({"state": ["нет", "да", "да"]})
    assert metrics.auroc("state", classes=("нет", "да")).score(named, np.array([0.1, 0.9, 0.2])) == 1.0


def test_auroc_can_leave_other_classes_out():
    """Cells judged defective with probability 1/3 or 2/3 are neither."""
    judged = ROWS.assign(p=RNG.choice([0.0, 1 / 3, 2 / 3, 1.0], N))
    metric, sure = metrics.auroc("p", other_classes="leave_out"), judged["p"].isin([0, 1]).to_numpy()
    plain, ties = metrics.auroc("p"), BINARY.round(1)
    assert (metric.name, plain.name) == ("auroc_p_1_against_0", "auroc")
    assert metrics.auroc("p", classes=(1 / 3, 1), other_classes="leave_out").name == "auroc_p_1_against_0.333333"
    assert metrics.auroc("kind", classes=KINDS[:2], other_classes="leave_out").name == "auroc_kind_地毯_against_крыса"
    assert metric.score(judged, ties) == plain.score(judged[sure], ties[sure])
    assert metric.options.p_value(judged, ties) == plain.options.p_value(judged[sure], ties[sure])
    assert (metric.options.row_error(judged, ties)[sure] == plain.options.row_error(judged[sure], ties[sure])).all()
    assert not metric.options.row_error(judged, ties)[~sure].any()
    index = RNG.integers(0, N, N)
    again = metric.score(judged.iloc[index], ties[index])
    assert metric.options.resampled(judged, ties)(index) == pytest.approx(again, abs=1e-12)
    kinds = metrics.auroc("kind", classes=KINDS[:2], other_classes="leave_out")
    some = ROWS["kind"].isin(KINDS[:2]).to_numpy()
    assert kinds.score(ROWS, ties) == metrics.auroc("kind", classes=KINDS[:2]).score(ROWS[some], ties[some])
    with raises_code("unknown_class", "target 'p' holds 0.", "[0, 1]"):
        plain.score(judged, ties)
    with raises_code("metric_one_class", "'kind' 0 and 1", "all 400 rows"):
        metrics.auroc("kind", other_classes="leave_out").score(ROWS, ties)
    with raises_code("unknown_option", "did you mean 'leave_out'"):
        metrics.auroc("p", other_classes="leave")


def permuted(truth: np.ndarray, scores: np.ndarray) -> float:
    """The share of all ways to hand out the labels whose AUROC is at least as high, one way after the other."""
    ways = combinations(range(len(truth)), int(truth.sum()))
    areas = [reference.roc_auc_score(np.isin(np.arange(len(truth)), way), scores) for way in ways]
    return float(np.mean(np.array(areas) >= reference.roc_auc_score(truth, scores) - 1e-12))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("levels", [2, 4, 100])
def test_the_p_value_is_counted_over_every_assignment_of_the_labels(seed, levels):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(9) < rng.integers(1, 9))
    scores = rng.integers(0, levels, 9) / 7  # with ties, and none where there are many levels
    p, smallest = metrics.auroc("y").options.p_value(pd.DataFrame({"y": truth}), scores)
    assert p == pytest.approx(permuted(truth, scores), abs=1e-12)
    assert smallest == min(truth.sum(), 9 - truth.sum())


def test_three_against_three_separate_perfectly_once_in_twenty():
    rows, test = pd.DataFrame({"y": [0, 0, 0, 1, 1, 1]}), metrics.auroc("y").options.p_value
    assert test(rows, np.arange(6.0)) == (0.05, 3)
    assert test(rows, -np.arange(6.0)) == test(rows, np.zeros(6)) == (1.0, 3)
    with raises_code("metric_one_class", "'y'", "all 3 rows are 0"):
        test(rows[:3], np.arange(3.0))


@pytest.mark.parametrize(("negatives", "positives"), [(50, 50), (300, 20), (20, 300), (4000, 2)])
def test_the_p_value_without_ties_is_scipys_exact_one(negatives, positives):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=negatives + positives) + 0.4 * (np.arange(negatives + positives) >= negatives)
    rows = pd.DataFrame({"y": np.repeat([0, 1], [negatives, positives])})
    expected = stats.mannwhitneyu(scores[negatives:], scores[:negatives], alternative="greater", method="exact").pvalue
    assert metrics.auroc("y").options.p_value(rows, scores) == (
        pytest.approx(expected, rel=1e-9),
        min(negatives, positives),
    )


def test_the_p_value_of_many_rows_is_approximate_and_never_0():
    rows = pd.DataFrame({"y": np.repeat([0, 1], 2000)})
    scores = np.random.default_rng(0).normal(size=4000).round(1) + 0.05 * rows["y"].to_numpy()
    expected = stats.mannwhitneyu(scores[2000:], scores[:2000], alternative="greater").pvalue
    assert metrics.auroc("y").options.p_value(rows, scores) == (pytest.approx(expected, rel=1e-12), 2000)
    p, _ = metrics.auroc("y").options.p_value(rows, rows["y"].to_numpy())
    assert 0 < p < 1e-300
    assert metrics.auroc("y").options.p_value(rows, np.zeros(4000)).p_value == 1.0


@pytest.mark.filterwarnings("ignore:No positive samples found")  # torchmetrics, of the empty class
def test_average_precision_says_what_it_does_with_empty_classes():
    targets = ("a", "b", "never")
    scores = RNG.random((N, 3)).round(2)
    filled = reference.average_precision_score(ROWS[["a", "b"]], scores[:, :2], average="macro")
    skip, zero = metrics.average_precision(targets), metrics.average_precision(targets, empty="zero")
    assert (skip.name, zero.name) == ("average_precision_macro_skip_empty", "average_precision_macro_zero_empty")
    assert skip.score(ROWS, scores) == pytest.approx(filled, abs=1e-12)
    assert zero.score(ROWS, scores) == pytest.approx(filled * 2 / 3, abs=1e-12)
    theirs = torch_reference.MultilabelAveragePrecision(num_labels=3, average="macro")
    truth = torch.tensor(ROWS[list(targets)].to_numpy(int))
    assert zero.score(ROWS, scores) == pytest.approx(float(theirs(torch.tensor(scores), truth)), abs=1e-6)
    assert zero.chance(ROWS) == pytest.approx(skip.chance(ROWS) * 2 / 3, abs=1e-12)
    assert skip.chance(ROWS) > skip.score(ROWS, np.full((N, 3), 0.3))  # a constant scores the share of positives
    assert metrics.average_precision("b").score(ROWS, scores[:, 1]) == pytest.approx(
        reference.average_precision_score(ROWS["b"], scores[:, 1]), abs=1e-12
    )
    assert skip.options.row_error(ROWS, scores) == pytest.approx(
        np.abs(ROWS[list(targets)].to_numpy() - scores).mean(axis=1)
    )
    with raises_code("metric_no_positives", "400 rows"):
        metrics.average_precision("never").score(ROWS, BINARY)
    with raises_code("unknown_option", "did you mean 'skip'"):
        metrics.average_precision("a", empty="skipp")


def test_accuracy_takes_labels_and_probabilities():
    metric = metrics.accuracy("kind", classes=KINDS)
    expected = reference.accuracy_score(CODES, FOUR.argmax(axis=1))
    assert metric.score(ROWS, FOUR) == pytest.approx(expected, abs=1e-12)
    assert metric.score(ROWS, np.array(KINDS)[FOUR.argmax(axis=1)]) == metric.score(ROWS, FOUR)
    assert metric.score(ROWS, ROWS["kind"].to_numpy()) == 1.0
    assert metric.options.per_row(ROWS, FOUR).mean() == metric.score(ROWS, FOUR)
    assert metric.options.row_error(ROWS, FOUR) == pytest.approx(1 - FOUR[np.arange(N), CODES])
    assert metric.options.row_error(ROWS, np.full(N, "grid")).sum() == (ROWS["kind"] != "grid").sum()
    constants = [metric.score(ROWS, np.full(N, kind)) for kind in KINDS]
    assert metric.chance(ROWS) == max(constants)


def test_a_binary_probability_counts_above_the_threshold():
    metric, decided = metrics.accuracy("good"), BINARY > 0.5
    assert metric.score(ROWS, BINARY) == pytest.approx((ROWS["good"] == decided).mean(), abs=1e-12)
    theirs = torch_reference.BinaryAccuracy()(torch.tensor(BINARY), torch.tensor(ROWS["good"].to_numpy(int)))
    assert metric.score(ROWS, BINARY) == pytest.approx(float(theirs), abs=1e-6)
    for same in (decided, decided.astype(int), decided.astype(float), np.stack([1 - BINARY, BINARY], axis=1)):
        assert metric.score(ROWS, same) == metric.score(ROWS, BINARY)
    assert metric.options.row_error(ROWS, BINARY) == pytest.approx(np.abs(ROWS["good"] - BINARY.astype(float)))
    other = metrics.accuracy("good", threshold=0.3)
    assert other.name == "accuracy_at_0.3"
    assert other.score(ROWS, BINARY) == (ROWS["good"] == (BINARY > 0.3)).mean()
    with raises_code("threshold_needs_one_column", "threshold 0.3", (N, 2)):
        other.score(ROWS, np.stack([1 - BINARY, BINARY], axis=1))


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_f1_is_scikit_learns_and_torchmetrics(average):
    metric = metrics.f1("kind", classes=KINDS, average=average)
    assert metric.name == f"f1_{average}"
    expected = reference.f1_score(CODES, FOUR.argmax(axis=1), average=average)
    assert metric.score(ROWS, FOUR) == pytest.approx(expected, abs=1e-12)
    theirs = torch_reference.MulticlassF1Score(4, average=average)(torch.tensor(FOUR), torch.tensor(CODES))
    assert metric.score(ROWS, FOUR) == pytest.approx(float(theirs), abs=1e-6)
    assert metric.score(ROWS, ROWS["kind"].to_numpy()) == 1.0


def test_f1_of_a_class_without_rows_counts_zero():
    some = ROWS[ROWS["kind"] != "grid"]
    assert metrics.f1("kind", classes=KINDS).score(some, some["kind"].to_numpy()) == pytest.approx(3 / 4)


def test_f1_chance_is_the_best_that_knows_only_the_shares():
    many = ROWS.sample(40_000, replace=True, random_state=0)
    blind = np.random.default_rng(0).permutation(many["kind"].to_numpy())
    macro, micro = metrics.f1("kind", classes=KINDS), metrics.f1("kind", classes=KINDS, average="micro")
    assert macro.score(many, blind) == pytest.approx(macro.chance(many), abs=0.01)
    for kind in KINDS:
        constant = np.full(len(many), kind)
        assert macro.score(many, constant) < macro.chance(many)
        assert micro.score(many, constant) <= micro.chance(many)
    assert micro.score(many, np.full(len(many), KINDS[0])) == micro.chance(many)
    with raises_code("unknown_option", "did you mean 'macro'"):
        metrics.f1("kind", average="makro")


def test_log_loss_is_scikit_learns():
    metric, binary = metrics.log_loss("kind", classes=KINDS), metrics.log_loss("good")
    exact = FOUR.astype(float) / FOUR.astype(float).sum(axis=1, keepdims=True)
    assert metric.score(ROWS, exact) == pytest.approx(reference.log_loss(CODES, exact), abs=1e-12)
    assert metric.score(ROWS, exact * 0.9995) == pytest.approx(metric.score(ROWS, exact), abs=1e-12)
    expected = reference.log_loss(ROWS["good"], BINARY.astype(float))
    assert binary.score(ROWS, BINARY) == pytest.approx(expected, abs=1e-12)
    sure = ROWS["good"].to_numpy(float)
    assert binary.score(ROWS, 1 - sure) == pytest.approx(reference.log_loss(ROWS["good"], 1 - sure), abs=1e-12)
    assert metric.options.per_row(ROWS, FOUR).mean() == metric.score(ROWS, FOUR)
    shares = np.bincount(CODES) / N
    assert metric.chance(ROWS) == pytest.approx(metric.score(ROWS, np.tile(shares, (N, 1))), abs=1e-12)
    assert metrics.log_loss("kind", classes=[*KINDS, "fehlt"]).chance(ROWS) == metric.chance(ROWS)
    with raises_code("probabilities_not_normalized", "0.5 away"):
        metric.score(ROWS, exact / 2)


def test_quadratic_kappa_is_scikit_learns_and_torchmetrics():
    grades = (1, 2, 3, 4, 5)
    metric = metrics.quadratic_kappa("grade", classes=grades)
    guess = np.clip(ROWS["grade"].to_numpy() + RNG.integers(-2, 3, N), 1, 5)
    expected = reference.cohen_kappa_score(ROWS["grade"], guess, weights="quadratic", labels=grades)
    assert metric.score(ROWS, guess) == pytest.approx(expected, abs=1e-12)
    theirs = torch_reference.MulticlassCohenKappa(5, weights="quadratic")
    truth = torch.tensor(ROWS["grade"].to_numpy() - 1)
    assert metric.score(ROWS, guess) == pytest.approx(float(theirs(torch.tensor(guess - 1), truth)), abs=1e-6)
    assert metric.score(ROWS, ROWS["grade"].to_numpy()) == 1.0
    assert metric.score(ROWS, np.eye(5)[guess - 1]) == metric.score(ROWS, guess)
    some = ROWS["grade"].isin([1, 4, 5]) & np.isin(guess, [1, 4, 5])  # absent classes keep their distance
    expected = reference.cohen_kappa_score(ROWS["grade"][some], guess[some], weights="quadratic", labels=grades)
    assert metric.score(ROWS[some], guess[some]) == pytest.approx(expected, abs=1e-12)
    noisy = guess + RNG.uniform(-0.49, 0.49, N)
    noisy[guess == 5] += 3
    assert metric.score(ROWS, noisy) == metric.score(ROWS, guess)
    assert metric.options.row_error(ROWS, noisy) == pytest.approx((ROWS["grade"] - guess) ** 2)
    for grade in grades:
        assert metric.score(ROWS, np.full(N, grade)) == pytest.approx(metric.chance(ROWS), abs=1e-12)
    sizes = metrics.quadratic_kappa("kind", classes=KINDS)
    assert sizes.score(ROWS, ROWS["kind"].to_numpy()) == 1.0
    with raises_code("classes_not_numeric", KINDS[0]):
        sizes.score(ROWS, BINARY)
    with raises_code("metric_one_class", "'never'", "all 0"):
        metrics.quadratic_kappa("never", classes=(0, 1)).score(ROWS, np.zeros(N, int))


def test_regression_is_scikit_learns():
    guess = ROWS["price"].to_numpy() * RNG.uniform(0.5, 1.5, N)
    rmse, rmsle = metrics.rmse("price"), metrics.rmsle("price")
    truth = ROWS["price"]
    assert rmse.score(ROWS, guess) == pytest.approx(reference.root_mean_squared_error(truth, guess), abs=1e-12)
    assert rmsle.score(ROWS, guess) == pytest.approx(reference.root_mean_squared_log_error(truth, guess), abs=1e-12)
    assert rmse.chance(ROWS) == pytest.approx(rmse.score(ROWS, np.full(N, truth.mean())), abs=1e-12)
    middle = np.expm1(np.log1p(truth).mean())
    assert rmsle.chance(ROWS) == pytest.approx(rmsle.score(ROWS, np.full(N, middle)), abs=1e-12)
    assert np.sqrt(rmsle.options.row_error(ROWS, guess).mean()) == rmsle.score(ROWS, guess)
    assert rmse.options.row_error(ROWS, guess).argmax() == np.abs(truth.to_numpy() - guess).argmax()
    with raises_code("value_at_most_minus_one", "predictions", "-3"):
        rmsle.score(ROWS, np.full(N, -3.0))


def objects(side: int, count: int, seed: int) -> np.ndarray:
    """Overlapping squares with ids that skip numbers."""
    rng, canvas = np.random.default_rng(seed), np.zeros((side, side), np.int32)
    for label in rng.permutation(3 * count)[:count] + 1:
        top, left = rng.integers(0, side - 4, 2)
        canvas[top : top + rng.integers(3, side // 3), left : left + rng.integers(3, side // 3)] = label
    return canvas


def slow_average_precision(truth: np.ndarray, predicted: np.ndarray) -> float:
    true_masks = [truth == label for label in np.unique(truth) if label]
    predicted_masks = [predicted == label for label in np.unique(predicted) if label]
    precisions = []
    for twentieths in range(10, 20):
        hits = 0
        for one in true_masks:
            for other in predicted_masks:
                hits += 20 * int((one & other).sum()) > twentieths * int((one | other).sum())
        total = len(true_masks) + len(predicted_masks) - hits
        precisions.append(hits / total if total else 1.0)
    return float(np.mean(precisions))


MAPS = [objects(40, 6, 0), objects(56, 9, 1), np.zeros((30, 44), np.uint8), objects(40, 1, 2)]
IMAGES = pd.DataFrame({"id": range(len(MAPS))})


def truth_of(rows: pd.DataFrame):
    return (MAPS[i] for i in rows["id"])


def guessed_maps() -> np.ndarray:
    """Probability maps of 48 x 48 that are roughly right."""
    masks = [cv2.resize((truth > 0).astype(np.float32), (48, 48), interpolation=cv2.INTER_LINEAR) for truth in MAPS]
    noise = np.random.default_rng(5).normal(0, 0.2, (len(MAPS), 48, 48))
    return np.clip(np.stack(masks) + noise, 0, 1).astype(np.float16)


def resized_masks(predictions: np.ndarray) -> list[np.ndarray]:
    sizes = [truth.shape[::-1] for truth in MAPS]
    return [cv2.resize(one.astype(np.float32), size) > 0.5 for one, size in zip(predictions, sizes, strict=True)]


def test_dice_and_iou_are_scikit_learns_on_each_image():
    predictions = guessed_maps()
    predictions[2] = 0.5  # not above one half: nothing predicted where nothing is
    dice, iou = metrics.dice(truth_of), metrics.iou(truth_of)
    pairs = [(t.ravel() > 0, m.ravel()) for t, m in zip(MAPS, resized_masks(predictions), strict=True)]
    f1 = [reference.f1_score(truth, mask, zero_division=1.0) for truth, mask in pairs]
    jaccard = [1.0 if not (t | m).any() else reference.jaccard_score(t, m) for t, m in pairs]
    assert f1[2] == jaccard[2] == 1.0
    assert dice.options.per_row(IMAGES, predictions) == pytest.approx(f1, abs=1e-12)
    assert iou.options.per_row(IMAGES, predictions) == pytest.approx(jaccard, abs=1e-12)
    assert dice.score(IMAGES, predictions) == pytest.approx(np.mean(f1), abs=1e-12)
    assert dice.options.row_error(IMAGES, predictions) == pytest.approx(1 - np.array(f1), abs=1e-12)
    one = IMAGES[1:2]
    assert dice.score(one, predictions[1:2]) == pytest.approx(f1[1], abs=1e-12)


@pytest.mark.parametrize("factory", [metrics.dice, metrics.iou])
def test_mask_chance_is_the_better_constant_mask(factory):
    metric = factory(truth_of)
    for rows in (IMAGES, IMAGES[:2], IMAGES[2:3]):
        constants = [metric.score(rows, np.full((len(rows), 8, 8), value)) for value in (0.0, 1.0)]
        assert metric.chance(rows) == pytest.approx(max(constants), abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_instance_average_precision_is_the_slow_one(seed):
    truth = objects(60, 12, seed)
    rng = np.random.default_rng(seed)
    predicted = np.roll(truth, rng.integers(-2, 3, 2), axis=(0, 1))
    predicted = np.where(np.isin(predicted, rng.permutation(37)[:6]), 0, predicted)
    expected = slow_average_precision(truth, predicted)
    assert 0 < expected < 1
    assert metrics.instance_average_precision(truth, predicted) == pytest.approx(expected, abs=1e-12)
    assert metrics.instance_average_precision(predicted, truth) == pytest.approx(expected, abs=1e-12)


def test_instance_average_precision_at_its_edges():
    score = metrics.instance_average_precision
    nothing, thing = np.zeros((4, 5), np.uint8), np.ones((4, 5), np.int64)
    assert score(nothing, nothing) == 1.0
    assert score(nothing, thing) == score(thing, nothing) == 0.0
    assert score(thing, thing * 9) == 1.0
    for cells in range(1, 21):  # IoU of cells / 20, which lies on a threshold: only the thresholds below are passed
        part = (np.arange(20) < cells).reshape(4, 5).astype(int)
        assert score(thing, part) == sum(cells > twentieths for twentieths in range(10, 20)) / 10
    for wrong in (thing.astype(float), -thing, thing[:3]):
        with raises_code("object_map_invalid", wrong.dtype, wrong.shape):
            score(thing, wrong)


def test_dsb2018_map_is_the_mean_over_images():
    def instances(probability: np.ndarray) -> np.ndarray:
        return cv2.connectedComponents((probability > 0.5).astype(np.uint8))[1]

    metric, predictions = metrics.dsb2018_map(truth_of, instances), guessed_maps()
    guessed = [instances(mask.astype(np.float32)) for mask in resized_masks(predictions)]
    expected = [slow_average_precision(truth, guess) for truth, guess in zip(MAPS, guessed, strict=True)]
    assert metric.name == "dsb2018_map"
    assert metric.options.per_row(IMAGES, predictions) == pytest.approx(expected, abs=1e-12)
    assert metric.score(IMAGES, predictions) == pytest.approx(np.mean(expected), abs=1e-12)
    assert metric.options.row_error(IMAGES, predictions) == pytest.approx(1 - np.array(expected), abs=1e-12)
    assert metric.chance(IMAGES) == metric.score(IMAGES, np.zeros((4, 8, 8))) == 1 / 4
    assert metric.chance(IMAGES[:2]) == 0.0


METRICS = {
    "auroc": (metrics.auroc("good"), BINARY),
    "average precision": (metrics.average_precision(["a", "b"]), FOUR[:, :2]),
    "multilabel auroc": (metrics.multilabel_auroc(["a", "b"]), FOUR[:, :2]),
    "lrap": (metrics.label_ranking_average_precision(["a", "b"]), FOUR[:, :2]),
    "hamming": (metrics.hamming_loss(["a", "b"]), FOUR[:, :2]),
    "subset accuracy": (metrics.subset_accuracy(["a", "b"]), FOUR[:, :2]),
    "multilabel f1": (metrics.multilabel_f1(["a", "b"]), FOUR[:, :2]),
    "multilabel micro f1": (metrics.multilabel_f1(["a", "b"], average="micro"), FOUR[:, :2]),
    "multilabel precision": (metrics.multilabel_precision(["a", "b"]), FOUR[:, :2]),
    "multilabel recall": (metrics.multilabel_recall(["a", "b"]), FOUR[:, :2]),
    "accuracy": (metrics.accuracy("kind", classes=KINDS), FOUR),
    "binary accuracy": (metrics.accuracy("good"), BINARY),
    "log loss": (metrics.log_loss("kind", classes=KINDS), FOUR),
    "f1": (metrics.f1("kind", classes=KINDS), FOUR),
    "kappa": (metrics.quadratic_kappa("grade", classes=range(1, 6)), BINARY * 6),
    "rmse": (metrics.rmse("price"), BINARY),
    "rmsle": (metrics.rmsle("price"), BINARY),
    "dice": (metrics.dice(lambda rows: np.ones((len(rows), 3, 3), int)), RNG.random((N, 2, 2))),
    "dsb2018": (
        metrics.dsb2018_map(lambda rows: np.ones((len(rows), 3, 3), int), lambda p: (p > 0.5).astype(int)),
        RNG.random((N, 2, 2)),
    ),
}


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_keeps_the_seams_promises(name):
    metric, predictions = METRICS[name]
    low, high = metric.bounds
    for value in (metric.score(ROWS, predictions), metric.chance(ROWS)):
        assert type(value) is float
        assert low <= value <= high
    if metric.options.per_row:
        assert metric.options.per_row(ROWS, predictions).shape == (N,)
        assert metric.options.per_row(ROWS, predictions).mean() == pytest.approx(
            metric.score(ROWS, predictions), abs=1e-12
        )
    assert metric.options.row_error(ROWS, predictions).shape == (N,)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_refuses_wrong_predictions(name):
    metric, predictions = METRICS[name]
    spoilt = predictions.copy()
    spoilt[3], spoilt[5] = np.nan, np.inf
    functions = [f for f in (metric.score, metric.options.per_row, metric.options.row_error) if f]
    for function in functions:
        with raises_code("predictions_not_finite", "2 of 400"):
            function(ROWS, spoilt)
        with raises_code("predictions_wrong_length", "400 rows", "(399,"):
            function(ROWS, predictions[1:])
        with raises_code("no_rows"):
            function(ROWS[:0], predictions[:0])
        with raises_code("wrong_prediction_shape", shape_of_rows(predictions[..., None].shape[1:])):
            function(ROWS, predictions[..., None])


def test_wrong_labels_and_columns_are_named():
    for metric, predictions, code, fact in [
        (metrics.auroc("goood"), BINARY, "unknown_column", "did you mean 'good'"),
        (metrics.accuracy("kind"), BINARY, "unknown_class", "target 'kind'"),
        (
            metrics.accuracy("kind", classes=KINDS),
            np.full(N, "gird"),
            "unknown_class",
            "the prediction holds 'gird'",
        ),
        (metrics.accuracy("good"), BINARY * 9, "not_probabilities", "sigmoid"),
        (metrics.log_loss("kind", classes=KINDS), FOUR * 9, "not_probabilities", "softmax"),
        (metrics.rmse("kind"), BINARY, "target_not_numeric", "'kind'"),
        (metrics.rmse("price"), np.full(N, "1"), "predictions_not_numeric", "<U1"),
    ]:
        with raises_code(code, fact):
            metric.score(ROWS, predictions)
    holed = ROWS.assign(price=ROWS["price"].where(ROWS["grade"] > 1), kind=ROWS["kind"].where(ROWS["grade"] > 1))
    gone = (ROWS["grade"] == 1).sum()
    for metric in (metrics.rmse("price"), metrics.accuracy("kind", classes=KINDS)):
        with raises_code("values_missing", f"in {gone} of 400 rows"):
            metric.chance(holed)


def test_metrics_load_no_heavy_library():
    code = "import sys, goldfold.metrics; print(*{'torch', 'sklearn', 'cv2', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
