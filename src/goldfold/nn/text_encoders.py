"""Encoders of token ids to hidden states; the vectors of the tokens may be given, as learned prompts need."""

from __future__ import annotations

from torch import Tensor, nn


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

    def token_vectors(self, ids: Tensor) -> Tensor:
        """Return the vectors of tokens: (n, t) -> (n, t, w)."""
        return self._embedding()(ids)

    def _embedding(self) -> nn.Module:
        return self.model.get_input_embeddings()  # type: ignore[operator]  # of transformers


class TokenVectors(nn.Embedding):
    """Token ids (n, t) -> the vectors of the tokens, float32 (n, t, d), whatever is beside them."""

    def forward(  # type: ignore[override]  # as `Encoder`
        self, ids: Tensor, mask: Tensor, vectors: Tensor | None = None
    ) -> Tensor:
        return super().forward(ids) if vectors is None else vectors

    def token_vectors(self, ids: Tensor) -> Tensor:
        """Return the vectors of tokens: (n, t) -> (n, t, d)."""
        return super().forward(ids)
