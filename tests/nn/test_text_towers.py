"""Text towers: the loading code of each family on tiny checkpoints, against the outputs of transformers itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tower_checkpoints
from torch.nn import functional as F
from tower_checkpoints import CLIP_END, LENGTH, TEXTS, features, reference

from goldfold.competition import Runtime
from goldfold.nn import text_towers

NEEDED = "needs packages: pip install transformers sentencepiece"
transformers: Any = pytest.importorskip("transformers", reason=NEEDED)
pytest.importorskip("sentencepiece", reason=NEEDED)

FAMILIES = tuple(text_towers.POOLING)


@pytest.mark.parametrize("family", ["siglip", "siglip2"])
def test_siglip_pads_fully_and_has_no_mask(checkpoint, family):
    model, tokenizer = reference(checkpoint(family))
    lower = [text.lower() for text in TEXTS]
    padded = tokenizer(lower, padding="max_length", max_length=LENGTH, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        expected = model.get_text_features(input_ids=padded).pooler_output
        fused = model(input_ids=padded, **_pixels(family)).text_embeds
    got = features(text_towers.load(checkpoint(family)))
    assert torch.allclose(got, expected, atol=1e-6)
    assert torch.equal(got[0], got[-1])  # capitals mean nothing to it
    assert torch.allclose(fused.norm(dim=1), torch.ones(len(TEXTS)))
    assert torch.allclose(F.normalize(got, dim=1), fused, atol=1e-6)
    assert got.norm(dim=1).std() > 0.01
    with torch.inference_mode():
        unpadded = [model.get_text_features(**tokenizer([text], return_tensors="pt")).pooler_output for text in lower]
    assert F.cosine_similarity(torch.cat(unpadded), got).max() < 0.95


def test_siglip_reads_lower_case_where_its_tokenizer_does_not(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("siglip"), tmp_path / "siglip")
    told = (folder / "tokenizer_config.json").read_text()
    assert '"do_lower_case": true' in told
    (folder / "tokenizer_config.json").write_text(told.replace('"do_lower_case": true', '"do_lower_case": false'))
    tower = text_towers.load(folder)
    assert torch.equal(features(tower), features(text_towers.load(checkpoint("siglip"))))


@pytest.mark.parametrize("end", [2, CLIP_END])
def test_clip_pools_the_end_of_text(checkpoint, end):
    model, tokenizer = reference(checkpoint("clip", eos_token_id=end))
    with torch.inference_mode():
        each = [model.get_text_features(**tokenizer([text], return_tensors="pt")).pooler_output for text in TEXTS]
        fused = model(**tokenizer(list(TEXTS), padding=True, return_tensors="pt"), **_pixels("clip")).text_embeds
    got = features(text_towers.load(checkpoint("clip", eos_token_id=end)))
    assert torch.allclose(got, torch.cat(each), atol=1e-5)
    assert torch.allclose(F.normalize(got, dim=1), fused, atol=1e-5)
    assert (got.norm(dim=1) - 1).abs().min() > 0.1


@pytest.mark.parametrize("family", ["bert", "distilbert", "mpnet", "roberta", "xlm-roberta"])
def test_encoders_are_pooled_by_the_mean_without_padding(checkpoint, family):
    """The masked mean of sentence-transformers, here of each text alone, which has no padding."""
    model, tokenizer = reference(checkpoint(family))
    with torch.inference_mode():
        ids = [tokenizer(text, return_tensors="pt")["input_ids"] for text in TEXTS]
        expected = torch.cat([model(input_ids=each).last_hidden_state.mean(1) for each in ids])
    assert torch.allclose(features(text_towers.load(checkpoint(family))), expected, atol=1e-5)


def _pixels(family: str) -> dict[str, torch.Tensor]:
    if family == "siglip2":
        ones = torch.ones(1, 16, dtype=torch.int64)
        return {
            "pixel_values": torch.zeros(1, 16, 192),
            "pixel_attention_mask": ones,
            "spatial_shapes": torch.tensor([[4, 4]]),
        }
    return {"pixel_values": torch.zeros(1, 3, tower_checkpoints.IMAGE, tower_checkpoints.IMAGE)}


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_that_are_too_long_lose_their_end(checkpoint, family):
    tower = text_towers.load(checkpoint(family))
    ids, mask = tower.tokenize(["cat " * 200, "dog"])
    assert ids.shape == mask.shape
    assert ids.shape[1] <= LENGTH
    got = features(tower, ("cat " * 200, "cat " * 190 + "dog", "dog " + "cat " * 199))
    assert got.isfinite().all()
    assert torch.allclose(got[0], got[1], atol=1e-5)
    assert not torch.allclose(got[0], got[2], atol=1e-3)
    assert tower.count_cut(("cat " * 200, "dog", "cat " * 190 + "dog")) == 2


def runtime(cache: Path, seen: list[int]) -> Runtime:
    return Runtime(
        seed=0, device=torch.device("cpu"), cache=cache, progress=lambda what, done, total: seen.append(total)
    )


@pytest.mark.parametrize("family", ["siglip", "bert"])
def test_each_text_is_computed_once_and_batches_change_nothing(checkpoint, family, tmp_path, monkeypatch):
    many = _sentences(70)
    tower = text_towers.load(checkpoint(family))
    expected = np.concatenate([features(tower, (text,)).numpy() for text in many])
    computed: list[int] = []
    got = text_towers.cached_texts(text_towers.load(checkpoint(family)), runtime(tmp_path, computed))(many)
    assert got.dtype == np.float32
    assert np.allclose(got, expected, atol=1e-5)
    assert computed == [len(set(many))] * 3  # batches of 32
    again = text_towers.cached_texts(text_towers.load(checkpoint(family)), runtime(tmp_path, computed))
    assert np.array_equal(again(many[::-1]), got[::-1])
    assert len(computed) == 3
    again((*many, "cat dog cat dog tree"))
    assert computed[3:] == [1]
    monkeypatch.setitem(text_towers.AT_ONCE, "cpu", 7)
    fresh = text_towers.cached_texts(text_towers.load(checkpoint(family)), runtime(tmp_path / "fresh", computed))
    assert np.allclose(fresh(many), got, atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = text_towers.cached_texts(text_towers.load(checkpoint(family)), runtime(tmp_path / "half", computed))
        assert np.array_equal(half(many), fresh(many))


def _sentences(count: int) -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    return tuple(" ".join(rng.choice(tower_checkpoints.WORDS, rng.integers(1, 9))) for _ in range(count))


def test_another_tokenizer_limit_or_weight_is_another_key(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "bert")
    computed: list[int] = []
    first = text_towers.cached_texts(text_towers.load(folder), runtime(tmp_path, computed))(TEXTS)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 4}')
    short = text_towers.cached_texts(text_towers.load(folder), runtime(tmp_path, computed))(TEXTS)
    told = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(told.replace('"cat": 8', '"cat": 9').replace('"dog": 9', '"dog": 8'))
    text_towers.cached_texts(text_towers.load(folder), runtime(tmp_path, computed))(TEXTS)
    tower = text_towers.load(folder)
    with torch.no_grad():
        tower.encode.model.embeddings.word_embeddings.weight[0, 0] += 1
    text_towers.cached_texts(tower, runtime(tmp_path, computed))(TEXTS)
    assert computed == [len(TEXTS)] * 4
    assert not np.allclose(first[0], short[0])
    assert np.array_equal(first[1], short[1])  # it has three tokens


def test_half_precision_weights_are_computed_in_float32(checkpoint, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(checkpoint("siglip"), folder)
    transformers.AutoModel.from_pretrained(folder).half().save_pretrained(folder)
    assert features(text_towers.load(folder)).dtype == torch.float32
