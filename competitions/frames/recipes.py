"""Embeddings of frames: a pretrained network, SimSiam on views, FastAP on place labels, or both."""

from __future__ import annotations

from competitions.frames.data import NEIGHBORS
from goldfold.recipes import embedder

RECIPES = {
    "embedder": embedder.recipe(
        "place",
        sequence=NEIGHBORS.sequence,
        time=NEIGHBORS.time,
        category="recording",
        backbone="efficientnet_lite0",
        image_size=96,
        simsiam_epochs=5,
        simsiam_batch_size=32,
        simsiam_learning_rate=0.05,
        crop=0.5,
        strength=0.5,
        flip=False,  # a mirrored street is another place
    ),
}
