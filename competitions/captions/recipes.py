"""Fusion of image and caption."""

from __future__ import annotations

from competitions.captions.data import LABELS
from goldfold.recipes import fusion

RECIPES = {"fusion": fusion.recipe(LABELS, text_column="caption")}
