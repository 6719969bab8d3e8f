"""Anomaly detection with a library of normal patch features, or with an autoencoder, on all classes at once."""

from __future__ import annotations

from goldfold.recipes import autoencoder, patch_library

RECIPES = {
    "patch_library": patch_library.recipe("defect", normal=0, class_="class"),
    "autoencoder": autoencoder.recipe("defect", normal=0, class_="class"),
}
