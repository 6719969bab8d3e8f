"""Embeddings of hands: a pretrained network, and metric learning on identities (person and aspect)."""

from __future__ import annotations

from goldfold.recipes import embedder

RECIPES = {
    "embedder": embedder.recipe(
        "identity",
        backbone="efficientnet_lite0",
        simsiam_epochs=0,
        metric_augmentation="moves",  # without mirroring, which makes right hands left ones
        flip=False,
    ),
}
