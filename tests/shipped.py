"""Competitions and configs that goldfold ships; style rules hold for these alone, contracts for every folder found."""

from __future__ import annotations

SHIPPED = {
    "actions": ("baseline", "majority", "sequence_network"),
    "captions": ("baseline", "fusion", "mlp_baseline"),
    "digits": ("baseline",),
    "frames": ("fastap", "multi_similarity", "pretrained_frozen", "simsiam", "simsiam_fastap", "untrained"),
    "hand_gestures": ("baseline", "sequence_network"),
    "hands": ("baseline", "clip_reid", "prompts", "untrained", *(f"v{number}" for number in range(1, 11)), "zero_shot"),
    "house_prices": ("baseline", "boosting", "catboost", "network"),
    "icons": ("baseline", "decided", "fusion", "mlp_baseline"),
    "industrial_defects": ("autoencoder", "patch_library"),
    "lookalikes": ("baseline", "photographs", "untrained"),
    "magnetic_tiles": ("autoencoder", "patch_library"),
    "mvtec_ad": ("autoencoder", "patch_library"),
    "nuclei": ("baseline", "decided", "mirrored"),
    "recordings": ("baseline", "labeled", "untrained"),
    "road_scenes": ("baseline",),
    "road_segments": ("baseline",),
    "solar_cells": ("autoencoder", "baseline", "finetune", "patch_library"),
    "spoken_digits": ("baseline",),
    "titanic": ("alone", "baseline", "boosting", "forest", "network"),
    "tweets": ("baseline", "finetune", "frozen", "frozen_minilm"),
    "vowels": ("baseline", "sequence_network"),
    "windows": ("baseline", "sequence_network"),
}
