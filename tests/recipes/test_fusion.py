"""The fusion recipe on made pictures and texts: all models, neighbors' votes, refusals, and a folder of two towers."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code

from goldfold.competition import Plan, Runtime
from goldfold.errors import GoldfoldError
from goldfold.params import Role, values
from goldfold.recipes import fusion
from goldfold.retrieval.hashing import codes

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("wordllama") is None, reason="the packaged text tower needs the package wordllama"
)
LABELS = ("dark", "animal", "tool")
WORDS = {"animal": ["cat", "dog", "horse", "sheep"], "tool": ["hammer", "saw", "drill", "wrench"]}
SMALL = {"pretrained": False, "backbone": "resnet10t", "image_size": 32, "batch_size": 16, "learning_rate": 3e-3}
LEARNS = {"epochs": 30, "standardize": True, "prior_bias": True}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """60 rows: dark pictures have the label `dark`, and texts name animals, tools, both or nothing."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    found = []
    for number in range(60):
        labels = generator.random(3) < 0.5
        words = [str(generator.choice(WORDS[name])) for name, on in zip(LABELS[1:], labels[1:], strict=True) if on]
        picture = generator.integers(0, 60, (32, 32, 3)) + (20 if labels[0] else 190)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), picture.astype(np.uint8))
        own = dict(zip(LABELS, labels.astype(int), strict=True))
        found.append({"id": str(number), "path": path, "text": " ".join(words) or None, **own})
    return pd.DataFrame(found)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path_factory.mktemp("cache"))


def plan(rows: pd.DataFrame, runtime: Runtime, **values: Any) -> tuple[Any, Plan]:
    made = fusion.recipe(LABELS)
    params = made.params(**SMALL | values)
    torch.manual_seed(0)
    return params, made.build(params, rows, runtime)


def trained(made: Plan) -> Any:
    """The result of `finish` after the stage, trained by hand."""
    (stage,) = made.stages
    optimizer = stage.optimizer(made.model)
    for epoch in range(stage.epochs):
        made.model.train()
        for batch in stage.batches(epoch):
            optimizer.zero_grad()
            sum(stage.losses(made.model, batch).values()).backward()
            optimizer.step()
    made.model.eval()
    with torch.no_grad():
        return made.finish(made.model)


def average_precision(rows: pd.DataFrame, scores: np.ndarray) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(rows[list(LABELS)], scores, average="macro"))


@pytest.mark.parametrize("model", ["mlp_baseline", "no_hash"])
def test_models_without_a_hash_layer_predict_probabilities(rows, runtime, model: str) -> None:
    _, made = plan(rows[:45], runtime, model=model, **LEARNS)
    assert trained(made) is None
    with torch.no_grad():
        scores = made.predict(made.model, None, rows[45:])
    assert scores.shape == (15, 3)
    assert scores.dtype == np.float64
    assert average_precision(rows[45:], scores) > 0.85


@pytest.mark.parametrize("model", ["hash_bce", "full", "no_decompose"])
def test_neighbors_of_the_codes_vote_for_their_labels(rows, runtime, model: str) -> None:
    params, made = plan(rows[:45], runtime, model=model, bits=12, neighbors=5, hash_weight=0.01, **LEARNS)
    index = trained(made)
    with torch.no_grad():
        found = made.predict(made.model, index, rows[45:])
        own = made.predict(made.model, index, rows[:45])
    assert found["code"].shape == (15, 12)
    assert average_precision(rows[45:], found["score"]) > 0.8
    assert average_precision(rows[45:], found["knn"]) > 0.8
    assert np.array_equal(codes.to_bytes(codes.pack(own["code"])), index.codes)
    distances, near = codes.nearest(codes.pack(found["code"]), codes.from_bytes(index.codes, 12), 5)
    weights = np.exp(-distances / 12 / params.temperature)
    labels = rows[list(LABELS)].to_numpy()[near]
    votes = (labels * (weights / weights.sum(axis=1, keepdims=True))[..., None]).sum(axis=1)
    assert np.allclose(found["knn"], votes)


def test_the_example_has_the_form_of_the_predictions(rows, runtime) -> None:
    made = fusion.recipe(LABELS)
    for model, dtype in (("no_hash", None), ("full", ("score", "knn", "code"))):
        params = (
            made.params(**SMALL, model=model, bits=8, epochs=1)
            if model == "full"
            else made.params(**SMALL, model=model, epochs=1)
        )
        assert made.example(params, 4, None).dtype.names == dtype
        assert len(made.example(params, 4, None)) == 4


def test_the_alignment_of_frozen_towers_has_no_gradient(rows, runtime) -> None:
    _, made = plan(rows, runtime, alignment_weight=1.0, epochs=1)
    (stage,) = made.stages
    terms = stage.losses(made.model, next(iter(stage.batches(0))))
    assert list(terms) == ["bce", "alignment", "hash"]
    assert [term.requires_grad for term in terms.values()] == [True, False, True]


def test_annealed_codes_end_sharp(rows, runtime) -> None:
    _, made = plan(rows[:48], runtime, codes="annealed", epochs=4)
    trained(made)
    assert made.model.sharpness.item() == pytest.approx(fusion.SHARPEST, rel=0.01)


def test_texts_of_one_length_are_refused(rows, runtime) -> None:
    with pytest.raises(GoldfoldError) as error:
        plan(rows.assign(text="the same words"), runtime, epochs=1)
    assert error.value.code == "constant_feature"
    assert "text features of all 60 rows" in str(error.value)
    _, made = plan(rows.assign(text="the same words"), runtime, epochs=1, model="no_decompose")
    assert made.model.projection is not None


@pytest.mark.parametrize("value", [None, " "])
def test_tables_without_any_text_are_refused_before_training(rows, value) -> None:
    recipe = fusion.recipe(LABELS)
    test = rows.drop(columns=list(LABELS))
    recipe.check(recipe.params(), rows, test)  # some rows have none
    recipe.check(recipe.params(text_tower="none"), rows.assign(text=value), test.drop(columns="text"))
    with raises_code("no_texts", "none of 60 train rows", "'text'", "text_tower=none"):
        recipe.check(recipe.params(), rows.assign(text=value), test)
    with raises_code("unknown_column", "in the test table", "'text'"):
        recipe.check(recipe.params(), rows, test.drop(columns="text"))


def test_the_image_alone(rows, runtime) -> None:
    """Then no column of texts is needed."""
    params, made = plan(rows[:45], runtime, text_tower="none", model="no_hash", **LEARNS)
    trained(made)
    with torch.no_grad():
        scores = made.predict(made.model, None, rows[45:])
    assert values(params, Role.TEXT) == {}
    assert values(plan(rows, runtime, epochs=1)[0], Role.TEXT) == {"text_column": "text"}
    assert average_precision(rows[45:][["dark"]].assign(animal=1, tool=1), scores) > 0.9


def test_both_towers_of_a_folder(rows, runtime, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="towers from folders need the extra text")
    from tower_checkpoints import save

    params, made = plan(rows, runtime, towers=str(save(tmp_path / "clip", "clip")), epochs=1, bits=8)
    assert params.towers
    assert made.model.projection is None
    long = rows[45:].assign(text=["cat " * 200, *rows["text"][46:]])
    told = made.probe(made.model, None, long, None, 60)["texts_cut"]
    assert (told["cut"], told["rows"], told["tokens"]) == (1, len(rows) + 15, 64)
