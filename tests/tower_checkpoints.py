"""Tiny towers with random weights, saved by transformers in its layout: config.json, safetensors, tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

WORDS = ("a", "photo", "of", "cat", "dog", "red", "house", "tree", "two", "birds")
TEXTS = ("a photo of a cat", "dog", "two red birds", "a house of a tree of a cat", "", "A Photo of a CAT")
LENGTH = 64  # positions of the text models
SPECIAL = {"pad": "<pad>", "eos": "</s>", "bos": "<s>", "unk": "<unk>", "mask": "<mask>"}
IDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
CLIP_END = 15  # the largest id of its vocabulary
WIDTH: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
IMAGE = 32


def save(folder: Path, family: str, **text: Any) -> Path:
    """Save a checkpoint of `family` with a tokenizer of a few words; text: options of the text model's config."""
    import transformers

    torch.manual_seed(0)
    words = tokenizer(family)
    options = {"vocab_size": len(words), "max_position_embeddings": LENGTH, **WIDTH, **IDS, **_end(family), **text}
    if family in ("clip", "siglip", "siglip2"):
        width = {"projection_size": 16} if family != "clip" else {}
        vision = {"image_size": IMAGE, "patch_size": 8, **WIDTH} | ({"num_patches": 16} if family == "siglip2" else {})
        wide = {"projection_dim": 24} if family == "clip" else {}
        config = transformers.AutoConfig.for_model(family, text_config=options | width, vision_config=vision, **wide)
    else:
        config = transformers.AutoConfig.for_model(family, **options)
    model = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for values in model.parameters():  # biases of 0 and scales of 1 would hide mistakes
            values.add_(0.3 * torch.randn_like(values))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def _end(family: str) -> dict[str, int]:
    return {"eos_token_id": CLIP_END} if family == "clip" else {}


def tokenizer(family: str) -> Any:
    """The real class where its training differs from that of others, else words with the family's special tokens."""
    if family == "siglip":
        return _pieces()
    if family == "siglip2":
        return _letters()
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    end = "<|end|>" if family == "clip" else "</s>"  # CLIP's end of text is its largest id
    vocabulary = _numbered([*SPECIAL.values(), *WORDS, "<|end|>"])
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.post_processor = _template(f"<s> $A {end}", vocabulary)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_special())


def _pieces() -> Any:
    """SigLIP's tokenizer, which is of sentencepiece and pads with the end of the text."""
    import sentencepiece
    from transformers import SiglipTokenizer

    options = {"vocab_size": 40, "hard_vocab_limit": False, "minloglevel": 2, "unk_id": 0, "eos_id": 1}
    lines = [" ".join(WORDS), *WORDS] * 20
    with TemporaryDirectory() as folder, open(Path(folder) / "spiece.model", "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=file, bos_id=-1, pad_id=-1, **options
        )
        file.flush()
        return SiglipTokenizer(file.name)


def _letters() -> Any:
    """SigLIP2's tokenizer, whose class pads at the left, unlike its training."""
    from transformers import Siglip2Tokenizer

    vocabulary = _numbered([*SPECIAL.values(), *sorted(set(" ".join(WORDS)) - {" "}), "\u2581"])
    tokenizer = Siglip2Tokenizer(vocabulary, [], **_special())
    tokenizer.backend_tokenizer.post_processor = _template("$A </s>", vocabulary)
    return tokenizer


def _special() -> dict[str, str]:
    return {f"{name}_token": token for name, token in SPECIAL.items()}


def _numbered(tokens: Sequence[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def _template(single: str, vocabulary: dict[str, int]) -> Any:
    from tokenizers import processors

    used = [(token, vocabulary[token]) for token in single.split() if token in vocabulary]
    pair = f"{single} $B:1 {single.split()[-1]}:1"
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=used)


def features(tower: nn.Module, texts: Sequence[str] = TEXTS) -> torch.Tensor:
    """The features (n, d) of texts, in one batch."""
    with torch.inference_mode():
        return tower(*tower.tokenize(texts))


def reference(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a folder, as transformers loads them."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder, padding_side="right")
