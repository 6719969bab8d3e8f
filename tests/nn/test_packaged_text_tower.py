"""The text tower that comes with a package, and what is said where a package is missing; neither needs transformers."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from error_codes import raises_code

from goldfold.competition import Runtime
from goldfold.errors import GoldfoldError
from goldfold.nn import text_towers
from goldfold.nn.pretrained import text_packages

packaged = pytest.mark.skipif(find_spec("wordllama") is None, reason="needs wordllama: pip install wordllama")

TEXTS = ("cat", "kitten", "invoice, payment", "", "Naïve 猫 \U0001f408", "cat")


@pytest.fixture(scope="module")
def tower() -> text_towers.TextTower:
    return text_towers.load("wordllama")


def features(tower: text_towers.TextTower, texts: tuple[str, ...]) -> np.ndarray:
    return tower(*tower.tokenize(texts)).numpy()


@packaged
def test_packaged_features_are_means_of_token_vectors(tower):
    """Without padding and without special tokens, as the package's own `embed`."""
    from tokenizers import Tokenizer

    package = Path(find_spec("wordllama").origin).parent
    tokenizer = Tokenizer.from_file(str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    vectors = tower.encode.weight.numpy()
    got = features(tower, TEXTS)
    assert got.shape == (len(TEXTS), 256)
    assert got.dtype == np.float32
    for each, row in zip(ids, got, strict=True):
        assert np.allclose(row, vectors[each].mean(0) if each else 0, atol=1e-6)
    unit = got[:3] / np.linalg.norm(got[:3], axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2] + 0.2


@packaged
def test_packaged_vectors_need_no_network_and_no_code_of_the_package(monkeypatch):
    def refused(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refused)
    assert features(text_towers.load("wordllama"), ("cat",)).any()
    assert "wordllama" not in sys.modules  # its import sets up the logging of the whole process


@packaged
def test_packaged_features_are_cached(tower, tmp_path):
    told: list[tuple[str, int, int]] = []
    runtime = Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path, progress=lambda *at: told.append(at))
    got = text_towers.cached_texts(tower, runtime)(TEXTS)
    assert np.allclose(got, features(tower, TEXTS), atol=1e-6)
    assert np.array_equal(text_towers.cached_texts(text_towers.load("wordllama"), runtime)(TEXTS), got)
    assert told == [("text features", 5, 5)]


@pytest.mark.parametrize("rule", ["last", "end_of_text", "mean"])
def test_pooling_rules(rule):
    states = torch.arange(24.0).reshape(2, 4, 3)
    ids, mask = torch.tensor([[5, 9, 0, 0], [5, 6, 7, 9]]), torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    expected = {
        "last": torch.stack([states[0, 3], states[1, 3]]),
        "end_of_text": torch.stack([states[0, 1], states[1, 3]]),
        "mean": torch.stack([states[0, :2].mean(0), states[1].mean(0)]),
    }[rule]
    assert torch.equal(text_towers.pool(states, ids, mask, rule, end=9), expected)
    if rule == "end_of_text":
        assert torch.equal(text_towers.pool(states, ids, mask, rule, end=2), expected)


def test_the_first_end_of_text_counts():
    """CLIP pads with the token of the end."""
    states = torch.arange(4.0).reshape(1, 4, 1)
    ids = torch.tensor([[5, 9, 9, 9]])
    for end in (9, 2):
        assert text_towers.pool(states, ids, (ids != 9).long(), "end_of_text", end=end).item() == 1


def test_a_missing_package_is_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(text_packages, "find_spec", lambda name: None)
    with raises_code("package_missing", "'wordllama'", "pip install wordllama"):
        text_towers.load("wordllama")
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with raises_code("package_missing", "siglip tower in", "pip install transformers"):
        text_towers.load(tmp_path)


def test_a_misspelled_name_is_not_taken_for_weights():
    with pytest.raises(GoldfoldError, match="'wordlama' does not exist") as error:
        text_towers.load("wordlama")
    assert error.value.code == "tower_not_found"
    assert "wordllama" in error.value.message
