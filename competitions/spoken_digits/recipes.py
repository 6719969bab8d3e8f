"""A spectrogram of a second of sound, and an image network pretrained on photographs or trained from scratch."""

from __future__ import annotations

from torch import nn

from competitions.spoken_digits.data import DIGITS, RATE
from goldfold.recipes import audio_classifier


def network(classes: int) -> nn.Module:
    """Create a network from spectrograms (n, 1, mels, frames) to logits (n, classes), with 0.1 million parameters."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]

    return nn.Sequential(
        *block(1, 16),
        *block(16, 32),
        *block(32, 64),
        *block(64, 128),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(128, classes),
    )


SOUND = {"sample_rate": RATE, "seconds": 1.2, "padding": "zeros", "n_fft": 512, "hop": 80, "mels": 40}

RECIPES = {
    "audio_classifier": audio_classifier.recipe(
        "label", DIGITS, network=network, **SOUND, epochs=20, learning_rate=3e-3
    ),
    "finetuned": audio_classifier.recipe("label", DIGITS, **SOUND, epochs=5),
}
