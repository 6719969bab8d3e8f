"""Numbers and ordered classes as targets of image recipes: losses against torch and the paper, and what is learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from goldfold.competition import Recipe, Runtime
from goldfold.params import Params, without_effect
from goldfold.recipes import frozen_backbone, image_classifier
from goldfold.recipes.targets import OrderedLabel, Values, create
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions

TINY = {"backbone": "test_resnet", "pretrained": False, "image_size": 32, "learning_rate": 1e-2, "batch_size": 10}


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    """50 pictures of noise around their light, a thousandth of which is their weight; five grades ascend with it."""
    folder, random, made = tmp_path_factory.mktemp("světlo"), np.random.default_rng(0), []
    for number in range(50):
        light = 20 + 4 * ((number * 7) % 50)
        pixels = np.clip(random.normal(light, 10, (32, 32)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        grade = "abcde"[(number * 7) % 50 // 10]
        made.append({"id": number, "path": folder / f"{number}.png", "light": light, "weight": light / 1000})
        made[-1]["grade"] = grade
    return pd.DataFrame(made)


def predicted(recipe: Recipe, rows: pd.DataFrame, folder: Path, **params) -> np.ndarray:
    torch.manual_seed(0)
    place = Runtime(seed=0, device=torch.device("cpu"), cache=folder)
    plan = recipe.build(recipe.params(**TINY | params), rows[:40], place)
    train(plan, loop=LoopOptions(), device=torch.device("cpu"))
    assert plan.stages[0].row_losses is not None
    plan.model.eval()
    with torch.no_grad():
        assert plan.stages[0].row_losses(plan.model).shape == (40,)
        return plan.predict(plan.model, None, rows[40:][["id", "path"]])


def test_numbers_are_learned_in_their_units(rows, tmp_path):
    light = rows["light"][40:].to_numpy()
    frozen = predicted(frozen_backbone.recipe(values="light"), rows, tmp_path, epochs=30)
    assert frozen.shape == (10,)
    assert np.abs(frozen - light).mean() < 0.4 * np.abs(light - light.mean()).mean()
    both = image_classifier.recipe(values=("light", "weight"))
    tuned = predicted(both, rows, tmp_path, epochs=6, augmentation="none", loss="huber", mixup=0.1)
    assert tuned.shape == (10, 2)
    assert np.corrcoef(tuned[:, 0], light)[0, 1] > 0.8
    np.testing.assert_allclose(tuned[:, 1] * 1000, tuned[:, 0], atol=60)


def test_ordered_classes_are_learned(rows, tmp_path):
    found = predicted(frozen_backbone.recipe("grade", "abcde", ordered=True), rows, tmp_path, epochs=30)
    assert found.shape == (10, 5)
    assert np.allclose(found.sum(1), 1)
    wanted = np.array(["abcde".index(grade) for grade in rows["grade"][40:]])
    assert np.abs(found @ np.arange(5) - wanted).mean() < 0.6


@pytest.mark.parametrize(("loss", "theirs"), [("mse", F.mse_loss), ("mae", F.l1_loss), ("huber", F.huber_loss)])
def test_losses_of_numbers_are_torchs_of_standardized_values(loss, theirs):
    values = torch.tensor([[1.0, 200.0], [3.0, 500.0], [8.0, -100.0]])
    outputs = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    targets = create(None, None, None, values=("one", "two"))
    params = targets.params(Params)(loss=loss)
    standard = (values - values.mean(0)) / values.std(0, correction=0)
    torch.testing.assert_close(targets.loss(params, values.numpy())(outputs, values)[loss], theirs(outputs, standard))
    rows = targets.row_losses(params, values.numpy())(outputs, values)
    torch.testing.assert_close(rows.mean(), theirs(outputs, standard))
    fitted = targets.fitted(values.numpy())
    np.testing.assert_allclose(fitted.predictions(standard.double().numpy()), values, rtol=1e-5)


def test_a_constant_column_is_predicted_as_it_is():
    targets = Values(("a",)).fitted(np.full((4, 1), 7.0, np.float32))
    assert targets.predictions(np.zeros((2, 1))).tolist() == [7.0, 7.0]


def brute_force(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of CORN, task by task on its conditional subset, as equation 6 of the paper says."""
    total, count = torch.tensor(0.0), 0
    for task in range(logits.shape[1]):
        for row, label in enumerate(labels.tolist()):
            if label > task - 1:
                p = logits[row, task].sigmoid()
                total, count = total - (p if label > task else 1 - p).log(), count + 1
    return total / count


def test_corn_is_the_papers():
    logits, labels = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 5
    targets = OrderedLabel("grade", tuple("abcde"))
    params = targets.params(Params)()
    torch.testing.assert_close(
        targets.loss(params, labels.numpy())(logits, labels)["corn"], brute_force(logits, labels)
    )
    found = targets.probabilities(logits.double())
    conditional = logits.double().sigmoid()
    for k in range(5):
        above = conditional[:, :k].prod(1)
        wanted = above * (1 - conditional[:, k]) if k < 4 else above
        torch.testing.assert_close(found[:, k], wanted)
    # the mean negative log-likelihood of the probabilities is the sum of the steps of a row
    steps = targets.row_losses(params, labels.numpy())(logits.double(), labels)
    torch.testing.assert_close(steps, -found.gather(1, labels[:, None])[:, 0].log())


def test_targets_are_named_once():
    for given in ({"values": "a", "target": "b", "classes": (1, 2)}, {"values": "a", "targets": ("b", "c")}, {}):
        with raises_code("targets_unclear"):
            create(given.get("target"), given.get("classes"), given.get("targets"), values=given.get("values"))
    with raises_code("targets_unclear"):
        create(None, None, None, values="a", ordered=True)
    recipe = image_classifier.recipe(values="light")
    assert recipe.labels is None
    assert "balanced_sampler" in without_effect(recipe.params(balanced_sampler=True))
    with raises_code("values_missing"):
        Values(("light",)).labels(pd.DataFrame({"id": [1, 2], "light": [1.0, np.nan]}))
