"""docs/bending_recipes.md: every Python example trains and predicts, and every config is one of its competition."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import top_k_accuracy_score

from goldfold.competition import Runtime
from goldfold.experiment.config import read_config
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions

PAGE = (Path(__file__).parents[2] / "docs" / "bending_recipes.md").read_text(encoding="utf-8")
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
EXAMPLES = ("own_augmentation", "own_loss", "own_optimizer", "own_parameter", "plain_at_the_end", "with_columns")


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the Python of the page defines, from top to bottom."""
    found: dict[str, Any] = {}
    for language, _, text in FENCE.findall(PAGE):
        if language == "python":
            exec(compile(text, "bending_recipes.md", "exec"), found)
    return found


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    """30 gray pictures of 28 x 28 pixels, three of each digit: a bright square in a place of its own; some widths."""
    folder, random, made = tmp_path_factory.mktemp("ziffern"), np.random.default_rng(0), []
    for number in range(30):
        pixels = random.integers(0, 60, (28, 28)).astype(np.uint8)
        pixels[2 * (number % 10) : 2 * (number % 10) + 8, 6:22] = 230
        Image.fromarray(pixels).save(folder / f"{number}.png")
        known = {"label": number % 10, "pen_width": None if number == 7 else 1.5 * number}
        made.append({"id": number, "path": folder / f"{number}.png", **known})
    return pd.DataFrame(made)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_trains_and_predicts(example, names, rows, tmp_path):
    torch.manual_seed(0)
    recipe = names["RECIPES"][example]
    place = Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path)
    plan = recipe.build(recipe.params(epochs=2, batch_size=10), rows, place)
    history, _ = train(plan, loop=LoopOptions(), device=torch.device("cpu"))
    plan.model.eval()
    with torch.no_grad():
        predictions = plan.predict(plan.model, None, rows.drop(columns="label"))
    assert predictions.shape == (30, 10)
    assert np.allclose(predictions.sum(1), 1)
    assert sum(history[1]["loss"].values()) < sum(history[0]["loss"].values()) * 1.2


def test_every_example_is_tried(names):
    assert set(names["RECIPES"]) - {"image_classifier"} == set(EXAMPLES)


def test_the_loss_of_the_page_is_polyloss(names):
    logits, labels = torch.randn(8, 10), torch.arange(8)
    terms = names["poly"](None, torch.nn.Identity(), (logits, labels))
    one_hot = torch.nn.functional.one_hot(labels, 10)
    p = (logits.softmax(1) * one_hot).sum(1)
    torch.testing.assert_close(sum(terms.values()), (-p.log() + (1 - p)).mean())


def test_the_metric_of_the_page_is_scikit_learns(names, rows):
    predictions = np.random.default_rng(0).dirichlet(np.ones(10), 30)
    (metric,) = names["ALSO"]
    assert metric.score(rows, predictions) == pytest.approx(top_k_accuracy_score(rows["label"], predictions, k=3))
    assert metric.chance(rows) == pytest.approx(0.3)


def test_the_pipeline_of_the_page_changes_images_and_repeats(names, rows, tmp_path):
    recipe = names["RECIPES"]["own_augmentation"]
    place = Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path)
    stage = recipe.build(recipe.params(batch_size=30), rows, place).stages[0]
    first, again, later = (next(iter(stage.batches(epoch)))[0] for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


@pytest.mark.parametrize("block", [block for block in FENCE.findall(PAGE) if block[0] == "yaml"], ids=lambda b: b[1])
def test_a_config_of_the_page_is_valid(block, names, tmp_path):
    from competitions.solar_cells.recipes import RECIPES

    _, title, text = block
    file = tmp_path / (Path(title).name or "example.yaml")
    file.write_text(text, encoding="utf-8")
    of_page = names["RECIPES"] if "digits" in title else RECIPES
    assert read_config(file, (), of_page).recipe in of_page
