"""How a normal product is known: by a library of its patches as a frozen backbone sees them, or by redrawing it.

Both learn from all classes at once. Scars cut from an image and pasted back are what their scores are tried on, since
no real defect is labelled.
"""

from __future__ import annotations

from goldfold.recipes import autoencoder, patch_library

RECIPES = {
    "patch_library": patch_library.recipe("defect", normal=0, class_="class", pseudo="cutpaste_scar"),
    "autoencoder": autoencoder.recipe("defect", normal=0, class_="class", pseudo="cutpaste_scar"),
}
