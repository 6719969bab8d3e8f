"""How digits are told: a small convolutional network, trained from scratch."""

from __future__ import annotations

from torch import nn

from competitions.digits.data import DIGITS
from goldfold.recipes import image_classifier


def network(classes: int) -> nn.Module:
    """Grey pixels (n, 1, 28, 28) -> logits (n, classes); 0.2 million parameters."""

    def block(channels: int, wider: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, wider, 3, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]

    return nn.Sequential(
        *block(1, 16),
        nn.MaxPool2d(2),
        *block(16, 32),
        nn.MaxPool2d(2),
        *block(32, 64),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64 * 7 * 7, classes),
    )


RECIPES = {
    "image_classifier": image_classifier.recipe(
        "label",
        DIGITS,
        network=network,
        gray=True,
        image_size=28,
        augmentation="moves",
        epochs=6,
        batch_size=64,
        learning_rate=3e-3,
    ),
}
