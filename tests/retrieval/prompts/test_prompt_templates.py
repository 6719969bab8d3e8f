"""Prompts as tokens: where the identity's vectors stand, which position is pooled, what is drawn, what is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import tower_checkpoints
from error_codes import raises_code
from tower_checkpoints import CLIP_END, LENGTH

from goldfold.nn import text_towers
from goldfold.retrieval.prompts import templates

pytest.importorskip("transformers", reason="needs packages: pip install transformers sentencepiece")
ROWS = pd.DataFrame({"id": ["1", "2", "3"], "aspect": ["red", "two_birds", "red"]})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("towers")
    return {family: tower_checkpoints.save(folder / family, family) for family in ("clip", "bert", "roberta")}


def prompts(tower: Any, *wanted: str, n_ctx: int = 12) -> templates.Prompts:
    return templates.prompts(wanted, ROWS, tower, n_ctx)


@pytest.mark.parametrize("family", ["clip", "bert", "roberta"])
@pytest.mark.parametrize("template", ["a photo of a {} house", "{} tree", "a dog {}", "{}"])
def test_vectors_of_ordinary_tokens_give_the_feature_of_the_ordinary_text(folders, family, template):
    """A reference that knows nothing of slots: the vectors of `cat` twelve times are the text `cat cat ... cat`."""
    tower = text_towers.load(folders[family])
    made = prompts(tower, template)
    cat = tower.tokenize(["cat"])[0][0, 1]
    written = tower.tokenize([template.format(" ".join(["cat"] * 12))])
    vectors = tower.encode.token_vectors(made.ids)
    vectors[0, made.starts[0] : made.starts[0] + 12] = tower.encode.token_vectors(cat)
    with torch.no_grad():
        torch.testing.assert_close(tower(made.ids, made.mask, vectors), tower(*written), rtol=1e-4, atol=1e-5)


def test_the_end_of_text_is_pooled_behind_twelve_vectors(folders):
    tower = text_towers.load(folders["clip"])
    made = prompts(tower, "a photo of a {} house", "{} tree")
    assert made.starts.tolist() == [5, 1]
    assert made.mask.sum(1).tolist() == [1 + 4 + 12 + 1 + 1, 1 + 12 + 1 + 1]
    assert [row.tolist().index(CLIP_END) for row in made.ids] == [18, 14]
    vectors = tower.encode.token_vectors(made.ids)
    with torch.no_grad():
        before = tower(made.ids, made.mask, vectors)
        for position, changes in ((13, True), (14, True), (15, False)):  # of the second prompt, whose end is at 14
            other = vectors.clone()
            other[1, position] += torch.linspace(-1, 1, 16)
            assert (not torch.allclose(tower(made.ids, made.mask, other)[1], before[1])) == changes
        start = tower.encode(made.ids, made.mask, vectors)[:, 0]
    assert start.std(dim=0).max() < 1e-6  # position 0 says nothing of the text under a causal mask
    assert before.std(dim=0).min() > 1e-3


def test_values_of_columns_make_prompts_of_their_own(folders):
    made = prompts(text_towers.load(folders["clip"]), "a {} {aspect} house", "{} tree")
    assert made.texts == ("a {} red house", "a {} two birds house", "{} tree", "{} tree")
    assert made.combination.tolist() == [0, 1, 0]
    assert made.of(np.array([0, 1, 1]), np.array([0, 1, 2])).tolist() == [0, 3, 2]
    assert templates.columns(["{aspect} {} {side}", "{} {aspect}"]) == ("aspect", "side")


@pytest.mark.skipif(
    importlib.util.find_spec("wordllama") is None, reason="the packaged text tower needs the package wordllama"
)
def test_words_without_a_transformer_are_averaged_with_the_vectors():
    tower = text_towers.load("wordllama")
    made = prompts(tower, "a photo of a {} hand", n_ctx=3)
    contexts = torch.randn(3, 256)
    vectors = tower.encode.token_vectors(made.ids)
    vectors[0, made.starts[0] : made.starts[0] + 3] = contexts
    words = torch.cat([tower.encode.token_vectors(tower.tokenize([part])[0])[0] for part in ("a photo of a", "hand")])
    expected = torch.cat([words, contexts]).mean(0)
    torch.testing.assert_close(tower(made.ids, made.mask, vectors)[0], expected)


def test_a_template_is_drawn_from_seed_epoch_and_batch_or_sample():
    ids = [["a", "b", "c", "d"], ["e", "f", "g", "h"]] * 8
    of_batch = templates.draw(4, "batch", 0, 0, ids)
    assert all(len(set(batch.tolist())) == 1 for batch in of_batch)
    assert len({batch[0] for batch in of_batch}) == 4
    of_sample = templates.draw(4, "sample", 0, 0, ids)
    assert len(set(of_sample[0].tolist()) | set(of_sample[1].tolist())) > 2
    assert np.array_equal(of_sample[0], of_sample[2])  # the same ids
    for how in ("batch", "sample"):
        first, again = (np.stack(templates.draw(4, how, 0, 0, ids)) for _ in range(2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, np.stack(templates.draw(4, how, 0, 1, ids)))
        assert not np.array_equal(first, np.stack(templates.draw(4, how, 1, 0, ids)))


def test_a_template_that_does_not_fit_with_its_vectors_is_refused(folders):
    tower = text_towers.load(folders["clip"])
    most = LENGTH - 2 - 5
    assert prompts(tower, "a photo of a {} house", n_ctx=most).ids.shape == (1, LENGTH)
    with raises_code("template_too_long", f"n_ctx={most + 1}", "65 tokens", "takes 64"):
        prompts(tower, "a photo of a {} house", n_ctx=most + 1)
    with raises_code("template_too_long", "takes 64"):
        prompts(tower, "a " * 70 + "{}", n_ctx=1)


@pytest.mark.parametrize(("template", "told"), [("a photo", "0 slots"), ("{} and {}", "2 slots"), ("a {", "cannot be")])
def test_a_template_without_its_slot_is_refused(template, told):
    with pytest.raises(ValueError, match=told):
        templates.check(template)


def test_a_shared_prefix_is_computed_once_with_equal_features_and_gradients(folders):
    """Of CLIP, whose states depend on earlier tokens only: equal to rounding in float64, with unequal lengths."""
    tower = text_towers.load(folders["clip"]).double()
    made = prompts(tower, "a photo of a {}", "a photo {aspect} {} house", n_ctx=3)
    assert (tower.encode.is_causal, made.shared_prefix()) == (True, 3)
    contexts = torch.randn(2, len(made.ids), 3, 16, dtype=torch.float64)
    contexts = torch.stack([contexts[0]] * 2).requires_grad_()
    places = (made.starts[:, None] + torch.arange(3))[..., None].expand_as(contexts[0])
    vectors = [tower.encode.token_vectors(made.ids).detach().scatter(1, places, each) for each in contexts]
    found = tower(made.ids, made.mask, vectors[0]), tower(made.ids, made.mask, vectors[1], shared=3)
    assert torch.allclose(found[1], found[0], rtol=1e-9, atol=1e-9)
    weights = torch.randn_like(found[0])
    sum((each * weights).sum() for each in found).backward()
    assert torch.allclose(contexts.grad[1], contexts.grad[0], rtol=1e-7, atol=1e-9)
    assert contexts.grad[0].abs().min() > 0


def test_a_prefix_is_shared_up_to_the_first_vectors(folders):
    """The start token stands before every prompt; behind it the prompts may differ, and vectors are never shared."""
    tower = text_towers.load(folders["clip"])
    assert prompts(tower, "{} tree").shared_prefix() == 1
    assert prompts(tower, "a {}", "a photo {}").shared_prefix() == 2
    assert prompts(tower, "red {}", "a {}").shared_prefix() == 1
    assert not text_towers.load(folders["bert"]).encode.is_causal
