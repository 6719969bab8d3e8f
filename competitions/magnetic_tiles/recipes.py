"""Anomaly detection with a library of normal patch features of a frozen backbone, or with an autoencoder."""

from __future__ import annotations

from goldfold.recipes import autoencoder, patch_library

RECIPES = {
    "patch_library": patch_library.recipe("defect", normal=0),
    "autoencoder": autoencoder.recipe("defect", normal=0),
}
