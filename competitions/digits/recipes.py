"""A small convolutional network, trained from scratch."""

from __future__ import annotations

from torch import nn

from competitions.digits.data import DIGITS
from goldfold.recipes import image_classifier


def network(classes: int) -> nn.Module:
    """Create a network from gray pixels (n, 1, 28, 28) to logits (n, classes), with 0.2 million parameters."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

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
