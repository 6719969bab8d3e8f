"""Folders of towers: which are refused with which sentence, and what loading leaves alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from error_codes import raises_code
from tower_checkpoints import features

from goldfold.nn import image_towers, text_towers

NEEDED = "needs packages: pip install transformers sentencepiece"
transformers: Any = pytest.importorskip("transformers", reason=NEEDED)
pytest.importorskip("sentencepiece", reason=NEEDED)


def test_weights_that_are_not_used_may_be_missing_and_no_random_numbers_are_drawn(checkpoint, tmp_path):
    """transformers draws the pooler, which the mean does not need."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoint("bert"), tmp_path / "bert")
    whole = load_file(folder / "model.safetensors")
    used = {name: values for name, values in whole.items() if not name.startswith("pooler.")}
    assert len(used) < len(whole)
    save_file(used, folder / "model.safetensors", metadata={"format": "pt"})
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    tower = text_towers.load(folder)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(features(tower), features(text_towers.load(checkpoint("bert"))))


def test_folders_that_are_refused(checkpoint, tmp_path):
    def damaged(family: str = "siglip") -> Path:
        return shutil.copytree(checkpoint(family), tmp_path / family, dirs_exist_ok=True)

    with raises_code("tower_not_found", "nowhere", "does not exist", "wordllama"):
        text_towers.load(tmp_path / "nowhere")
    with raises_code("tower_not_found", "nowhere", "does not exist", "safetensors"):
        image_towers.load(tmp_path / "nowhere")
    with raises_code("tower_not_found", "has no config.json"):
        text_towers.load(tmp_path)
    folder = damaged()
    (folder / "config.json").write_text("{")
    with raises_code("tower_not_found", "config.json", "cannot be read"):
        text_towers.load(folder)
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    with raises_code("unknown_tower_family", "'gpt2'", "siglip2", "xlm-roberta"):
        text_towers.load(folder)
    with raises_code("unknown_tower_family", "'bert'", "clip, siglip, siglip2"):
        image_towers.load(damaged("bert"))
    folder = damaged()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with raises_code("tower_weights_missing", "siglip tower in", "pytorch_model.bin"):
        text_towers.load(folder)
    folder = damaged()
    (folder / "spiece.model").unlink()
    with raises_code("tokenizer_missing", "siglip tower in", "spiece.model"):
        text_towers.load(folder)
    image_towers.load(folder)
    folder = damaged()
    (folder / "spiece.model").write_text("?")
    with raises_code("tower_not_loaded", "siglip tower in"):
        text_towers.load(folder)
    (folder / "model.safetensors").write_bytes(b"\x08" + bytes(20))
    with raises_code("tower_not_loaded", "siglip tower in"):
        image_towers.load(folder)


def test_weights_that_a_tower_lacks_are_refused_and_unused_ones_are_not(checkpoint, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoint("siglip"), tmp_path / "siglip")
    whole = load_file(folder / "model.safetensors")
    only = {name: values for name, values in whole.items() if name.startswith("text_model.")}
    save_file(only, folder / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(features(text_towers.load(folder)), features(text_towers.load(checkpoint("siglip"))))
    with raises_code("tower_not_loaded", "siglip tower in", "weights, such as vision_model"):
        image_towers.load(folder)
    del only["text_model.head.weight"]
    save_file(only, folder / "model.safetensors", metadata={"format": "pt"})
    with raises_code("tower_not_loaded", "lacks 1 of its weights", "text_model.head.weight"):
        text_towers.load(folder)


def test_weights_of_another_architecture_are_named(checkpoint, tmp_path):
    """A config of one model beside the weights of another; transformers says only that shapes differ."""
    folder = shutil.copytree(checkpoint("siglip"), tmp_path / "siglip")
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    told["vision_config"]["intermediate_size"] *= 2
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    with raises_code("tower_not_loaded", "siglip tower in", "of another shape", "such as vision_model.", "one model"):
        image_towers.load(folder)
    assert torch.equal(features(text_towers.load(folder)), features(text_towers.load(checkpoint("siglip"))))


def test_a_package_that_a_tokenizer_needs_is_told(checkpoint, monkeypatch):
    def without_sentencepiece(*_: object, **options: object) -> None:
        raise ImportError("SiglipTokenizer requires the SentencePiece library")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", without_sentencepiece)
    with raises_code("package_missing", "siglip tower in", "SentencePiece", "pip install transformers sentencepiece"):
        text_towers.load(checkpoint("siglip"))


def test_a_tokenizer_of_another_model_is_refused(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "bert")
    told = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(told.replace('"cat": 8', '"cat": 80'))
    tower = text_towers.load(folder)
    with raises_code("tower_not_loaded", "bert tower in", "knows 16 tokens"):
        tower.tokenize(["cat"])
    with raises_code("tower_not_loaded", "clip tower in", "pools the token 11"):
        text_towers.load(checkpoint("clip", eos_token_id=11)).tokenize(["cat"])


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, True),
        ({"pooling_mode": "cls"}, True),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, False),
        ({"pooling_mode": "mean", "embedding_dimension": 16}, False),
    ],
)
def test_a_tower_trained_with_another_pooling_is_refused(checkpoint, tmp_path, told, refused):
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "bert")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(told))
    if refused:
        with raises_code("other_pooling", "bert tower in", "cls"):
            text_towers.load(folder)
    else:
        text_towers.load(folder)


def test_nothing_is_printed(checkpoint, capfd):
    folders = checkpoint("bert"), checkpoint("clip")
    capfd.readouterr()
    for folder in folders:
        text_towers.load(folder)
    assert capfd.readouterr() == ("", "")
