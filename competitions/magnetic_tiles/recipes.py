"""How a tile without defects is known: a library of its patches, as a frozen backbone sees them, or redrawing it."""

from __future__ import annotations

from goldfold.recipes import autoencoder, patch_library

RECIPES = {
    "patch_library": patch_library.recipe("defect", normal=0),
    "autoencoder": autoencoder.recipe("defect", normal=0),
}
