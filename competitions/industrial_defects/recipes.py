"""Anomaly detection with a library of normal patch features, or with an autoencoder, on all classes at once.

No real defect is labeled, so the metric uses synthetic ones: scars cut from an image and pasted back (CutPaste).
"""

from __future__ import annotations

from goldfold.recipes import autoencoder, patch_library

RECIPES = {
    "patch_library": patch_library.recipe("defect", normal=0, class_="class", pseudo="cutpaste_scar"),
    "autoencoder": autoencoder.recipe("defect", normal=0, class_="class", pseudo="cutpaste_scar"),
}
