"""Defect detection: a head on a frozen backbone (the baseline), a fine-tuned backbone, and two anomaly detectors.

The anomaly detectors train on normal cells only (probability 0, so all experts agree), of both types at once.
"""

from __future__ import annotations

from goldfold.recipes import autoencoder, frozen_backbone, image_classifier, patch_library

CLASSES = (0, 1)

RECIPES = {
    "frozen_backbone": frozen_backbone.recipe(
        "defect",
        CLASSES,
        image_size=300,
        views="mirrored",
        stages=5,
        hidden=256,
        dropout=0.3,
        epochs=8,
        learning_rate=3e-4,
        weight_decay=0.1,
    ),
    "image_classifier": image_classifier.recipe(
        "defect",
        CLASSES,
        image_size=224,
        augmentation="flips",
        views="flips",
        label_smoothing=0.1,
        epochs=10,
        batch_size=32,
        learning_rate=1e-3,
        weight_decay=0.05,
    ),
    "patch_library": patch_library.recipe("probability", normal=0.0, class_="type"),
    "autoencoder": autoencoder.recipe("probability", normal=0.0, class_="type"),
}
