"""Parameters that have no effect with the others are refused where a config gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import pandas as pd
import pytest
import torch
from error_codes import raises_code
from pydantic import BaseModel, TypeAdapter

from goldfold.competition import Recipe, Runtime
from goldfold.experiment.config import Config, read_config, resolve_config
from goldfold.experiment.workspace import Workspace
from goldfold.params import Needs, Not, Params, modes_of
from goldfold.recipes.frozen_backbone import FrozenBackboneParams
from goldfold.recipes.image_classifier import ImageClassifierParams
from goldfold.recipes.parameters.autoencoder import AutoencoderParams
from goldfold.recipes.patches.params import PatchLibraryParams
from goldfold.recipes.segmenter import SegmenterParams
from goldfold.recipes.tabular import TabularParams
from goldfold.retrieval.parameters import EmbedderParams
from goldfold.tuning.work import searched_by

SHIPPED = (
    AutoencoderParams,
    EmbedderParams,
    FrozenBackboneParams,
    ImageClassifierParams,
    PatchLibraryParams,
    SegmenterParams,
    TabularParams,
)


class Stages(Params):
    epochs: int = 0
    loss: Annotated[Literal["plain", "margin"], Needs(epochs=Not(0))] = "plain"
    margin: Annotated[float, Needs(loss="margin")] = 0.5
    width: Annotated[int | None, Needs(epochs=Not(0), head=True)] = None
    head: bool = False


RECIPES = {
    "stages": Recipe(params=Stages, build=lambda *_: None),
    **{model.__name__: Recipe(params=model, build=lambda *_: None) for model in SHIPPED},
}


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, *overrides: str) -> Config:
        path = tmp_path / "baseline.yaml"
        path.write_text(f"recipe: {text}\n", encoding="utf-8")
        return read_config(path, overrides, RECIPES)

    return write


@pytest.mark.parametrize("model", SHIPPED)
def test_conditions_name_parameters_and_values_that_exist(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        for other, wanted in [
            pair for mark in field.metadata if isinstance(mark, Needs) for pair in mark.conditions.items()
        ]:
            given = wanted if isinstance(wanted, tuple) else (wanted.value if isinstance(wanted, Not) else wanted,)
            allowed = model.model_fields[other].annotation
            if get_origin(allowed) is Literal:
                assert set(given) <= set(get_args(allowed)), (name, other)
            else:
                for value in given:
                    TypeAdapter(allowed).validate_python(value, strict=True)
        assert name not in modes_of(model, name)


@pytest.mark.parametrize(
    ("text", "overrides", "told"),
    [
        ("stages\nloss: margin", (), ("loss=margin", "epochs=0", "set epochs to another value than 0")),
        ("stages\nepochs: 1\nmargin: 0.3", (), ("margin=0.3", "loss=plain", "set loss=margin", "leave margin at 0.5")),
        ("stages\nmargin: 0.3", (), ("margin=0.3", "epochs=0")),  # a mode without effect is no mode
        ("stages\nwidth: 8", (), ("epochs=0 and head=false", "value than 0 or head=true", "leave width at null")),
        ("stages", ("margin=0.3",), ("margin=0.3",)),
        ("stages\nepochs: 1\nloss: margin\nmargin: 0.3", ("loss=plain",), ("margin=0.3", "loss=plain")),
        ("TabularParams\nestimator: forest", ("boosting_rate=0.1",), ("boosting_rate=0.1", "estimator=boosting")),
        ("PatchLibraryParams\nneighbors: 3", ("score=top",), ("neighbors=3", "score=farthest")),
        ("PatchLibraryParams\nneighbors: 3\nnormality: gaussians", (), ("neighbors=3", "normality=coreset")),
        ("PatchLibraryParams\ntextures: [wood]\nroute: prototype", (), ("route=prototype", "libraries=per_class")),
        ("AutoencoderParams\nneighbors: 3", (), ("neighbors=3", "score=library")),
        ("AutoencoderParams\nbackbone: plain\npretrained: false", (), ("pretrained=false", "another value than plain")),
        ("FrozenBackboneParams\nschedule: constant\nwarmup: 0.3", (), ("warmup=0.3", "schedule=constant")),
        ("ImageClassifierParams\nschedule: constant\nwarmup: 0.3", (), ("warmup=0.3", "schedule=constant")),
        ("EmbedderParams\nsimsiam_momentum: 0.5", ("simsiam_epochs=0",), ("simsiam_momentum=0.5", "simsiam_epochs=0")),
        ("EmbedderParams\nsigma: 0.1", (), ("sigma=0.1", "kernel=gaussian")),
        ("EmbedderParams\nsigma: 0.1\nkernel: gaussian", ("metric_epochs=0",), ("metric_epochs=0",)),
        ("EmbedderParams\nhead_factor: 2.0", (), ("head_factor=2.0", "embedding=projector or metric_loss=arcface")),
        ("EmbedderParams\ntemporal_step: 2.0", (), ("temporal_step=2.0", "temporal_weight")),
    ],
)
def test_a_parameter_without_effect_is_refused(written, text, overrides, told) -> None:
    with raises_code("parameter_without_effect", "baseline", *told):
        written(text, *overrides)


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("stages\nmargin: 0.5", ()),  # the default
        ("stages\nepochs: 1\nloss: margin\nmargin: 0.3", ()),
        ("stages\nmargin: 0.3", ("epochs=1", "loss=margin")),
        ("stages\nepochs: 1\nmargin: 0.3", ("margin=0.5",)),
        ("stages\nhead: true\nwidth: 8", ()),
        ("stages\nepochs: 1\nmargin: 0.3\nsearch: {loss: [plain, margin]}", ()),
        ("stages\nmargin: 0.3\nsearch: {epochs: [0, 1]}", ()),  # the mode of the mode
        ("stages\nmargin: 0.3\nsearch: {margin: {low: 0.1, high: 0.9}}", ()),
        ("EmbedderParams\nsimsiam_epochs: 0\ncrop: 0.5", ()),  # views of the metric stage
        ("EmbedderParams\nhead_factor: 2.0\nembedding: projector", ()),
        ("EmbedderParams\nhead_factor: 2.0\nmetric_loss: arcface", ()),
    ],
)
def test_a_parameter_that_has_or_may_have_an_effect_is_accepted(written, text, overrides) -> None:
    assert written(text, *overrides).recipe == text.split("\n")[0]


def test_a_record_of_a_run_is_read_whatever_has_an_effect() -> None:
    config = resolve_config("trial", {"recipe": "stages", "margin": 0.3}, RECIPES)
    assert config.resolved()["margin"] == 0.3
    assert config.effective().params == Stages()


@pytest.mark.parametrize(("name", "recipe"), [("digits", "image_classifier"), ("lookalikes", "signs")])
def test_a_network_of_ones_own_has_no_backbone(tmp_path: Path, name: str, recipe: str) -> None:
    recipes, path = Workspace().competition(name).recipes, tmp_path / "baseline.yaml"
    path.write_text(f"recipe: {recipe}\nsearch: {{backbone: [resnet18, resnet34]}}\n", encoding="utf-8")
    for wrong in ("backbone=vit_nonsense", "pretrained=false"):
        with raises_code("parameter_without_effect", wrong, "network of its own", "leave it out"):
            read_config(path, [wrong], recipes)
    config = read_config(path, [], recipes)
    assert not {"backbone", "pretrained"} & config.resolved().keys()
    with raises_code("unknown_parameter", "backbone"):
        searched_by(config, recipes)


def test_a_head_that_the_network_does_not_name_has_no_rate_of_its_own(tmp_path: Path) -> None:
    recipe = Workspace().competition("digits").recipes["image_classifier"]
    runtime = Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path)
    with raises_code("parameter_without_effect", "head_factor=2.0", "get_classifier()"):
        recipe.build(recipe.params(head_factor=2.0), pd.DataFrame(), runtime)
