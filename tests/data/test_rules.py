"""Competition rules: what a run's parameters show of them."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from goldfold.data.rules import NO_MIRRORING, ONE_LIBRARY, ONE_MODEL
from goldfold.images import augmentation, views
from goldfold.params import Libraries, Models, Params
from goldfold.recipes.frozen_backbone import FrozenBackboneParams
from goldfold.recipes.image_classifier import ImageClassifierParams
from goldfold.recipes.parameters.autoencoder import AutoencoderParams
from goldfold.recipes.segmenter import SegmenterParams
from goldfold.retrieval.parameters import EmbedderParams


class Several(Params):
    models: Models = "one"
    libraries: Libraries = "one"


class Silent(Params):
    epochs: int = 1
    models: str = "many"  # without the role, a word of the recipe's own


def test_one_model_for_each_class_breaks_it():
    assert ONE_MODEL.text == "one model for all classes, trained on all data"
    assert ONE_MODEL.broken(Several(models="per_class")).startswith("models=per_class ")


def test_one_model_and_recipes_that_know_no_other_keep_it():
    assert ONE_MODEL.broken(Several()) is None
    assert ONE_MODEL.broken(Silent()) is None


def test_a_library_for_each_class_breaks_the_rule_that_names_it_alone():
    assert ONE_LIBRARY.broken(Several()) is ONE_LIBRARY.broken(Silent()) is None
    assert "libraries=per_class" in ONE_LIBRARY.broken(Several(libraries="per_class"))
    assert ONE_MODEL.broken(Several(libraries="per_class")) is None


MODELS = (AutoencoderParams, EmbedderParams, FrozenBackboneParams, ImageClassifierParams, SegmenterParams)
VIEWS_OF_TRAINING = "simsiam"  # the embedder's, which mirror as its parameter `flip` says


@pytest.mark.parametrize("model", MODELS)
def test_no_parameter_that_mirrors_images_passes(model: type[Params]) -> None:
    """Whatever a parameter is called, it mirrors if one of its values is named as what mirrors."""
    mirroring = augmentation.MIRRORING | views.MIRRORING
    values = {name: set(get_args(field.annotation)) for name, field in model.model_fields.items()}
    can = {name: own for name, own in values.items() if own & mirroring}
    neutral = dict.fromkeys(can, "none") | ({"simsiam_epochs": 0} if "simsiam_epochs" in values else {})
    assert can
    assert NO_MIRRORING.broken(model(**neutral)) is None
    for name, own in can.items():
        for value in own - {VIEWS_OF_TRAINING}:
            told = NO_MIRRORING.broken(model(**neutral | {name: value}))
            assert (told is not None) == (value in mirroring), (name, value, told)


def test_views_that_mirror_are_those_with_a_flip() -> None:
    picture = torch.arange(16).reshape(1, 4, 4, 1)
    for name in views.VIEWS:
        if name != "crops":
            shown = [view.squeeze() for view in views.make_views(picture, name)]
            mirrored = [picture.squeeze().flip(1).rot90(turns) for turns in range(4)]
            found = any(torch.equal(view, each) for view in shown for each in mirrored)
            assert found == (name in views.MIRRORING), name
    assert "crops" not in views.MIRRORING
