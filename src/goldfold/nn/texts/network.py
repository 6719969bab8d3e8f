"""An encoder of transformers with a pooling and a linear layer, trained as a whole."""

from __future__ import annotations

import re
from typing import Any, Literal

import torch
from torch import Tensor, nn

from goldfold.errors import GoldfoldError
from goldfold.nn.text_towers import pool

Pooling = Literal["mean", "cls"]


class TextNetwork(nn.Module):
    """Token ids, mask and types, int64 (n, t) each -> outputs (n, outputs).

    encoder: a model of transformers. pooling: mean of the hidden states without padding, or the state of the first
        token. dropout: rate before the linear layer. It has timm's `get_classifier` and `group_matcher`.
    """

    def __init__(self, encoder: Any, outputs: int, pooling: Pooling, dropout: float) -> None:
        super().__init__()
        self.encoder, self.pooling = encoder, pooling
        self.typed = getattr(encoder.config, "type_vocab_size", 0) > 1
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, outputs)
        nn.init.normal_(self.head.weight, std=0.02)  # of BERT's own heads
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        known = {"token_type_ids": types} if self.typed else {}
        states = self.encoder(input_ids=ids, attention_mask=mask, **known).last_hidden_state
        pooled = states[:, 0] if self.pooling == "cls" else pool(states, ids, mask, "mean")
        return self.head(self.dropout(pooled))

    def get_classifier(self) -> nn.Module:
        """The linear layer."""
        return self.head

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Names of the blocks for `timm.optim.param_groups_layer_decay`: embeddings, layers, and what follows them."""
        layers = re.escape(self._layers())
        return {
            "stem": rf"^(?!{layers}\.|head\.)encoder\.",
            "blocks": [(rf"^{layers}\.(\d+)", None), (r"^head", (99999,))],
        }

    def freeze(self, layers: int) -> None:
        """Do not train the embeddings and the first layers; 0: train all.

        Raises:
            GoldfoldError: `too_many_frozen_layers`.
        """
        if not layers:
            return
        name = self._layers()
        known = self.get_submodule(name)
        assert isinstance(known, nn.ModuleList), "layers are a list"
        if layers > len(known):
            raise GoldfoldError(
                "too_many_frozen_layers",
                f"frozen_layers is {layers}, but the encoder has {len(known)} layers: lower it, or use frozen features",
            )
        self.encoder.requires_grad_(False)
        for layer in list(known)[layers:]:
            layer.requires_grad_(True)

    def recompute_activations(self) -> None:
        """Compute activations again in the backward pass.

        Raises:
            GoldfoldError: `no_gradient_checkpointing`.
        """
        older = not hasattr(self.encoder, "activation_checkpointing_enable")
        name = "gradient_checkpointing" if older else "activation_checkpointing"
        try:
            getattr(self.encoder, f"{name}_enable")(**{f"{name}_kwargs": {"use_reentrant": False}})
        except (ValueError, NotImplementedError, AttributeError) as error:
            raise GoldfoldError(
                "no_gradient_checkpointing",
                f"gradient_checkpointing=true has no effect, since the encoder {type(self.encoder).__name__} cannot "
                "compute its activations again: leave it out",
            ) from error

    def _layers(self) -> str:
        """The name of the list of the encoder's layers.

        Raises:
            GoldfoldError: `no_blocks`.
        """
        count = self.encoder.config.num_hidden_layers
        for name, module in self.named_modules():
            if isinstance(module, nn.ModuleList) and len(module) == count:
                return name
        raise GoldfoldError(
            "no_blocks",
            f"layer_decay and frozen_layers have no effect, since the layers of {type(self.encoder).__name__} share "
            "their weights: leave them out",
        )


def predict(network: nn.Module, tokens: Any, batch_size: int) -> Tensor:
    """Outputs (n, outputs), float64 on the CPU, of tokenized texts in their order; batches have texts of like length.

    They depend on the batches by rounding only.
    """
    device = next(network.parameters()).device
    order = torch.from_numpy(tokens.lengths).argsort(stable=True)
    found = [
        network(*(part.to(device) for part in tokens.batch(rows.numpy()))).cpu().double()
        for rows in order.split(batch_size)
    ]
    outputs = torch.cat(found)
    return torch.empty_like(outputs).index_copy_(0, order, outputs)
