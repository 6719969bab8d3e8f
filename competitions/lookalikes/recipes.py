"""Embeddings: a small network for digits and other small signs, or a pretrained one for photographs."""

from __future__ import annotations

from torch import nn

from goldfold.recipes import embedder


def network() -> nn.Module:
    """Create a network from gray pixels (n, 1, 28, 28) to features (n, 128), with 0.5 million parameters."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *block(1, 16),
        nn.MaxPool2d(2),
        *block(16, 32),
        nn.MaxPool2d(2),
        *block(32, 64),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 128),
    )


RECIPES = {
    "signs": embedder.recipe(
        "label",
        network=network,
        gray=True,
        image_size=28,
        metric_augmentation="moves",
        metric_learning_rate=1e-3,
        simsiam_epochs=0,
    ),
    "photographs": embedder.recipe("label", backbone="efficientnet_lite0", simsiam_epochs=0),
}
