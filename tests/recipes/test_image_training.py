"""How image_classifier trains beyond its defaults: rates of blocks, a frozen start, recomputed activations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import albumentations
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from error_codes import raises_code
from PIL import Image
from timm.optim import param_groups_layer_decay
from torch import nn

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.nn.optimizers import AdamW
from goldfold.params import Params, without_effect
from goldfold.recipes import image_classifier
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions

TINY = {"backbone": "test_vit", "pretrained": False, "image_size": 32, "epochs": 1, "augmentation": "none"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    """24 pictures of noise around three gray levels."""
    folder, random = tmp_path_factory.mktemp("bilder"), np.random.default_rng(0)
    for number in range(24):
        pixels = np.clip(random.normal(60 + 60 * (number % 3), 15, (32, 32)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    known = range(24)
    return pd.DataFrame({"id": known, "path": [folder / f"{n}.png" for n in known], "kind": [n % 3 for n in known]})


def built(rows: pd.DataFrame, recipe: Recipe | None = None, **params) -> Plan:
    torch.manual_seed(0)
    known = recipe or image_classifier.recipe("kind", (0, 1, 2))
    return known.build(known.params(**TINY | params), rows, Runtime(seed=0, device=torch.device("cpu"), cache=Path()))


def test_rates_of_blocks_are_timms(rows):
    plan = built(rows, layer_decay=0.7, learning_rate=1e-3, head_factor=2)
    optimizer = plan.stages[0].optimizer(plan.model)
    own = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    network = plan.model.network
    theirs = param_groups_layer_decay(network, layer_decay=0.7)
    scales = {id(value): group["lr_scale"] for group in theirs for value in group["params"]}
    for name, value in network.named_parameters():
        factor = 2 if name.startswith("head.") else scales[id(value)]
        assert own[id(value)] == pytest.approx(1e-3 * factor), name
    assert len({*own.values()}) > 3


def test_blocks_of_one_layer_are_refused(rows):
    recipe = image_classifier.recipe(
        "kind", (0, 1, 2), network=lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(3072, classes))
    )
    plan = built(rows, recipe=recipe, backbone="efficientnet_lite0", pretrained=True, layer_decay=0.5)
    with raises_code("no_blocks", "layer_decay=0.5"):
        plan.stages[0].optimizer(plan.model)


def test_frozen_epochs_train_the_head_alone(rows):
    plan = built(rows, freeze_epochs=2)
    before = {name: value.clone() for name, value in plan.model.named_parameters()}
    assert [(stage.name, stage.epochs) for stage in plan.stages] == [("head", 2), ("fit", 1)]
    history, _ = train(replace(plan, stages=plan.stages[:1]), loop=LoopOptions(), device=torch.device("cpu"))
    moved = {name for name, value in plan.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"network.head.weight", "network.head.bias"}
    assert len(history) == 2
    plan = built(rows, freeze_epochs=1)
    train(plan, loop=LoopOptions(), device=torch.device("cpu"))
    assert not torch.equal(plan.model.network.patch_embed.proj.weight, before["network.patch_embed.proj.weight"])


def test_blocks_have_their_rates_after_a_frozen_start(rows):
    plan = built(rows, freeze_epochs=1, layer_decay=0.7, learning_rate=1e-3)
    before = {name: value.clone() for name, value in plan.model.named_parameters()}
    _, facts = train(plan, loop=LoopOptions(), device=torch.device("cpu"))
    alone = built(rows, layer_decay=0.7, learning_rate=1e-3)
    assert facts["fit"]["rates"] == train(alone, loop=LoopOptions(), device=torch.device("cpu"))[1]["fit"]["rates"]
    assert not any(torch.equal(value, before[name]) for name, value in plan.model.named_parameters())


def test_activations_are_computed_again_and_not_kept(rows):
    """The same weights after an epoch, with a fraction of the tensors that autograd keeps."""

    def trained(**params) -> tuple[Plan, int]:
        plan, kept = built(rows, **params), 0

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal kept
            kept += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            sum(plan.stages[0].losses(plan.model, next(iter(plan.stages[0].batches(0)))).values())
        train(plan, loop=LoopOptions(), device=torch.device("cpu"))
        return plan, kept

    (plain, much), (again, little) = trained(), trained(gradient_checkpointing=True)
    assert little < 0.5 * much
    for one, other in zip(plain.model.parameters(), again.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_network_without_checkpointing_is_told(rows):
    with raises_code("no_gradient_checkpointing", "'inception_v3'"):
        built(rows, backbone="inception_v3", image_size=96, gradient_checkpointing=True)


class Black(albumentations.ImageOnlyTransform):
    """Black images."""

    def __init__(self) -> None:
        super().__init__(p=1)

    def apply(self, img: np.ndarray, **params) -> np.ndarray:
        return img * 0


def test_a_pipeline_of_ones_own_replaces_the_named_ones(rows):
    def black(size: int) -> albumentations.Compose:
        return albumentations.Compose([albumentations.Resize(size, size), Black()])

    recipe = image_classifier.recipe("kind", (0, 1, 2), pipeline=black)
    pixels, _ = next(iter(built(rows, recipe=recipe).stages[0].batches(0)))
    assert pixels.shape == (16, 32, 32, 3)
    assert not pixels.any()
    assert "augmentation" in without_effect(recipe.params(augmentation="flips"))


def test_mixing_of_both_kinds_is_learned_from(rows):
    plan = built(rows, mixup=0.2, cutmix=1.0, batch_size=4)
    history, _ = train(plan, loop=LoopOptions(), device=torch.device("cpu"))
    assert 0.5 < history[-1]["loss"]["cross_entropy"] < 3


def test_weights_of_a_file_reach_the_network(rows, tmp_path):
    model = timm.create_model("test_vit", num_classes=9, img_size=32)
    torch.save(model.state_dict(), tmp_path / "重み.pth")
    network = built(rows, weights=str(tmp_path / "重み.pth"), pretrained=True).model.network
    assert torch.equal(network.blocks[0].attn.qkv.weight, model.blocks[0].attn.qkv.weight)
    assert network.head.weight.shape[0] == 3


class Momentum(Params):
    momentum: float = 0.5


def test_a_recipe_with_another_optimizer_and_a_parameter_for_it(rows):
    def sgd(params, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), params.learning_rate, momentum=params.momentum)

    first = image_classifier.recipe("kind", (0, 1, 2))
    recipe = first.with_params(Momentum).with_stage("fit", optimizer=sgd)
    plan = built(rows, recipe=recipe, momentum=0.8)
    optimizer = plan.stages[0].optimizer(plan.model)
    assert (type(optimizer), optimizer.defaults["momentum"]) == (torch.optim.SGD, 0.8)
    assert plan.stages[0].row_losses is not None
    assert type(built(rows).stages[0].optimizer(plan.model)) is AdamW
    assert "momentum" not in first.params.model_fields


def test_new_losses_leave_out_what_measures_the_old_ones(rows):
    def losses(params, model: nn.Module, batch: tuple) -> dict[str, torch.Tensor]:
        return {"squares": model(batch[0]).square().mean() * params.learning_rate}

    recipe = image_classifier.recipe("kind", (0, 1, 2)).with_stage("fit", losses=losses)
    plan = built(rows, recipe=recipe)
    assert plan.stages[0].row_losses is None
    assert set(plan.stages[0].losses(plan.model, next(iter(plan.stages[0].batches(0))))) == {"squares"}


def test_names_that_do_not_exist_are_told(rows):
    recipe = image_classifier.recipe("kind", (0, 1, 2))
    with raises_code("unknown_stage_function", "'loss'", "losses"):
        recipe.with_stage("fit", loss=print)
    with raises_code("unknown_stage", "'head'", "fit"):
        built(rows, recipe=recipe.with_stage("head", losses=print))


def test_a_plan_is_changed_with_its_rows(rows):
    def doubled(plan: Plan, params, rows: pd.DataFrame, runtime: Runtime) -> Plan:
        return replace(plan, kept={"rows": len(rows), "epochs": params.epochs, "seed": runtime.seed})

    recipe = image_classifier.recipe("kind", (0, 1, 2)).with_plan(doubled)
    assert built(rows, recipe=recipe).kept == {"rows": 24, "epochs": 1, "seed": 0}
