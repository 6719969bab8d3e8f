"""Encoders of token ids to hidden states; the vectors of the tokens may be given, as learned prompts need."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KeysAndValues = tuple[Tensor, Tensor]  # of a layer, both (n, t, h)


class Encoder(nn.Module):
    """Token ids and mask (n, t) -> hidden states (n, t, h) of a model of transformers."""

    def __init__(self, model: nn.Module, masked: bool) -> None:
        super().__init__()
        self.model, self.masked = model, masked

    def forward(self, ids: Tensor, mask: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Compute the hidden states; vectors: (n, t, w) in place of the tokens' own, without positions."""
        known = {"input_ids": ids, "attention_mask": mask if self.masked else None}
        if vectors is None:
            return self.model(**known).last_hidden_state
        # ids are still needed, since some families number positions by them and CLIP refuses to go without
        hook = self._embedding().register_forward_hook(lambda module, given, found: vectors)
        try:
            return self.model(**known).last_hidden_state
        finally:
            hook.remove()

    @property
    def is_causal(self) -> bool:
        """Whether a state depends on earlier tokens only, and the layers are those that `after_prefix` knows."""
        return getattr(self.model.config, "model_type", "") == "clip_text_model"

    def after_prefix(self, vectors: Tensor, length: int) -> Tensor:
        """Compute the hidden states (n, t - length, h) behind a prefix that all texts share, which is computed once.

        vectors: of the tokens, (n, t, w); the first `length` ones are alike and get no gradient. The model is causal
        and in evaluation mode; padding stands behind the tokens that are read, so that no mask is needed.
        """
        model: Any = self.model
        positions = model.embeddings.position_embedding.weight[: vectors.shape[1]]
        first = vectors[:1, :length].detach() + positions[:length]
        states = vectors[:, length:] + positions[length:]
        for layer in model.encoder.layers:
            first, before = _layer(layer, first)
            states, _ = _layer(layer, states, before)
        return model.final_layer_norm(states)

    def token_vectors(self, ids: Tensor) -> Tensor:
        """Return the vectors of tokens: (n, t) -> (n, t, w)."""
        return self._embedding()(ids)

    def _embedding(self) -> nn.Module:
        return self.model.get_input_embeddings()  # type: ignore[operator]  # of transformers


def _layer(layer: Any, states: Tensor, before: KeysAndValues | None = None) -> tuple[Tensor, KeysAndValues]:
    """Return the output (n, t, h) of a causal layer with its keys and values; before: those of the prefix (1, p, h)."""
    attention, normed, count = layer.self_attn, layer.layer_norm1(states), states.shape[1]
    own = attention.k_proj(normed), attention.v_proj(normed)
    earlier = [each.expand(len(states), -1, -1) for each in before] if before else [each[:, :0] for each in own]
    keys, values = (torch.cat(parts, dim=1) for parts in zip(earlier, own, strict=True))
    parts = attention.q_proj(normed), keys, values
    q, k, v = (each.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for each in parts)
    seen = torch.ones(count, keys.shape[1], dtype=torch.bool, device=keys.device).tril(keys.shape[1] - count)
    found = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=attention.scale)
    states = states + attention.out_proj(found.transpose(1, 2).flatten(2))
    return states + layer.mlp(layer.layer_norm2(states)), own


class TokenVectors(nn.Embedding):
    """Token ids (n, t) -> the vectors of the tokens, float32 (n, t, d), whatever is beside them."""

    is_causal = False

    def forward(  # type: ignore[override]  # as `Encoder`
        self, ids: Tensor, mask: Tensor, vectors: Tensor | None = None
    ) -> Tensor:
        return super().forward(ids) if vectors is None else vectors

    def token_vectors(self, ids: Tensor) -> Tensor:
        """Return the vectors of tokens: (n, t) -> (n, t, d)."""
        return super().forward(ids)
