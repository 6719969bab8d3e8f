"""Encoders that are trained: the same outputs as transformers, whatever a batch pads, and batches of like length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import tower_checkpoints
from error_codes import raises_code

from goldfold.nn.batches import last_batch
from goldfold.nn.pretrained import model_sources
from goldfold.nn.texts import length_buckets, network, sources
from goldfold.nn.texts.tokens import Tokens, tokenize

pytest.importorskip("transformers", reason='needs transformers: pip install "goldfold[text]"')

STRANGE = ("two dogs and a cat of a red house", "猫 и собака", "قطة \U0001f408", "\ud800 cat", "x" * 2**20)
TEXTS = (*tower_checkpoints.TEXTS, *STRANGE)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}  # float32: another width of padding is another order of sums


def made(folder: Path, texts=TEXTS, outputs: int = 3, **options) -> tuple[network.TextNetwork, Tokens]:
    """A network in evaluation mode with a random head, and the tokens of texts."""
    encoder = sources.load(str(folder))
    torch.manual_seed(1)
    model = network.TextNetwork(encoder.model, outputs, options.get("pooling", "mean"), 0.1).eval()
    torch.nn.init.normal_(model.head.weight)
    columns = [texts] if isinstance(texts[0], str) else texts
    return model, tokenize(encoder.tokenizer, columns, encoder.longest)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_outputs_are_those_of_transformers(checkpoint, family: str, pooling: str) -> None:
    folder, texts = checkpoint(family), TEXTS[:6]
    model, tokens = made(folder, texts, pooling=pooling)
    theirs, tokenizer = tower_checkpoints.reference(folder)
    batch = tokenizer(list(texts), padding=True, return_tensors="pt")
    with torch.no_grad():
        known = {name: batch[name] for name in ("input_ids", "attention_mask")}
        states = theirs(**known).last_hidden_state
        weights = batch["attention_mask"][..., None].float()
        pooled = states[:, 0] if pooling == "cls" else (states * weights).sum(1) / weights.sum(1)
        expected = pooled @ model.head.weight.T
        torch.testing.assert_close(model(*tokens.batch(np.arange(6))), expected, **CLOSE)


def test_pairs_are_joined_as_transformers_does(checkpoint) -> None:
    folder, pairs = checkpoint("bert"), (("a cat", "two red birds"), ("a house of a tree", "dog"))
    model, tokens = made(folder, pairs)
    theirs, tokenizer = tower_checkpoints.reference(folder)
    batch = tokenizer(*map(list, pairs), padding=True, return_tensors="pt", return_token_type_ids=True)
    assert batch["token_type_ids"].sum() > 0
    with torch.no_grad():
        states = theirs(**batch).last_hidden_state
        weights = batch["attention_mask"][..., None].float()
        expected = (states * weights).sum(1) / weights.sum(1) @ model.head.weight.T
        torch.testing.assert_close(model(*tokens.batch(np.arange(2))), expected, **CLOSE)


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_padding_changes_no_output(checkpoint, family: str) -> None:
    """A text of a megabyte, an empty one and other scripts among them; one at a time against batches of like length."""
    model, tokens = made(checkpoint(family))
    with torch.no_grad():
        alone = torch.cat([model(*tokens.batch(np.array([row]))) for row in range(len(TEXTS))]).double()
        together = network.predict(model, tokens, 4)
        torch.testing.assert_close(together, alone, **CLOSE)
        torch.testing.assert_close(model(*tokens.batch(np.arange(len(TEXTS)))).double(), alone, **CLOSE)
    assert alone.isfinite().all()


def test_long_texts_are_cut_and_counted(checkpoint) -> None:
    encoder = sources.load(str(checkpoint("roberta")))
    assert encoder.longest == tower_checkpoints.LENGTH - 1  # positions are counted from the id of padding, 0, + 1
    long = " ".join(["cat"] * 1000)
    tokens = tokenize(encoder.tokenizer, [("dog", long, "")], encoder.longest)
    assert tokens.lengths.tolist() == [3, encoder.longest, 2]
    assert tokens.cut == 1
    pair = tokenize(encoder.tokenizer, [("dog",), (long,)], 10)
    assert pair.lengths.tolist() == [10]
    assert pair.types[0].sum() == 7  # the longer text is cut


def lengths_of(rows: int) -> np.ndarray:
    return np.random.default_rng(0).integers(3, 60, rows)


def test_an_epoch_has_each_row_once_and_batches_of_like_length() -> None:
    lengths, size = lengths_of(1000), 8
    order = np.random.default_rng(1).permutation(1000)
    found = length_buckets.bucketed(order, lengths, size, np.random.default_rng(2))
    assert sorted(found) == list(range(1000))
    parts = np.split(found, range(size, 1000, size))

    def padded(batches: list[np.ndarray]) -> float:
        return sum(len(batch) * lengths[batch].max() for batch in batches) / lengths.sum()

    assert padded(parts) < 1.08 < 1.5 < padded(np.split(order, range(size, 1000, size)))
    assert lengths[parts[0]].max() == max(lengths[part].max() for part in parts if len(part) == size)
    means = [lengths[part].mean() for part in parts]
    assert abs(np.corrcoef(range(len(means)), means)[0, 1]) < 0.3  # batches are not in the order of their lengths


def test_batches_repeat_for_an_epoch_and_differ_between_epochs(checkpoint) -> None:
    encoder = sources.load(str(checkpoint("bert")))
    tokens = tokenize(encoder.tokenizer, [TEXTS[:6] * 4], encoder.longest)
    labels = torch.arange(24)
    of_epoch = length_buckets.batches(tokens, labels, 5, seed=0)
    first, again, second = (list(of_epoch(epoch)) for epoch in (0, 0, 1))
    assert [batch[-1].tolist() for batch in first] == [batch[-1].tolist() for batch in again]
    assert [batch[-1].tolist() for batch in first] != [batch[-1].tolist() for batch in second]
    assert sorted(torch.cat([batch[-1] for batch in first]).tolist()) == labels.tolist()
    (last,) = last_batch(of_epoch(0))
    assert torch.equal(last[-1], first[-1][-1])
    drawn = length_buckets.batches(tokens, labels, 5, seed=0, balance=np.repeat([0, 1], [22, 2]))(0)
    assert (torch.cat([batch[-1] for batch in drawn]) > 21).float().mean() > 0.25


def test_first_layers_are_frozen_with_the_embeddings(checkpoint) -> None:
    model, _ = made(checkpoint("bert"))
    model.freeze(1)
    trained = {name.rpartition(".layer.")[2][:1] for name, value in model.named_parameters() if value.requires_grad}
    assert trained == {"1", "h"}  # the second of two layers, and the head
    with raises_code("too_many_frozen_layers", "3", "2 layers"):
        model.freeze(3)


def test_what_cannot_be_trained_is_told(checkpoint, tmp_path, monkeypatch) -> None:
    with raises_code("encoder_not_trainable", "wordllama", "minilm"):
        sources.load("wordllama")
    with raises_code("tower_not_found", "'nowhere'", "hf-hub:"):
        sources.load("nowhere")
    with raises_code("unknown_tower_family", "siglip"):
        sources.load(str(checkpoint("siglip")))


def test_the_hub_is_not_asked_again_and_again(monkeypatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(sources, "reachable", lambda address: bool(tried.append(address)))
    with raises_code("encoder_not_downloaded", "hf-hub:nobody/nothing", "does not answer"):
        sources.load("hf-hub:nobody/nothing")
    assert len(tried) == 1
    with raises_code("encoder_not_downloaded", "no name"):
        sources.load("hf-hub:a/b/c")
    assert model_sources.reachable("http://127.0.0.1:9") is False
