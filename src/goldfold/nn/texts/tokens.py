"""Texts, or pairs of texts, as token ids that are padded batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

NO_LIMIT = 10**9
AT_ONCE = 1024  # texts that the tokenizer gets

TokenBatch = tuple[Tensor, Tensor, Tensor]  # ids, mask and types, all int64 (n, t)


@dataclass(frozen=True)
class Tokens:
    """The tokens of n texts.

    ids, types: int64 arrays, one per text; types are 1 for the second text of a pair, otherwise 0. lengths: int64 (n,).
    cut: number of texts that lost their end. padding: the id that fills a batch.
    """

    ids: tuple[np.ndarray, ...]
    types: tuple[np.ndarray, ...]
    lengths: np.ndarray
    cut: int
    padding: int

    def batch(self, rows: np.ndarray) -> TokenBatch:
        """Ids, mask and types of some texts, padded to the longest of them; padding has mask 0."""
        longest = int(self.lengths[rows].max(initial=1))
        ids = torch.full((len(rows), longest), self.padding)
        mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
        for place, row in enumerate(rows):
            end = self.lengths[row]
            ids[place, :end] = torch.from_numpy(self.ids[row])
            types[place, :end] = torch.from_numpy(self.types[row])
            mask[place, :end] = 1
        return ids, mask, types


def tokenize(tokenizer: Any, columns: Sequence[Sequence[str]], longest: int) -> Tokens:
    """Tokenize texts (one column) or pairs (two), which the tokenizer joins with its separator.

    longest: number of tokens that a text or pair may have, special ones included; of a pair the longer text is cut
        first. A lone surrogate, which no tokenizer reads, becomes "?".
    """
    clean = [[_encodable(text) for text in column] for column in columns]
    found: list[tuple[np.ndarray, np.ndarray]] = []
    cut = 0
    for start in range(0, len(clean[0]), AT_ONCE):
        part = [column[start : start + AT_ONCE] for column in clean]
        whole = _tokens(tokenizer, part, None)
        over = [row for row, (ids, _) in enumerate(whole) if len(ids) > longest]
        if over:
            shorter = _tokens(tokenizer, [[column[row] for row in over] for column in part], longest)
            for row, tokens in zip(over, shorter, strict=True):
                whole[row] = tokens
        cut += len(over)
        found += whole
    lengths = np.array([len(ids) for ids, _ in found], np.int64)
    padding = tokenizer.pad_token_id or 0
    return Tokens(tuple(ids for ids, _ in found), tuple(types for _, types in found), lengths, cut, padding)


def _tokens(tokenizer: Any, columns: Sequence[list[str]], longest: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ids and types of each text or pair, cut to `longest`."""
    limit, tokenizer.model_max_length = tokenizer.model_max_length, NO_LIMIT  # else it warns of every long text
    try:
        options = {"truncation": True, "max_length": longest} if longest else {}
        found = tokenizer(*columns, return_attention_mask=False, return_token_type_ids=True, **options)
    finally:
        tokenizer.model_max_length = limit
    return [
        (np.array(ids, np.int64), np.array(types, np.int64))
        for ids, types in zip(found["input_ids"], found["token_type_ids"], strict=True)
    ]


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
