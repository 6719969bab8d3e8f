"""Texts are learned by a tiny encoder with random weights and by a head on its features; what is cut is told."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import tower_checkpoints
from error_codes import raises_code
from made_tables import train as train_run
from timm.optim import param_groups_layer_decay

from goldfold import metrics
from goldfold.competition import Plan, Recipe, Runtime
from goldfold.kaggle import notebooks
from goldfold.nn.pretrained import text_packages
from goldfold.params import without_effect
from goldfold.recipes import text_classifier
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions
from goldfold.trust import audits

pytest.importorskip("transformers", reason='needs transformers: pip install "goldfold[text]"')
FAST = {"learning_rate": 3e-3, "batch_size": 10, "drop_rate": 0.0}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tower_checkpoints.save(tmp_path_factory.mktemp("κωδικός") / "bert", "bert"))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """60 texts of up to 8 words; the animal and the number of houses in a text are its labels."""
    random, made = np.random.default_rng(0), []
    for number in range(60):
        animal, houses = ["cat", "dog"][number % 2], int(random.integers(0, 4))
        words = [animal, *["house"] * houses, *random.choice(["a", "of", "red", "tree"], 4)]
        text = " ".join(random.permutation(words))
        made.append({"id": number, "text": text, "reply": animal, "animal": animal, "houses": houses})
    found = pd.DataFrame(made)
    red = found["text"].str.contains("red").astype(int)
    return found.assign(is_cat=(found["animal"] == "cat").astype(int), red=red)


def built(rows: pd.DataFrame, recipe: Recipe, encoder: str, folder: Path = Path(), **params) -> Plan:
    torch.manual_seed(0)
    given = recipe.params(encoder=encoder, **params)
    return recipe.build(given, rows, Runtime(seed=0, device=torch.device("cpu"), cache=folder))


def predicted(plan: Plan, rows: pd.DataFrame) -> np.ndarray:
    train(plan, loop=LoopOptions(), device=torch.device("cpu"))
    plan.model.eval()
    with torch.no_grad():
        assert plan.stages[-1].row_losses(plan.model).shape == (45,)
        return plan.predict(plan.model, None, rows)


KNOWN, NEW = slice(0, 45), slice(45, 60)


def test_one_label_is_learned(rows, encoder):
    recipe = text_classifier.recipe("animal", ("cat", "dog"))
    plan = built(rows[KNOWN], recipe, encoder, epochs=15, label_smoothing=0.05, balanced_sampler=True, **FAST)
    found = predicted(plan, rows[NEW])
    assert found.dtype == np.float64
    assert np.array_equal(found > 0.5, rows["animal"][NEW] == "dog")


def test_several_labels_values_and_grades_are_learned(rows, encoder):
    several = built(rows[KNOWN], text_classifier.recipe(targets=("is_cat", "red")), encoder, epochs=10, **FAST)
    found = predicted(several, rows[NEW])
    assert ((found > 0.5) == rows[["is_cat", "red"]][NEW]).to_numpy().mean() > 0.8
    values = predicted(
        built(rows[KNOWN], text_classifier.recipe(values="houses"), encoder, epochs=10, **FAST), rows[NEW]
    )
    assert np.corrcoef(values, rows["houses"][NEW])[0, 1] > 0.8
    grades = text_classifier.recipe("houses", range(4), ordered=True)
    assert predicted(built(rows[KNOWN], grades, encoder, epochs=1, **FAST), rows[NEW]).shape == (15, 4)


def test_frozen_features_of_one_and_two_columns(rows, encoder, tmp_path):
    recipe = text_classifier.frozen("animal", ("cat", "dog"))
    one = built(rows[KNOWN], recipe, encoder, tmp_path, text_column="reply", learning_rate=1e-2)
    assert np.array_equal(predicted(one, rows[NEW]) > 0.5, rows["animal"][NEW] == "dog")
    assert one.model.mean.shape == (16,)
    two = built(rows[KNOWN], recipe, encoder, tmp_path, second_column="reply", learning_rate=1e-2)
    assert two.model.mean.shape == (32,)
    assert np.array_equal(predicted(two, rows[NEW]) > 0.5, rows["animal"][NEW] == "dog")


def test_a_pair_is_read_as_one(rows, encoder):
    hidden = rows.assign(text=rows["text"].str.replace("cat|dog", "a", regex=True))
    recipe = text_classifier.recipe("animal", ("cat", "dog"))
    plan = built(hidden[KNOWN], recipe, encoder, epochs=10, second_column="reply", **FAST)
    assert np.array_equal(predicted(plan, hidden[NEW]) > 0.5, hidden["animal"][NEW] == "dog")


def test_missing_texts_are_empty_ones(rows, encoder):
    gaps = rows.assign(text=rows["text"].where(rows.index % 3 > 0, None))
    plan = built(gaps[KNOWN], text_classifier.recipe("animal", ("cat", "dog")), encoder, epochs=1)
    found = predicted(plan, gaps[NEW])
    assert np.isfinite(found).all()
    empty = gaps["text"][NEW].isna().to_numpy()
    assert np.ptp(found[empty]) < 1e-6


def test_rates_fall_from_layer_to_layer_as_timms(rows, encoder):
    plan = built(rows, text_classifier.recipe("animal", ("cat", "dog")), encoder, layer_decay=0.5, learning_rate=1e-3)
    groups = plan.stages[0].optimizer(plan.model).param_groups
    rates = {id(value): group["lr"] for group in groups for value in group["params"]}
    theirs = param_groups_layer_decay(plan.model, layer_decay=0.5)
    scales = {id(value): group["lr_scale"] for group in theirs for value in group["params"]}
    for name, value in plan.model.named_parameters():
        assert rates[id(value)] == pytest.approx(1e-2 if name.startswith("head.") else 1e-3 * scales[id(value)]), name
    assert sorted(set(rates.values())) == pytest.approx([2.5e-4, 5e-4, 1e-3, 1e-2])


def test_frozen_epochs_and_layers(rows, encoder):
    recipe = text_classifier.recipe("animal", ("cat", "dog"))
    plan = built(rows[KNOWN], recipe, encoder, epochs=1, freeze_epochs=1, frozen_layers=1)
    before = {name: value.clone() for name, value in plan.model.named_parameters()}
    assert [stage.name for stage in plan.stages] == ["head", "fit"]
    train(plan, loop=LoopOptions(), device=torch.device("cpu"))
    moved = {name for name, value in plan.model.named_parameters() if not torch.equal(value, before[name])}
    assert {name for name in before if "layer.1." in name or name.startswith("head.")} == moved


def test_activations_are_computed_again(rows, encoder):
    recipe = text_classifier.recipe("animal", ("cat", "dog"))
    plain, again = (
        built(rows[KNOWN], recipe, encoder, epochs=1, gradient_checkpointing=each) for each in (False, True)
    )
    for plan in (plain, again):
        plan.model.encoder.config.hidden_dropout_prob = 0.0
        for module in plan.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        train(plan, loop=LoopOptions(), device=torch.device("cpu"))
    for one, other in zip(plain.model.parameters(), again.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_not_a_text_is_refused(rows, encoder):
    recipe = text_classifier.recipe("animal", ("cat", "dog"))
    with raises_code("no_texts", "'text'"):
        recipe.check(recipe.params(encoder=encoder), rows.assign(text=None), rows)
    with raises_code("unknown_column", "'replies'"):
        recipe.check(recipe.params(encoder=encoder, second_column="replies"), rows, rows)
    assert not without_effect(recipe.params(encoder=encoder, second_column="reply"))


def test_a_frozen_encoder_tells_what_is_cut_from_cached_features_too(rows, encoder, tmp_path):
    long = rows.assign(text=rows["text"].where(rows["id"] % 10 > 0, rows["text"] + 80 * " tree"))
    recipe = text_classifier.frozen("animal", ("cat", "dog"))
    for _ in ("computed", "cached"):
        plan = built(long[KNOWN], recipe, encoder, tmp_path, second_column="reply")
        found = plan.probe(plan.model, None, long[NEW], np.zeros(15), 60)
        (told,) = audits.texts_cut(found, "fold 0 seed 0")
        assert told.message.startswith("6 of 120 texts (5.0%) are longer than 64 tokens and lost their end: choose an")
    whole = built(rows[KNOWN], recipe, encoder, tmp_path)
    assert audits.texts_cut(whole.probe(whole.model, None, rows[NEW], np.zeros(15), 60), "fold 0 seed 0") == []


def test_a_run_tells_what_is_cut_and_depends_on_the_folder(toy: Path, rows, encoder):
    """The folder's content is in the run's identity, and the notebook carries it."""
    rows = rows.sample(frac=1, random_state=0, ignore_index=True)
    long = rows.assign(text=rows["text"].where(rows["id"] % 10 > 0, rows["text"] + 20 * " tree"))
    recipe = text_classifier.recipe("animal", ("cat", "dog"), encoder="encoder", max_tokens=16, epochs=1)
    tower_checkpoints.save(Path("encoder"), "bert")
    tables = long, long.drop(columns="animal").head(10).assign(id=range(100, 110))
    run = train_run(metrics.accuracy("animal", classes=("cat", "dog")), recipe, tables, targets=("animal",))
    (told,) = [each for each in run.findings if each.code == "texts_cut"]
    assert (told.level, told.where) == ("note", "fold 0 seed 0")
    assert told.message.startswith("6 of 60 texts (10.0%) are longer than 16 tokens")
    params = recipe.params()
    packed = {name for name, _ in notebooks.hub_files(params)}
    assert {"encoder/config.json", "encoder/model.safetensors", "encoder/tokenizer.json"} <= packed
    assert {*json.loads((run.folder / "reproduce.json").read_text())["starts"]} == {"encoder"}


@pytest.mark.parametrize("name", text_packages.PACKAGES)
def test_a_notebook_carries_packaged_encoders(name):
    package = text_packages.PACKAGES[name].replace("-", "_")
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    packed = dict(notebooks.hub_files(text_classifier.frozen("animal", ("cat", "dog")).params(encoder=name)))
    assert f"packages/{package}/__init__.py" in packed
    assert any(each.endswith(".safetensors") for each in packed)
    assert all(file.is_file() for file in packed.values())
