"""Columns of the table beside an image, and training rows that are kept back, in both recipes for images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.nn import mixup
from goldfold.nn.pretrained import weight_files
from goldfold.recipes import frozen_backbone, image_classifier
from goldfold.recipes.classification.table_columns import StandardizedColumns, WithColumns
from goldfold.recipes.tables.labels import held_back
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions

CPU = torch.device("cpu")
NUMBERS = {"numeric_columns": ("height",)}
BOTH = {**NUMBERS, "categorical_columns": ("side",)}


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    """40 rows with one gray picture; `height`, half of which is missing, and `side` tell the label."""
    path = tmp_path_factory.mktemp("мастер") / "gray.png"
    Image.fromarray(np.full((32, 32), 128, np.uint8)).save(path)
    made = [{"id": f"p{number}", "path": path, "label": number % 2} for number in range(40)]
    table = pd.DataFrame(made)
    table["height"] = np.where(np.arange(40) % 4 < 2, 1000.0 + 100 * table["label"], np.nan)
    return table.assign(side=np.where(table["label"] == 1, "左", "右"))


def small(classes: int) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, classes))


def made(name: str) -> tuple[Recipe, dict]:
    """A recipe and the parameters of a small fit."""
    if name == "frozen_backbone":
        tiny = {"backbone": "test_resnet", "pretrained": False, "image_size": 32, "learning_rate": 3e-2}
        return frozen_backbone.recipe("label", (0, 1)), {**tiny, "epochs": 5, "batch_size": 8}
    recipe = image_classifier.recipe("label", (0, 1), network=small, image_size=32, augmentation="none")
    return recipe, {"epochs": 8, "batch_size": 8, "learning_rate": 1e-1}


def build(name: str, rows: pd.DataFrame, folder: Path, **params) -> Plan:
    torch.manual_seed(0)
    recipe, small = made(name)
    return recipe.build(recipe.params(**small | params), rows, Runtime(seed=0, device=CPU, cache=folder))


def predictions(plan: Plan, rows: pd.DataFrame) -> np.ndarray:
    with torch.no_grad():
        return plan.predict(plan.model.eval(), None, rows.drop(columns="label"))


@pytest.mark.parametrize("name", ["frozen_backbone", "image_classifier"])
def test_what_only_a_column_tells_is_learned(name, rows, tmp_path):
    for params, accuracy in (({}, 0.5), (NUMBERS, 0.7), (BOTH, 1.0)):  # of the ten, four have a height
        plan = build(name, rows[:30], tmp_path, **params)
        train(plan, loop=LoopOptions(), device=CPU)
        assert ((predictions(plan, rows[30:]) > 0.5) == rows["label"][30:]).mean() == accuracy


@pytest.mark.parametrize("name", ["frozen_backbone", "image_classifier"])
def test_columns_are_scaled_by_the_training_rows_alone(name, rows, tmp_path):
    plan = build(name, rows[:30], tmp_path, **BOTH)
    alone = predictions(plan, rows[30:31])
    others = pd.concat([rows[30:31], rows[31:].assign(height=1e6, side="没见过")])
    assert predictions(plan, others)[0] == pytest.approx(alone[0], abs=1e-12)


@pytest.mark.parametrize("name", ["frozen_backbone", "image_classifier"])
def test_the_place_of_unseen_categories_is_not_random(name, rows, tmp_path):
    plan = build(name, rows[:30], tmp_path, categorical_columns=("side",))
    train(plan, loop=LoopOptions(), device=CPU)
    weights = plan.model.columns.weight
    assert torch.equal(weights[:, -1], torch.zeros(2))
    assert (weights[:, -3:-1] != 0).all()
    unseen, missing = (predictions(plan, rows[30:].assign(side=side)) for side in ("没见过", None))
    assert np.array_equal(unseen, missing)
    assert np.isfinite(unseen).all()


def test_logits_are_those_of_a_linear_layer_over_features_and_columns():
    features, columns = torch.randn(5, 48), torch.randn(5, 3)
    image = nn.Sequential()
    image.add_module("normalize", nn.Identity())
    image.add_module("network", nn.Linear(48, 2))
    model = WithColumns(image, 3, 2, 0.0)
    assert torch.equal(model((features, columns)), image(features))  # at the start
    nn.init.normal_(model.columns.weight)
    whole = torch.cat([model.network.weight, model.columns.weight], dim=1)
    wanted = torch.cat([features, columns], dim=1) @ whole.T + model.network.bias
    torch.testing.assert_close(model((features, columns)), wanted)


def test_columns_are_mixed_by_the_share_of_the_image():
    images, numbers, labels = torch.zeros(2, 8, 8, 1), torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    images[1] = 1
    swapped = torch.tensor([1, 0])
    for mixing in ((swapped, 0.25), (swapped, 0.25, (0.5, 0.5))):
        (mixed, beside), pairs = mixup.mix(((images, numbers), labels, *mixing))
        assert beside[0, 0] == pytest.approx(mixed[0].mean().item())
        assert beside[0, 0] == pytest.approx(1 - pairs.share)


def test_columns_are_trained_in_the_stage_of_the_head_and_with_mixed_batches(rows, tmp_path):
    recipe = image_classifier.recipe("label", (0, 1), image_size=32, backbone="test_resnet", pretrained=False)
    params = recipe.params(epochs=1, freeze_epochs=1, cutmix=1.0, mixup=0.2, batch_size=8, **BOTH)
    plan = recipe.build(params, rows, Runtime(seed=0, device=CPU, cache=tmp_path))
    seen = []
    for stage in plan.stages:
        groups = stage.optimizer(plan.model).param_groups
        seen += [any(plan.model.columns.weight is p for p in group["params"]) for group in groups if "lr" in group]
    assert seen[0]
    assert sum(seen) == 2
    train(plan, loop=LoopOptions(), device=CPU)
    assert plan.model.columns.weight.abs().min(0).values[:-1].min() > 0


@pytest.mark.parametrize("name", ["frozen_backbone", "image_classifier"])
def test_weights_of_a_run_without_columns_are_a_start_and_columns_begin_at_zero(name, rows, tmp_path):
    image = build(name, rows, tmp_path).model
    save_file(image.state_dict(), tmp_path / "image.safetensors")
    model = build(name, rows, tmp_path, **BOTH).model
    assert weight_files.load_into(model, tmp_path / "image.safetensors", model.may_start_anew) == ("columns",)
    assert model.columns.weight.abs().max() == 0
    for name, value in image.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)


def refused(rows: pd.DataFrame, **params) -> None:
    recipe, _ = made("frozen_backbone")
    recipe.check(recipe.params(**params), rows, rows.drop(columns="label"))


def test_columns_that_cannot_be_used_are_refused(rows):
    refused(rows, **BOTH)
    with raises_code("unknown_column", "'heigth'; did you mean 'height'"):
        refused(rows, numeric_columns=("heigth",))
    with raises_code("column_not_numeric", "'side' of the train table .* first '右'"):
        refused(rows, numeric_columns=("side",))
    with raises_code("column_not_finite", "1 of 40 rows do not, first inf"):
        refused(rows.assign(height=[np.inf, *rows["height"][1:]]), **NUMBERS)
    with raises_code("column_is_target", "'label' of categorical_columns is what the recipe predicts"):
        refused(rows, categorical_columns=("label",))
    recipe, _ = made("frozen_backbone")
    with raises_code("column_not_in_test", "not in the 40 test rows: leave it out, or, where its values are known"):
        recipe.check(recipe.params(**NUMBERS), rows, rows[["id", "path"]])


def test_rows_without_a_column_are_refused_when_they_are_predicted(rows, tmp_path):
    plan = build("frozen_backbone", rows, tmp_path, **NUMBERS)
    with raises_code("unknown_column", "no column beside the image 'height'"):
        predictions(plan, rows.drop(columns="height"))


@pytest.mark.parametrize("name", ["frozen_backbone", "image_classifier"])
def test_rows_kept_back_are_monitored_and_not_trained_on(name, rows, tmp_path):
    plan = build(name, rows, tmp_path, monitor_share=0.25, epochs=1)
    whole = build(name, rows, tmp_path, epochs=1)
    assert whole.monitor is None
    history, _ = train(plan, loop=LoopOptions(), device=CPU, validate=lambda model, last: {"rows": 0.0})
    ((monitored, measured),) = history[-1]["monitored"].items()
    assert monitored == "stopping_loss"
    assert history[-1]["samples"] == (30 if name == "frozen_backbone" else 24)  # the other drops the last batch
    back = held_back(rows["label"].to_numpy(np.int64), 0.25, 0)
    assert rows["label"][back].value_counts().to_dict() == {0: 5, 1: 5}
    with torch.no_grad():
        losses = plan.stages[0].row_losses(plan.model.eval())
    assert measured["value"] == pytest.approx(losses[back].mean())


def test_a_share_that_keeps_no_row_back_is_refused(rows, tmp_path):
    with raises_code("too_few_rows_to_stop", "monitor_share=0.01 of 40 .* raise it, or leave it out"):
        build("image_classifier", rows, tmp_path, monitor_share=0.01)


def test_a_constant_column_gets_no_weight_whatever_is_dropped():
    torch.manual_seed(0)
    inputs = torch.cat([torch.ones(64, 1), torch.randn(64, 1)], dim=1)
    layer = StandardizedColumns(inputs, 2, dropout=0.5)
    labels = (inputs[:, 1] > 0).long()
    step = torch.optim.SGD(layer.parameters(), lr=1.0)
    for _ in range(5):
        step.zero_grad()
        torch.nn.functional.cross_entropy(layer(inputs), labels).backward()
        step.step()
    assert layer.weight[:, 0].abs().max() == 0
    assert layer.weight[:, 1].abs().min() > 0.1
