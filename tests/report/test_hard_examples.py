"""Hard examples of several fits against their means computed by hand, and pictures that show no private image."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from goldfold.optional_parts import ClassLabels, LabelColumns
from goldfold.report.plotting import photographs
from goldfold.report.run import hard_examples

NAN = np.nan
FITS = [  # losses of five rows after each epoch, in two fits; the second stopped earlier
    np.array([[1.0, 2, 3, NAN, NAN], [1, 2, 2, NAN, NAN], [0.5, 4, 1, NAN, NAN]], np.float32),
    np.array([[3.0, NAN, NAN, 1, NAN], [0.5, NAN, NAN, 4, NAN]], np.float32),
]


def experiment(folder: Path | None = None, private: bool = False, labels: Any = None) -> SimpleNamespace:
    train = pd.DataFrame({"id": ["r0", "r1", "r2", "r3", "r4"], "kind": list("aabbb"), "x": 0, "y": [0, 1, 0, 1, 0]})
    train["subject"] = 7
    if folder:
        train["path"] = [folder / f"{row}.png" for row in range(5)]
    return SimpleNamespace(
        competition=SimpleNamespace(targets=("kind", "subject"), private_images=private),
        loop=SimpleNamespace(hard_examples=3),
        recipe=SimpleNamespace(labels=labels),
        tables=SimpleNamespace(train=train),
    )


def test_the_hardest_rows_are_those_of_the_last_epochs_mean_over_fits() -> None:
    found = hard_examples.hardest(experiment(), FITS)
    assert found["id"].tolist() == ["r1", "r3", "r2"]  # 4 and 4, equal, by id; then 1; r0 has 0.5, r4 no loss
    assert found["label"].tolist() == ["a", "b", "b"]
    assert found["loss"].tolist() == [4, 4, 1]
    assert found["fits"].tolist() == [1, 1, 1]
    assert found["listed"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (ClassLabels("subject", (7,)), ["7", "7", "7"]),
        (LabelColumns(("x", "y")), ["y", "y", "no label"]),
    ],
)
def test_the_label_is_what_the_recipe_learns(labels: Any, expected: list[str]) -> None:
    assert hard_examples.hardest(experiment(labels=labels), FITS)["label"].tolist() == expected


def test_curves_are_means_over_the_fits_that_trained_on_a_row() -> None:
    lines, median = hard_examples.curves(FITS, [0, 1, 3])
    assert np.array_equal(lines, [[2, 0.75, 0.5], [2, 2, 4], [1, 4, NAN]], equal_nan=True)
    assert median.tolist() == [2, 2, 1]


def test_pictures_show_images_but_not_private_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    read = photographs.reading.read
    monkeypatch.setattr(photographs.reading, "read", lambda path: opened.append(path) or read(path))
    for row in range(5):
        Image.new("L", (9, 9), 40 * row).save(tmp_path / f"{row}.png")
    for private, count in ((False, 3), (True, 0)):
        opened.clear()
        shown = experiment(tmp_path, private)
        drawn = hard_examples.picture(shown, FITS, hard_examples.hardest(shown, FITS))
        assert drawn.startswith(b"\x89PNG")
        assert len(opened) == count
    without = experiment()
    assert hard_examples.picture(without, FITS, hard_examples.hardest(without, FITS)).startswith(b"\x89PNG")
