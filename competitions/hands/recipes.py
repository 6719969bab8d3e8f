"""Embeddings of hands: a pretrained network, metric learning on identities (person and aspect), learned prompts."""

from __future__ import annotations

from goldfold.recipes import embedder, prompted_embedder

RECIPES = {
    "embedder": embedder.recipe(
        "identity",
        backbone="efficientnet_lite0",
        simsiam_epochs=0,
        metric_augmentation="moves",  # without mirroring, which makes right hands left ones
        flip=False,
    ),
    "prompted_embedder": prompted_embedder.recipe(
        "identity", templates=("A photo of a {} hand.",), text_tower="wordllama"
    ),
}
