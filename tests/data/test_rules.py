"""One model for all classes: what a run's parameters show of it."""

from __future__ import annotations

from goldfold.data.rules import ONE_LIBRARY, ONE_MODEL
from goldfold.params import Libraries, Models, Params


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
